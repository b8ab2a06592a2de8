//===- CodeCache.cpp - Whole variants by what decides them ----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CodeCache.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"

#include <algorithm>
#include <link.h>

using namespace mlir;
using namespace mlir::moe;

//===----------------------------------------------------------------------===//
// Code as text
//===----------------------------------------------------------------------===//

// One function per structure names its members; Writer and Reader apply it.

template <typename Archive> static void visit(Archive &a, TokenSize &x) {
  a(x.tokens), a(x.constant), a(x.divisor);
}
template <typename Archive> static void visit(Archive &a, ManifestArgument &x) {
  a(x.name), a(x.dtype), a(x.shape), a(x.output), a(x.optional), a(x.packedBy);
}
template <typename Archive>
static void visit(Archive &a, ManifestWorkspace &x) {
  a(x.name), a(x.bytes), a(x.perWorker), a(x.zero), a(x.align);
}
template <typename Archive>
static void visit(Archive &a, ManifestTensorMap &x) {
  a(x.ofWorkspace), a(x.index), a(x.dtype), a(x.dims), a(x.strides), a(x.box);
  a(x.swizzle), a(x.l2);
}
static constexpr int64_t numKinds =
    static_cast<int64_t>(ManifestLaunchArgument::Kind::TensorMap) + 1;

template <typename Archive>
static void visit(Archive &a, ManifestLaunchArgument &x) {
  int64_t kind = static_cast<int64_t>(x.kind);
  a(kind), a(x.index), a(x.dim), a(x.type), a(x.map), a(x.align);
  // What is no kind at all is left for Reader to refuse.
  x.kind = static_cast<ManifestLaunchArgument::Kind>(
      std::clamp<int64_t>(kind, -1, numKinds));
}
template <typename Archive>
static void visit(Archive &a, ManifestAmdResources &x) {
  a(x.accumulators), a(x.scalars), a(x.scratch), a(x.arguments), a(x.wave);
  a(x.wavesPerSimd);
}
template <typename Archive>
static void visit(Archive &a, ManifestResources &x) {
  a(x.registers), a(x.sharedMemory), a(x.spills), a(x.amd);
}
template <typename Archive> static void visit(Archive &a, ManifestGrid &x) {
  a(x.size), a(x.persistent);
}
template <typename Archive>
static void visit(Archive &a, ManifestGpuLaunch &x) {
  a(x.grid), a(x.block), a(x.cluster), a(x.sharedMemory), a(x.resident);
  a(x.earlyStart), a(x.resources);
}
template <typename Archive> static void visit(Archive &a, ManifestLaunch &x) {
  a(x.kernel), a(x.args), a(x.gpu);
}
template <typename Archive>
static void visit(Archive &a, ManifestRejection &x) {
  a(x.config), a(x.reason);
}
template <typename Archive> static void visit(Archive &a, ManifestVariant &x) {
  a(x.target), a(x.isa), a(x.firstTokens), a(x.lastTokens), a(x.code), a(x.ptx);
  a(x.configs), a(x.rejected), a(x.workspaces), a(x.launches), a(x.resources);
}
template <typename Archive> static void visit(Archive &a, CodeObject &x) {
  a(x.name), a(x.isa), a(x.kernels), a(x.object), a(x.sharedObject);
}
template <typename Archive> static void visit(Archive &a, ArtifactFile &x) {
  a(x.name), a(x.bytes);
}
template <typename Archive> static void visit(Archive &a, TargetCode &x) {
  a(x.layer), a(x.arguments), a(x.variants), a(x.objects), a(x.files);
  a(x.table);
}

namespace {
class Writer {
public:
  void operator()(int64_t &value) {
    char bytes[8];
    llvm::support::endian::write64le(bytes, static_cast<uint64_t>(value));
    out.append(bytes, sizeof(bytes));
  }
  void operator()(bool &value) { out += value ? '\1' : '\0'; }
  void operator()(std::string &value) {
    count(value.size());
    out += value;
  }
  template <typename T> void operator()(std::vector<T> &list) {
    count(list.size());
    for (T &element : list)
      (*this)(element);
  }
  template <typename T> void operator()(std::optional<T> &value) {
    bool present = value.has_value();
    (*this)(present);
    if (present)
      (*this)(*value);
  }
  template <typename T, size_t n> void operator()(T (&array)[n]) {
    for (T &element : array)
      (*this)(element);
  }
  template <typename T> void operator()(T &structure) {
    visit(*this, structure);
  }

  std::string out;

private:
  void count(size_t size) {
    int64_t value = static_cast<int64_t>(size);
    (*this)(value);
  }
};

/// Reads what Writer wrote. After the first mistake all is empty.
class Reader {
public:
  explicit Reader(StringRef rest) : rest(rest) {}

  void operator()(int64_t &value) {
    StringRef bytes = take(8);
    value = bytes.empty() ? 0
                          : static_cast<int64_t>(
                                llvm::support::endian::read64le(bytes.data()));
  }
  void operator()(bool &value) {
    StringRef byte = take(1);
    value = !byte.empty() && byte[0] != 0;
    good &= byte.empty() || static_cast<uint8_t>(byte[0]) <= 1;
  }
  void operator()(std::string &value) { value = take(count()).str(); }
  template <typename T> void operator()(std::vector<T> &list) {
    // An element takes a byte at least, so that no wrong count gets memory.
    size_t size = count();
    list.resize(good ? size : 0);
    for (T &element : list)
      (*this)(element);
  }
  template <typename T> void operator()(std::optional<T> &value) {
    bool present = false;
    (*this)(present);
    if (present)
      (*this)(value.emplace());
  }
  template <typename T, size_t n> void operator()(T (&array)[n]) {
    for (T &element : array)
      (*this)(element);
  }
  template <typename T> void operator()(T &structure) {
    visit(*this, structure);
  }
  void operator()(ManifestLaunchArgument &argument) {
    visit(*this, argument);
    auto kind = static_cast<int64_t>(argument.kind);
    good &= kind >= 0 && kind < numKinds;
  }

