//===- ProbeCompile.cpp - Probes become code ------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProbeCompile.h"

#include "GpuBackend.h"
#include "GpuCompile.h"
#include "mlir/IR/Verifier.h"
#include "moec/Calibration/Probes.h"
#include "moec/Target/DeviceFile.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
/// The probes of a target and who makes code of them.
struct Compilation {
  ProbeSet probes;
  std::unique_ptr<GpuBackend> backend;

  LogicalResult begin(MLIRContext *context, StringRef target,
                      const CompileOptions &options);
  LogicalResult lower();
  FailureOr<GpuCode> makeCode(const CompileOptions &options,
                              std::vector<std::string> &notes);
};
} // namespace

LogicalResult Compilation::begin(MLIRContext *context, StringRef target,
                                 const CompileOptions &options) {
  FailureOr<ProbeSet> built = buildProbes(context, target);
  if (failed(built))
    return failure();
  probes = std::move(*built);
  Location loc = UnknownLoc::get(context);
  backend = createGpuBackend(target);
  if (!backend)
    return emitError(loc) << "no back end makes code for " << target;
  return success(succeeded(verify(*probes.module)) &&
                 succeeded(backend->prepare(loc, options)));
}

LogicalResult Compilation::lower() {
  PassManager passes(probes.module->getContext(), ModuleOp::getOperationName());
  backend->addLLVM(passes);
  return passes.run(*probes.module);
}

FailureOr<GpuCode> Compilation::makeCode(const CompileOptions &options,
                                         std::vector<std::string> &notes) {
  std::optional<FileCache> cache = findCache(options, notes);
  EmitTimes times;
  FailureOr<GpuCode> code = backend->makeCode(
      *probes.module, probes.kernels, cache ? &*cache : nullptr,
      [&](const Twine &text) { addWarning(notes, text); }, times);
  if (failed(code))
    return failure();
  // Half the speed would be measured as that of the device.
  for (const GpuComplaint &complaint : code->complaints)
    return emitError(probes.module->getLoc())
           << "probe '" << complaint.kernel << "': " << backend->getJudge()
           << ": " << complaint.reason;
  return code;
}

FailureOr<std::vector<ArtifactFile>>
mlir::moe::makeProbes(MLIRContext *context, StringRef target,
                      const CompileOptions &options,
                      std::vector<std::string> &notes) {
  Compilation work;
  if (failed(work.begin(context, target, options)) || failed(work.lower()))
    return failure();
  FailureOr<GpuCode> code = work.makeCode(options, notes);
  if (failed(code))
    return failure();
  GpuBackend::FormNames forms = work.backend->getForms();
  std::vector<ArtifactFile> files;
  std::string text, binary;
  if (!code->text.empty()) {
    text = "probes" + forms.textSuffix.str();
    files.push_back({text, code->text});
  }
  if (!code->binary.empty()) {
    binary = "probes" + forms.binarySuffix.str();
    files.push_back({binary, code->binary});
  } else {
    notes.push_back(work.backend->getNoBinaryNote());
  }
  std::vector<Device> devices;
  for (const Device &device : getKnownDevices())
    if (device.arch == target)
      devices.push_back(device);
  files.push_back({"manifest.json",
                   printProbeManifest(work.probes, text, binary, devices)});
  return files;
}

LogicalResult mlir::moe::emitProbes(MLIRContext *context, StringRef target,
                                    const CompileOptions &options,
                                    StringRef form, llvm::raw_ostream &os) {
  Compilation work;
  if (failed(work.begin(context, target, options)))
    return failure();
  ModuleOp module = *work.probes.module;
  if (form == work.backend->getKernelForm()) {
    os << module << "\n";
    return success();
  }
  if (failed(work.lower()))
    return failure();
  if (form == "llvm") {
    os << module << "\n";
    return success();
  }
  GpuBackend::FormNames forms = work.backend->getForms();
  if (form == "llvm-ir" || form == "asm" ||
      (!forms.textSuffix.empty() && form == forms.textSuffix.drop_front())) {
    FailureOr<std::string> text =
        form == "llvm-ir"
            ? work.backend->makeLLVMText(module, work.probes.kernels)
            : work.backend->makeAssembly(module, work.probes.kernels);
    if (failed(text))
      return failure();
    os << *text;
    return success();
  }
  if (form != forms.binarySuffix.drop_front())
    return emitError(module.getLoc())
           << "--emit " << form << " is not for the probes of " << target;
  std::vector<std::string> notes;
  FailureOr<GpuCode> code = work.makeCode(options, notes);
  if (failed(code))
    return failure();
  if (code->binary.empty())
    return emitError(module.getLoc())
           << "--emit " << form << " needs " << work.backend->getAssembler()
           << ", which was not found";
  os << code->binary;
  return success();
}
