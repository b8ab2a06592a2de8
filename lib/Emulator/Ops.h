//===- Ops.h - Instructions of the emulator ---------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// One function per kind of instruction; the comment says what its fields are.
#ifndef MOEC_LIB_EMULATOR_OPS_H
#define MOEC_LIB_EMULATOR_OPS_H

#include "Machine.h"

namespace mlir::moe::emu {

//--- ExecControl.cpp
Step execJump(Exec &, const Instr &);    ///< imm: target
Step execBrFalse(Exec &, const Instr &); ///< a: i1, imm: target if 0
/// a: value, flags: wide; extra: count times (low, high, target); imm: default.
Step execSwitch(Exec &, const Instr &);
Step execExit(Exec &, const Instr &);
Step execTrap(Exec &, const Instr &);
Step execNop(Exec &, const Instr &);
Step execYield(Exec &, const Instr &);

//--- ExecMemory.cpp
/// Flags of loads, stores and atomics.
enum MemFlags : uint32_t {
  memSpace = 0xFF,
  memAtomic = 1 << 8,
  memAcquire = 1 << 9,
  memRelease = 1 << 10,
  memWide = 1 << 11,
  /// Atomic among the lanes of a workgroup at most: hands nothing over.
  memNarrow = 1 << 12,
  memAlignShift = 16,
};
Step execLoad(Exec &,
              const Instr &); ///< dst, a address, count elements of imm bytes
Step execStore(Exec &, const Instr &); ///< a value, b address, likewise
/// dst, a address, b value; imm: operation (RmwOp) | scalar << 8.
Step execAtomicRmw(Exec &, const Instr &);
Step execCmpXchg(Exec &, const Instr &); ///< dst pair, a, b expected, c new
Step execRedAdd(Exec &,
                const Instr &); ///< a address, b value, count; imm scalar
Step execFence(Exec &, const Instr &);
Step execMemset(Exec &, const Instr &);
enum class RmwOp : uint8_t {
  Xchg,
  Add,
  Sub,
  And,
  Nand,
  Or,
  Xor,
  Max,
  Min,
  UMax,
  UMin,
  FAdd,
  FMax,
  FMin,
  Inc,
  Dec,
};

//--- ExecSync.cpp
Step execSreg(Exec &, const Instr &); ///< dst; imm: Sreg
enum class Sreg : uint8_t {
  TidX,
  TidY,
  TidZ,
  NtidX,
  NtidY,
  NtidZ,
  CtaidX,
  CtaidY,
  CtaidZ,
  NctaidX,
  NctaidY,
  NctaidZ,
  LaneId,
  WarpId,
  NWarpId,
  WarpSize,
  ClusterIdX,
  ClusterIdY,
  ClusterIdZ,
  NClusterIdX,
  NClusterIdY,
  NClusterIdZ,
  ClusterCtaidX,
  ClusterCtaidY,
  ClusterCtaidZ,
  ClusterNctaidX,
  ClusterNctaidY,
  ClusterNctaidZ,
  ClusterCtarank,
  ClusterNctarank,
  SmId,
  NSmId,
  DynamicSmem,
  TotalSmem,
  LaneMaskEq,
  LaneMaskLt,
  LaneMaskLe,
  LaneMaskGt,
  LaneMaskGe,
  Clock,
  GlobalTimer,
};
/// a barrier id or noReg (0), b threads or noReg (all); flags 1: arrive only.
/// With dst: imm 1 popc, 2 and, 3 or of predicate c.
Step execBarrier(Exec &, const Instr &);
Step execSyncWarp(Exec &, const Instr &);      ///< a mask
Step execClusterArrive(Exec &, const Instr &); ///< flags 1: relaxed
Step execClusterWait(Exec &, const Instr &);
Step execElect(Exec &, const Instr &); ///< dst, a mask or noReg
/// dst (and dst+128 if flags 1), a mask, b value, c offset; imm kind; extra:
/// clamp.
Step execShfl(Exec &, const Instr &);
Step execVote(Exec &, const Instr &); ///< dst, a mask, b predicate; imm kind
Step execMatch(Exec &,
               const Instr &); ///< dst, a mask, b; flags 1 wide, imm kind
Step execRedux(Exec &, const Instr &); ///< dst, a value, b mask; imm kind
Step execSetMaxRegister(Exec &,
                        const Instr &); ///< imm count, flags 1: increase
Step execGridDependency(Exec &, const Instr &); ///< imm 0 wait, 1 launch
Step execSignal(Exec &, const Instr &);         ///< a counter, b increment
Step execAwait(Exec &, const Instr &);          ///< a counter, b target
Step execFenceProxy(Exec &, const Instr &);
Step execFenceMbarrierInit(Exec &, const Instr &);
Step execMapa(Exec &,
              const Instr &); ///< dst, a address, b rank; flags 1: generic

//--- ExecMbarrier.cpp; flags low byte: address space
Step execMbarrierInit(Exec &, const Instr &);  ///< a, b count
Step execMbarrierInval(Exec &, const Instr &); ///< a
/// a, b count or noReg; c bytes or noReg; dst state or noReg.
Step execMbarrierArrive(Exec &, const Instr &);
enum MbarrierFlags : uint32_t {
  mbarDrop = 1 << 8,
  mbarRelaxed = 1 << 9,
  mbarNoComplete = 1 << 10,
  mbarNoArrive = 1 << 11, ///< expect_tx alone
  mbarTxDone = 1 << 12,   ///< complete_tx alone
};
/// a, b parity (or state if flags mbarState); dst i1 or noReg: blocks.
Step execMbarrierWait(Exec &, const Instr &);
inline constexpr uint32_t mbarState = 1 << 8, mbarTest = 1 << 9;

//--- ExecCopy.cpp
Step execCpAsync(Exec &,
                 const Instr &); ///< a dst, b src, c size or noReg; imm bytes
Step execCpAsyncCommit(Exec &, const Instr &);
Step execCpAsyncWait(Exec &, const Instr &);   ///< imm groups
Step execCpAsyncArrive(Exec &, const Instr &); ///< a barrier; flags 1: noinc
/// a dst, b src, c barrier; extra: size register, multicast register or noReg;
/// flags: space of dst.
Step execBulkLoad(Exec &, const Instr &);
/// a dst, b src, c size; imm: 0 copy, else scalar of the sum + 1.
Step execBulkStore(Exec &, const Instr &);
Step execBulkToCluster(Exec &, const Instr &); ///< a, b, c barrier; extra: size
/// a dst, b map, c barrier; count coordinates in extra, then multicast or
/// noReg; flags: space of dst.
Step execTmaLoad(Exec &, const Instr &);
/// a map, b src; count coordinates in extra; imm: 0 store, else reduction + 1.
Step execTmaStore(Exec &, const Instr &);
Step execBulkCommit(Exec &, const Instr &);
Step execBulkWait(Exec &, const Instr &); ///< imm groups, flags 1: read

//--- ExecMatrix.cpp
Step execPermute(Exec &, const Instr &); ///< dst, a low, b high, c selector
Step execLdMatrix(Exec &,
                  const Instr &); ///< dst, a; count matrices, flags 1: trans
Step execStMatrix(Exec &, const Instr &); ///< a, extra: registers; likewise
/// dst, extra: registers of A, B, C; imm: MmaShape.
Step execMma(Exec &, const Instr &);
/// Numbers of a matrix instruction: k | type of A << 16 | of B << 24 |
/// type of D << 32, and for wgmma n << 40.
inline uint64_t packShape(unsigned k, unsigned a, unsigned b, unsigned d,
                          unsigned n = 0) {
  return k | uint64_t(a) << 16 | uint64_t(b) << 24 | uint64_t(d) << 32 |
         uint64_t(n) << 40;
}
/// Types of matrix operands.
enum class MatType : uint8_t { BF16, F16, TF32, E4M3, E5M2, S8, U8, F32, S32 };

//--- Wgmma.cpp
enum WgmmaFlags : uint32_t {
  wgmmaScaleD = 1,
  wgmmaNegA = 2,
  wgmmaNegB = 4,
  wgmmaTransA = 8,     ///< A is M-major
  wgmmaTransB = 16,    ///< B is N-major
  wgmmaRegisters = 32, ///< A is in four registers, listed in extra
  /// c is the descriptor of B before `flags >> 8` steps of 16 columns.
  wgmmaStepShift = 8
};
/// dst, a old accumulators, b and c descriptors; imm: shape. With
/// wgmmaRegisters b is the first of four registers, listed in extra.
Step execWgmma(Exec &, const Instr &);
Step execWgmmaFence(Exec &, const Instr &);
Step execWgmmaCommit(Exec &, const Instr &);
Step execWgmmaWait(Exec &,
                   const Instr &); ///< imm groups; flags 1: reads results
/// a: first register of the struct that is read.
Step execCheckAccumulator(Exec &, const Instr &);

} // namespace mlir::moe::emu

#endif // MOEC_LIB_EMULATOR_OPS_H
