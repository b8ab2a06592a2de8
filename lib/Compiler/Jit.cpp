//===- Jit.cpp - Kernels in this process ----------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/Jit.h"

#include "mlir/IR/Diagnostics.h"
#include "moec/Compiler/Guard.h"
#include "moec/Compiler/ObjectEmitter.h"
#include "llvm/ExecutionEngine/Orc/ExecutionUtils.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/TargetSelect.h"

#include <mutex>

using namespace mlir;
using namespace mlir::moe;

JitLayer::JitLayer() = default;

JitLayer::~JitLayer() { moec_close(layer); }

static llvm::Error link(llvm::orc::LLJIT &jit, ArrayRef<JitInput> inputs,
                        std::vector<moec_kernel_entry> &entries) {
  for (const JitInput &input : inputs) {
    // One dylib per object: variants may use the same kernel names.
    auto dylib = jit.createJITDylib(input.code);
    if (!dylib)
      return dylib.takeError();
    auto process =
        llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
            jit.getDataLayout().getGlobalPrefix(),
            [](const llvm::orc::SymbolStringPtr &name) {
              return isRuntimeSymbol(*name);
            });
    if (!process)
      return process.takeError();
    dylib->addGenerator(std::move(*process));
    if (llvm::Error error = jit.addObjectFile(
            *dylib,
            llvm::MemoryBuffer::getMemBufferCopy(input.object, input.code)))
      return error;
    for (const std::string &kernel : input.kernels) {
      auto address = jit.lookup(*dylib, kernel);
      if (!address)
        return address.takeError();
      entries.push_back(
          {input.code.c_str(), kernel.c_str(), address->toPtr<moec_kernel>()});
    }
  }
  return llvm::Error::success();
}

FailureOr<std::unique_ptr<JitLayer>>
JitLayer::open(Location location, StringRef manifest, ArrayRef<JitInput> inputs,
               const moec_open_options *options) {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  });
  std::unique_ptr<JitLayer> result(new JitLayer);
  std::vector<moec_kernel_entry> entries;
  auto body = [&]() -> LogicalResult {
    auto jit = llvm::orc::LLJITBuilder().create();
    if (!jit)
      return emitError(location) << "cannot start the just-in-time linker: "
                                 << llvm::toString(jit.takeError());
    result->jit = std::move(*jit);
    if (llvm::Error error = link(*result->jit, inputs, entries))
      return emitError(location) << "just-in-time linking failed: "
                                 << llvm::toString(std::move(error));
    return success();
  };
  if (failed(runGuarded(location, "just-in-time linking", body)))
    return failure();
  if (moec_open_kernels(manifest.data(), manifest.size(), entries.data(),
                        entries.size(), options, &result->layer) != MOEC_OK)
    return emitError(location) << moec_last_error();
  return result;
}
