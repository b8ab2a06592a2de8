//===- Amd.h - What the emulator knows of AMD chips --------------*- C++
//-*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_EMULATOR_AMD_H
#define MOEC_LIB_EMULATOR_AMD_H

#include "Ops.h"
#include "moec/Support/ElementType.h"
#include "llvm/ADT/StringRef.h"

namespace mlir {
class ModuleOp;
class Operation;
} // namespace mlir

namespace mlir::moe::emu {

/// Generations that share operations and lane maps.
enum AmdFamily : uint8_t { cdna3 = 1, cdna4 = 2, rdna3 = 4, rdna4 = 8 };

/// A chip, as far as its kernels behave differently from another's.
struct AmdTraits {
  llvm::StringRef name;
  AmdFamily family;
  /// Lanes of a wave.
  unsigned lanes;
  /// Most bytes of LDS of a workgroup.
  uint32_t sharedBytes;

  bool isCdna() const { return family & (cdna3 | cdna4); }
  /// The 8-bit formats of matrix operations and conversions.
  ElementType fp8() const {
    return family == cdna3 ? ElementType::F8E4M3FNUZ : ElementType::F8E4M3FN;
  }
  ElementType bf8() const {
    return family == cdna3 ? ElementType::F8E5M2FNUZ : ElementType::F8E5M2;
  }
};

/// The chip of that name, or null.
const AmdTraits *findAmdTraits(llvm::StringRef name);
/// "gfx942, gfx950, ...", for diagnostics.
std::string listAmdTraits();
/// The chip of the first #rocdl.target of `module`, or "".
llvm::StringRef findAmdTarget(ModuleOp module);

/// A buffer resource in registers: base address, number of bytes, stride and
/// flags in the low and high word, and for pointers of space 7 an offset. Each
/// is wide.
enum Resource : unsigned { rsrcBase, rsrcBytes, rsrcFlags, rsrcOffset };

//===----------------------------------------------------------------------===//
// Instructions
//===----------------------------------------------------------------------===//

//--- AmdLanes.cpp: across the lanes of a wave
Step execMbcnt(Exec &, const Instr &);     ///< dst, a mask, b add; imm: first
Step execBpermute(Exec &, const Instr &);  ///< dst, a index, b value
Step execDsSwizzle(Exec &, const Instr &); ///< dst, a value; imm pattern
/// dst, a value, b lane or noReg for the first active one; count words.
Step execReadLane(Exec &, const Instr &);
Step execBallot(Exec &, const Instr &); ///< dst, a; flags 1: wide
/// dst, a old, b source; imm: control; flags: row mask | bank mask << 4 | bound
/// control << 8; count words.
Step execDpp(Exec &, const Instr &);
/// dst, a source, b and c selectors; count words.
Step execPermLaneX16(Exec &, const Instr &);
Step execPermLaneSwap(Exec &, const Instr &); ///< dst pair, a, b; imm: 16 or 32

//--- AmdSync.cpp
Step execAmdFence(Exec &, const Instr &); ///< flags: AmdFenceFlags
enum AmdFenceFlags : uint32_t {
  fenceRelease = 1,
  fenceAcquire = 2,
  fenceShared = 4, ///< of LDS
  fenceGlobal = 8, ///< of global memory
  fenceGroup = 16, ///< at least among the waves of a workgroup
  fenceAgent = 32, ///< among all workgroups
};
Step execAmdBarrier(Exec &, const Instr &); ///< flags 1: signal, 2: wait
/// imm: copies into LDS that may be left.
Step execAmdWait(Exec &, const Instr &);
/// Waits for the other lanes to come as far, unless they go elsewhere.
bool gatherLanes(Exec &x, const Instr &i, Step &step);

//--- BufferOps.cpp
/// flags: element wide in memWide; a resource, b offset, c scalar offset; count
/// elements of imm bytes.
Step execBufferLoad(Exec &, const Instr &);  ///< dst
Step execBufferStore(Exec &, const Instr &); ///< dst: the value
/// dst or noReg, extra: value, comparand or noReg; imm: RmwOp | scalar << 8.
Step execBufferAtomic(Exec &, const Instr &);
/// Copies imm bytes per lane into LDS: a source, b LDS; flags: immediate
/// offset; c scalar offset of a resource, extra: lane offset; noReg: a is a
/// pointer.
Step execLoadToShared(Exec &, const Instr &);
/// dst, a address: transposes among 16 lanes; imm bits of an element, count
/// words of 32 bits.
Step execReadTransposed(Exec &, const Instr &);

//--- AmdConversions.cpp
/// dst, a word, b scale or noReg; count elements from number `flags` on; imm:
/// ElementType << 16 | scalar.
Step execAmdUnpack(Exec &, const Instr &);
/// dst, a old, b scale or noReg; imm as there; flags: first element, or with
/// bit 8 the register of a vector<2xi16>; extra: the two values.
Step execAmdPack(Exec &, const Instr &);
Step execPkRtz(Exec &, const Instr &); ///< dst pair, a, b

//--- Mfma.cpp
/// dst, extra: MatrixOperands; imm: row of the table.
Step execAmdMatrix(Exec &, const Instr &);

} // namespace mlir::moe::emu

#endif // MOEC_LIB_EMULATOR_AMD_H
