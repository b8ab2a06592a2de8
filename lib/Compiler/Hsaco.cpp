//===- Hsaco.cpp - Code objects of AMD GPUs -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/Hsaco.h"

#include "llvm/BinaryFormat/AMDGPUMetadataVerifier.h"
#include "llvm/BinaryFormat/ELF.h"
#include "llvm/BinaryFormat/MsgPackDocument.h"
#include "llvm/Object/ELF.h"

using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;
using llvm::StringRef;
namespace msgpack = llvm::msgpack;

using ElfFile = llvm::object::ELFFile<llvm::object::ELF64LE>;

static Error makeError(const llvm::Twine &why) {
  return llvm::createStringError("no HSACO: " + why);
}

/// The content of the note with the kernels' metadata.
static Expected<StringRef> findNote(StringRef bytes) {
  Expected<ElfFile> file = ElfFile::create(bytes);
  if (!file)
    return makeError(llvm::toString(file.takeError()));
  if (file->getHeader().e_machine != llvm::ELF::EM_AMDGPU)
    return makeError("it is for machine " +
                     llvm::Twine(file->getHeader().e_machine) +
                     ", not for AMD GPUs");
  auto headers = file->program_headers();
  if (!headers)
    return makeError(llvm::toString(headers.takeError()));
  for (const auto &header : *headers) {
    if (header.p_type != llvm::ELF::PT_NOTE)
      continue;
    Error error = Error::success();
    StringRef found;
    bool any = false;
    for (const auto &note : file->notes(header, error))
      if (note.getName() == "AMDGPU" &&
          note.getType() == llvm::ELF::NT_AMDGPU_METADATA && !any) {
        found = note.getDescAsStringRef(header.p_align);
        any = true;
      }
    if (error)
      return makeError(llvm::toString(std::move(error)));
    if (any)
      return found;
  }
  return makeError("it has no note about its kernels");
}

/// A number of a kernel's map; 0 without one.
static int64_t getNumber(msgpack::MapDocNode &map, StringRef name) {
  auto it = map.find(name);
  if (it == map.end())
    return 0;
  if (it->second.getKind() == msgpack::Type::UInt)
    return static_cast<int64_t>(it->second.getUInt());
  return it->second.getKind() == msgpack::Type::Int ? it->second.getInt() : 0;
}

Expected<std::vector<HsacoKernel>> mlir::moe::readHsaco(StringRef bytes) {
  Expected<StringRef> note = findNote(bytes);
  if (!note)
    return note.takeError();
  msgpack::Document document;
  // The verifier knows which members there are and of what kind.
  llvm::AMDGPU::HSAMD::V3::MetadataVerifier verifier(/*Strict=*/true);
  if (!document.readFromBlob(*note, /*Multi=*/false) ||
      !verifier.verify(document.getRoot()))
    return makeError("its note about kernels is broken");
  std::vector<HsacoKernel> kernels;
  msgpack::MapDocNode root = document.getRoot().getMap();
  auto list = root.find("amdhsa.kernels");
  if (list == root.end())
    return kernels;
  for (msgpack::DocNode &entry : list->second.getArray()) {
    msgpack::MapDocNode map = entry.getMap();
    HsacoKernel &kernel = kernels.emplace_back();
    kernel.name = map[".name"].getString().str();
    kernel.vgprs = getNumber(map, ".vgpr_count");
    // Absent where there are none.
    kernel.agprs = getNumber(map, ".agpr_count");
    kernel.sgprs = getNumber(map, ".sgpr_count");
    kernel.lds = getNumber(map, ".group_segment_fixed_size");
    kernel.scratch = getNumber(map, ".private_segment_fixed_size");
    kernel.vgprSpills = getNumber(map, ".vgpr_spill_count");
    kernel.sgprSpills = getNumber(map, ".sgpr_spill_count");
    kernel.kernargBytes = getNumber(map, ".kernarg_segment_size");
    kernel.wave = getNumber(map, ".wavefront_size");
    kernel.maxThreads = getNumber(map, ".max_flat_workgroup_size");
    if (auto stack = map.find(".uses_dynamic_stack");
        stack != map.end() && stack->second.getKind() == msgpack::Type::Boolean)
      kernel.dynamicStack = stack->second.getBool();
  }
  return kernels;
}