  bool isDone() const { return good && rest.empty(); }

private:
  StringRef take(size_t size) {
    good &= size <= rest.size();
    if (!good)
      return {};
    StringRef taken = rest.take_front(size);
    rest = rest.drop_front(size);
    return taken;
  }
  size_t count() {
    int64_t value = 0;
    (*this)(value);
    good &= static_cast<uint64_t>(value) <= rest.size();
    return good ? static_cast<size_t>(value) : 0;
  }

  StringRef rest;
  bool good = true;
};
} // namespace

std::string mlir::moe::printCode(const TargetCode &code) {
  Writer writer;
  // The functions above serve both ways, and change nothing on this one.
  writer(const_cast<TargetCode &>(code));
  return std::move(writer.out);
}

std::optional<TargetCode> mlir::moe::parseCode(StringRef text) {
  TargetCode code;
  Reader reader(text);
  reader(code);
  if (!reader.isDone())
    return std::nullopt;
  return code;
}

//===----------------------------------------------------------------------===//
// Which compiler
//===----------------------------------------------------------------------===//

/// The build id in the notes of a loaded object, "" if it has none.
static StringRef getBuildId(const dl_phdr_info &object) {
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr) &header = object.dlpi_phdr[i];
    if (header.p_type != PT_NOTE)
      continue;
    StringRef notes(
        reinterpret_cast<const char *>(object.dlpi_addr + header.p_vaddr),
        header.p_filesz);
    while (notes.size() >= sizeof(ElfW(Nhdr))) {
      ElfW(Nhdr) note;
      memcpy(&note, notes.data(), sizeof(note));
      size_t name = (note.n_namesz + 3) / 4 * 4;
      size_t content = (note.n_descsz + 3) / 4 * 4;
      notes = notes.drop_front(sizeof(note));
      if (note.n_type == NT_GNU_BUILD_ID && notes.starts_with("GNU"))
        return notes.substr(name, note.n_descsz);
      notes = notes.substr(name + content);
    }
  }
  return {};
}

/// Appends what identifies an object if the compiler is part of it.
static int identify(dl_phdr_info *object, size_t, void *text) {
  auto isInside = [&](const void *place) {
    auto address = reinterpret_cast<uintptr_t>(place);
    for (int i = 0; i < object->dlpi_phnum; ++i) {
      const ElfW(Phdr) &header = object->dlpi_phdr[i];
      uintptr_t start = object->dlpi_addr + header.p_vaddr;
      if (header.p_type == PT_LOAD && address >= start &&
          address - start < header.p_memsz)
        return true;
    }
    return false;
  };
  StringRef name(object->dlpi_name);
  StringRef file = name.rsplit('/').second;
  if (!isInside(reinterpret_cast<const void *>(&getCompilerId)) &&
      !file.starts_with("libLLVM") && !file.starts_with("libMLIR"))
    return 0;
  std::string &id = *static_cast<std::string *>(text);
  if (StringRef build = getBuildId(*object); !build.empty()) {
    id += llvm::toHex(build) + "\n";
    return 0;
  }
  // A linker that writes no build id: the file as it is now.
  llvm::sys::fs::file_status status;
  if (llvm::sys::fs::status(name.empty() ? "/proc/self/exe" : name, status))
    return 0;
  id += name.str() + " " + std::to_string(status.getSize()) + " " +
        std::to_string(
            status.getLastModificationTime().time_since_epoch().count()) +
        "\n";
  return 0;
}

const std::string &mlir::moe::getCompilerId() {
  static const std::string id = [] {
    std::string text;
    dl_iterate_phdr(identify, &text);
    return text;
  }();
  return id;
}

//===----------------------------------------------------------------------===//
// Looking up
//===----------------------------------------------------------------------===//

static constexpr StringRef kind = "code";

CodeCache::CodeCache(ModuleOp module, std::optional<FileCache> cache)
    : files(std::move(cache)) {
  // Without an id nobody knows whether it was this compiler.
  if (!files || getCompilerId().empty()) {
    files.reset();
    return;
  }
  // Names of values and places in a file decide nothing, and are not printed.
  std::string text;
  llvm::raw_string_ostream os(text);
  module.print(os, OpPrintingFlags().printGenericOpForm());
  moduleHash = FileCache::hash({text});
}

std::string CodeCache::getKey(ArrayRef<StringRef> what) const {
  SmallVector<StringRef> pieces = {getCompilerId(), moduleHash};
  pieces.append(what.begin(), what.end());
  return FileCache::hash(pieces);
}

std::optional<TargetCode> CodeCache::load(ArrayRef<StringRef> what,
                                          FileCache::Warn warn) const {
  if (!files)
    return std::nullopt;
  std::optional<std::string> text = files->load(getKey(what), kind, warn);
  return text ? parseCode(*text) : std::nullopt;
}

void CodeCache::store(ArrayRef<StringRef> what, const TargetCode &code,
                      FileCache::Warn warn) const {
  if (files)
    files->store(getKey(what), kind, printCode(code), warn);
}
