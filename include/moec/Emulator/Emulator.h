//===- Emulator.h - GPU kernels on the CPU ----------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Executes `llvm.func` kernels (attribute nvvm.kernel or rocdl.kernel) of a
// module in the state just before it becomes PTX or LLVM IR, warp by warp, and
// watches what they do: every access to memory is checked for bounds,
// alignment, initialised bytes and ordering; every barrier, asynchronous copy
// and matrix operation keeps the rules of the manual or is reported with its
// place in the module.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_EMULATOR_EMULATOR_H
#define MOEC_EMULATOR_EMULATOR_H

#include "mlir/IR/BuiltinOps.h"
#include "moec/Emulator/TensorMap.h"
#include "llvm/Support/Error.h"
#include <array>
#include <memory>
#include <string>
#include <vector>

namespace mlir::moe::emu {

/// What a detector found.
enum class Kind : uint8_t {
  /// Two accesses to the same bytes without an order between them.
  Race,
  OutOfBounds,
  Misaligned,
  /// Bytes that nobody wrote are read.
  Uninitialised,
  /// Generic write, then access by TMA or wgmma without fence.proxy.async.
  MissingProxyFence,
  /// An accumulator, a group or a copy is used before it was waited for.
  MissingWait,
  /// A whole-warp operation that not all lanes execute.
  PartialWarp,
  /// Nobody can go on.
  Deadlock,
  /// The kernel ended with asynchronous work that still needs it.
  PendingAtExit,
  /// An operand outside its rule: descriptor, box, barrier count, mask.
  Invalid,
};

/// The name of a kind as it stands in front of a report ("race").
const char *nameOf(Kind kind);

/// One finding. `text` is the whole sentence, place included.
struct Report {
  Kind kind;
  /// "file:line:column" of the operation and its name.
  std::string where, operation;
  std::string text;
  std::array<uint32_t, 3> block{};
  int warp = -1, lane = -1;
};

/// When asynchronous copies complete.
enum class AsyncMode : uint8_t {
  /// As late as the waits of the kernel allow.
  Late,
  /// At once.
  Early,
  /// By chance, from the seed.
  Random,
};

struct Options {
  /// 0: warps in order, each as far as it can go. Otherwise warps, quanta and
  /// (with AsyncMode::Random) completions are drawn from this seed.
  uint64_t seed = 0;
  AsyncMode async = AsyncMode::Late;
  /// Stop after so many findings; places are reported once each.
  unsigned maxReports = 8;
  /// Blocks that share the device at a time; 0 = all of the grid. A launch with
  /// `resident` takes them all.
  unsigned residentBlocks = 16;
  /// The shadow of shared memory: races, uninitialised reads, proxies.
  bool checkShared = true;
};

/// One argument of a kernel.
struct Argument {
  /// Value, little endian, as wide as the parameter; or the 128 bytes of a map.
  std::vector<uint8_t> bytes;
  /// The bytes are a host pointer into a registered buffer.
  bool isPointer = false;

  static Argument pointer(const void *host);
  static Argument map(const TensorMap &map);
  template <typename T> static Argument value(T v) {
    Argument a;
    a.bytes.resize(sizeof(T));
    __builtin_memcpy(a.bytes.data(), &v, sizeof(T));
    return a;
  }
};

/// One kernel launch, in stream order.
struct Launch {
  std::string kernel;
  std::array<uint32_t, 3> grid{1, 1, 1}, block{1, 1, 1}, cluster{1, 1, 1};
  /// Bytes of dynamic shared memory.
  uint32_t smem = 0;
  std::vector<Argument> args;
  /// All blocks run at the same time.
  bool resident = false;
  /// May start before the launch before it has ended
  /// (programmatic dependent launch).
  bool earlyStart = false;
};

/// What a run did.
struct Statistics {
  uint64_t instructions = 0, matrixOps = 0, asyncCopies = 0;
};

class EmulatorImpl;

/// A decoded module with its registered memory. Not safe for threads.
class Emulator {
public:
  /// Decodes every kernel of `module` (nested modules too). An operation or
  /// type without an emulation is an error that names it and its place. AMD
  /// kernels run as on `chip` (gfx942, gfx950, gfx1100, ...): its lanes per
  /// wave, its formats, its operations. Empty: the chip of the first
  /// #rocdl.target.
  static llvm::Expected<std::unique_ptr<Emulator>>
  create(ModuleOp module, llvm::StringRef chip = "");
  ~Emulator();

  /// Makes `bytes` bytes at `host` global memory of that name. Unless
  /// `initialised`, each byte must be written by a kernel before one reads it.
  /// `host` must stay valid until the emulator dies or it is registered anew
  /// (a second registration of the same address replaces the first).
  void registerBuffer(void *host, uint64_t bytes, llvm::StringRef name,
                      bool initialised = true);

  /// Runs the launches in order, like one stream. Returns the findings; an
  /// empty list is a clean run. An Error is a bad launch (unknown kernel,
  /// arguments that do not fit, pointers into no buffer): nothing was run.
  llvm::Expected<std::vector<Report>> run(llvm::ArrayRef<Launch> launches,
                                          const Options &options = {});

  /// Of the last run.
  const Statistics &getStatistics() const;

  /// Names of the kernels.
  std::vector<std::string> getKernels() const;

private:
  explicit Emulator(std::unique_ptr<EmulatorImpl> impl);
  std::unique_ptr<EmulatorImpl> impl;
};

} // namespace mlir::moe::emu

#endif // MOEC_EMULATOR_EMULATOR_H
