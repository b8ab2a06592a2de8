//===- Ptxas.h - NVIDIA's assembler as a subprocess -------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// ptxas makes machine code of PTX. It is a program of the CUDA toolkit and may
// be missing. What it says of a kernel decides whether the kernel is any good:
// it succeeds with code that runs at half the speed.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_COMPILER_PTXAS_H
#define MOEC_COMPILER_PTXAS_H

#include "moec/Compiler/FileCache.h"
#include "moec/Compiler/NvidiaChip.h"
#include "llvm/Support/Error.h"

#include <optional>
#include <string>
#include <vector>

namespace mlir::moe {

/// What one kernel takes; all but the counts in bytes.
struct KernelResources {
  std::string kernel;
  int64_t registers = 0;
  int64_t barriers = 0;
  /// Static only.
  int64_t sharedMemory = 0;
  int64_t stack = 0;
  int64_t spillStores = 0, spillLoads = 0;
  /// Seconds that ptxas says it took.
  double seconds = 0;
};

/// Why the code of one kernel is not to be used.
struct KernelComplaint {
  /// "" if the message names none.
  std::string kernel;
  /// One line: a message of the C75xx family ("C7514: Potential Performance
  /// Loss: ..."), spilled registers, or a stack frame.
  std::string reason;
};

/// What `ptxas -v` printed, kernel by kernel.
struct PtxasReport {
  std::vector<KernelResources> kernels;
  std::vector<KernelComplaint> complaints;

  const KernelResources *find(llvm::StringRef kernel) const;
};

/// Reads the messages of `ptxas -v`. Lines it does not know are passed over.
PtxasReport parsePtxasReport(llvm::StringRef text);

/// The outcome of a run of ptxas that produced code.
struct Assembly {
  std::string cubin;
  /// What ptxas printed, and what that means.
  std::string messages;
  PtxasReport report;
  /// Wall-clock seconds, and whether they were those of a cache.
  double seconds = 0;
  bool cached = false;

  /// Whether the code is to be used.
  bool isContent() const { return report.complaints.empty(); }
};

/// A ptxas that was found and has told its version.
class Ptxas {
public:
  /// Looks for ptxas at `path`, at the environment's MOEC_PTXAS, in bin of
  /// CUDA_HOME and CUDA_PATH, on PATH, and in /usr/local/cuda/bin. The first
  /// two are taken at their word: a file that does not run is an error, the
  /// word "none" means that there is no ptxas. No value: none was found.
  static llvm::Expected<std::optional<Ptxas>> find(llvm::StringRef path = "");

  /// Assembles PTX for a chip. Errors: PTX that ptxas refuses (its first
  /// message), a process that does not start, crashes or takes longer than
  /// `timeoutSeconds`, temporary files that cannot be written. May be called
  /// from several threads.
  llvm::Expected<Assembly> assemble(llvm::StringRef ptx,
                                    const NvidiaChip &chip) const;

  const std::string &getPath() const { return path; }
  /// "13.0.88".
  const std::string &getVersion() const { return version; }
  /// The arguments but for the names of files.
  static std::vector<std::string> getFlags(const NvidiaChip &chip);

  double timeoutSeconds = 120;

private:
  std::string path, version;
};

/// Code by the hash of the PTX, the version of ptxas and its flags.
class CubinCache {
public:
  explicit CubinCache(FileCache files) : files(std::move(files)) {}

  /// The entry's code from here, else from `ptxas`, which is then stored,
  /// complaints included. `warn` gets what does no harm but should be known: a
  /// damaged entry, which is replaced, or a directory that cannot be written.
  llvm::Expected<Assembly> assemble(const Ptxas &ptxas, llvm::StringRef ptx,
                                    const NvidiaChip &chip,
                                    FileCache::Warn warn) const;

  /// The file of an entry.
  std::string getPath(const Ptxas &ptxas, llvm::StringRef ptx,
                      const NvidiaChip &chip) const;

private:
  FileCache files;
};

} // namespace mlir::moe

#endif // MOEC_COMPILER_PTXAS_H
