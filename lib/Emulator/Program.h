//===- Program.h - A decoded kernel -----------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_EMULATOR_PROGRAM_H
#define MOEC_LIB_EMULATOR_PROGRAM_H

#include <cstdint>
#include <string>
#include <vector>

namespace mlir::moe::emu {

struct AmdTraits;
struct Exec;

/// What an instruction says to the loop that runs it.
enum class Step : uint8_t {
  Next,  ///< go on behind it
  Jump,  ///< the program counter is set
  Split, ///< the lanes parted
  Wait,  ///< try the same instruction again later
  Yield, ///< go on behind it, but let others run first
  Exit,  ///< the lanes are done
  Stop,  ///< the run ends
};

/// Byte offset of a value in the register file of a warp. A scalar of up to 32
/// bits is one uint32_t per lane, a wider one one uint64_t per lane; vectors
/// and structs are their elements one after the other.
using Reg = uint32_t;
/// One bit per lane of a warp.
using LaneMask = uint64_t;
inline constexpr unsigned mostLanes = 64;
/// Of NVIDIA warps, whose operations know no other number.
inline constexpr unsigned lanesPerWarp = 32;
inline constexpr LaneMask allLanes = 0xFFFFFFFF;
inline constexpr Reg noReg = ~0u;
/// The first `lanes` lanes.
inline constexpr LaneMask firstLanes(unsigned lanes) {
  return lanes >= mostLanes ? ~LaneMask(0) : (LaneMask(1) << lanes) - 1;
}

/// One decoded operation. What a, b, c, count and imm mean is up to `fn`.
struct Instr {
  Step (*fn)(Exec &, const Instr &) = nullptr;
  Reg dst = noReg, a = noReg, b = noReg, c = noReg;
  uint32_t count = 1;
  uint32_t flags = 0;
  uint64_t imm = 0;
  /// Index into Program::places.
  uint32_t place = 0;
  /// First entry in Kernel::extra.
  uint32_t extra = 0;
};

/// A place in the module.
struct Place {
  std::string where, operation;
};

/// `bytes` bytes of a register preset to `value` in every lane.
struct Constant {
  Reg reg;
  bool wide;
  uint64_t value;
};

struct Parameter {
  Reg reg = noReg;
  bool wide = false;
  /// Bytes in the argument list; by-value aggregates are found at an address.
  uint32_t bytes = 0;
  bool byValue = false;
  bool pointer = false;
};

struct Kernel {
  std::string name;
  std::vector<Instr> code;
  std::vector<uint32_t> extra;
  std::vector<Constant> constants;
  std::vector<Parameter> parameters;
  uint32_t regBytes = 0, localBytes = 0;
  /// nvvm.reqntid and nvvm.cluster_dim, 0 if absent.
  uint32_t required[3] = {}, cluster[3] = {};
  /// Most threads of a block: rocdl.flat_work_group_size and the like.
  uint32_t mostThreads = 1024;
  /// Bytes of the static shared variables that it uses; dynamic ones follow,
  /// 1024-aligned.
  uint32_t staticShared = 0;
};

/// A module-level variable in global or constant memory.
struct GlobalVariable {
  std::string name;
  std::vector<uint8_t> bytes;
  bool initialised = false;
  uint32_t buffer = 0;
};

struct Program {
  std::vector<Kernel> kernels;
  std::vector<Place> places;
  std::vector<GlobalVariable> globals;
  /// Lanes of a warp.
  unsigned lanes = lanesPerWarp;
  /// Null for NVIDIA kernels.
  const AmdTraits *amd = nullptr;
  /// Most bytes of shared memory of a block.
  uint32_t mostShared = 232448;
};

} // namespace mlir::moe::emu

#endif // MOEC_LIB_EMULATOR_PROGRAM_H
