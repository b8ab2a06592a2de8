//===- MoeNvOps.td - Operations of moe_nv -------------------- -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_DIALECT_MOENV_IR_MOENVOPS_TD
#define MOEC_DIALECT_MOENV_IR_MOENVOPS_TD

include "mlir/Dialect/LLVMIR/LLVMOpBase.td"
include "mlir/IR/OpBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "moec/Dialect/MoeNv/IR/MoeNvDialect.td"

class MoeNv_Op<string mnemonic, list<Trait> traits = []> : Op<MoeNv_Dialect, mnemonic, traits>;

def MoeNv_GlobalPtr : LLVM_PointerInAddressSpace<1>;
def MoeNv_SharedPtr : LLVM_PointerInAddressSpace<3>;

//===----------------------------------------------------------------------===//
// Matrix units
//===----------------------------------------------------------------------===//

def MoeNv_WgmmaWaitOp : MoeNv_Op<"wgmma_wait"> {
  let summary = "wait for groups of wgmma and take over their accumulators";
  let description = [{
    Waits until at most `pending` of the most recent committed groups of the
    warpgroup are in flight. Every accumulator that is read or handed on
    afterwards passes through the operation: result i is operand i with the
    matrix products of the completed groups in it. This tie is what keeps LLVM
    from moving the readers above the wait; `nvvm.wgmma.wait.group.sync.aligned`
    has no operands and orders nothing.

    Accumulators are structs of f32 or i32 fields, as `nvvm.wgmma.mma_async`
    gives them (`wgmma_wait_c1`); results have the types of the operands
    (`wgmma_wait_c2`); `pending` is in [0, 7] (`wgmma_wait_c3`).

    ```mlir
    %d0, %d1 = moe_nv.wgmma_wait 0 (%a0, %a1
        : !llvm.struct<(f32, f32)>, !llvm.struct<(f32, f32)>)
    ```
  }];
  let arguments = (ins I32Attr:$pending, Variadic<LLVM_AnyStruct>:$accumulators);
  let results = (outs Variadic<LLVM_AnyStruct>:$results);
  let assemblyFormat = [{
    $pending (`(` $accumulators^ `:` custom<TiedTypes>(type($accumulators), type($results)) `)`)? attr-dict
  }];
  let builders = [OpBuilder<(ins "int32_t":$pending, CArg<"::mlir::ValueRange", "{}">:$accumulators), [{
    build($_builder, $_state, accumulators.getTypes(), $_builder.getI32IntegerAttr(pending), accumulators);
  }]>];
  let hasVerifier = 1;
}

def MoeNv_WgmmaRegistersOp : MoeNv_Op<"wgmma_registers"> {
  let summary = "matrix products of a warpgroup with A in registers";
  let description = [{
    d = c + A * B^T for 64 rows of A and n = 8, 16, ..., 256 rows of B, f32 sums:
    one `wgmma.mma_async` per 16 columns, each with four registers of A behind a
    `wgmma.fence` that orders the writes of all of them. Register 4 s + i of lane
    4 g + t in warp w holds two neighbours of row 16 w + g + 8 (i mod 2), columns
    16 s + 8 (i div 2) + 2 t and + 1. B is K-major in shared memory with a
    swizzle of 128 bytes; `descriptor` is that of its first 16 columns, of which
    four stand side by side in a row.

    Like `nvvm.wgmma.mma_async` the products are in flight until the group that a
    commit closes has been waited for; the registers of A are read until then.
    `from_zero`: c is ignored.

    Constraints: `wgmma_registers_c1`: accumulators are a struct of n / 2 f32
    fields; `wgmma_registers_c2`: 4, 8, 12 or 16 registers of A; `elt` is bf16 or
    f16.
  }];
  let arguments = (ins LLVM_AnyStruct:$accumulator, Variadic<I32>:$a, I64:$descriptor, TypeAttr:$elt,
                       UnitAttr:$from_zero);
  let results = (outs LLVM_AnyStruct:$result);
  let assemblyFormat = [{
    $accumulator `,` `[` $a `]` `,` $descriptor `of` $elt (`from_zero` $from_zero^)? attr-dict
    `:` custom<SameType>(type($accumulator), type($result))
  }];
  let hasVerifier = 1;
}

def MoeNv_MmaF8Op : MoeNv_Op<"mma_f8", [Pure, AttrSizedOperandSegments]> {
  let summary = "matrix product of a warp of 8-bit floats";
  let description = [{
    d = c + A * B^T for 16 rows of A and 8 rows of B with 32 columns, f32 sums:
    `mma.sync.aligned.m16n8k32`, which came with sm_89. Register i of A in lane
    4 g + t holds columns 4 t + 16 (i div 2) and the three next ones of row
    g + 8 (i mod 2); register i of B columns 4 t + 16 i of row g; accumulators
    are (g, 2 t), (g, 2 t + 1), (g + 8, 2 t), (g + 8, 2 t + 1).

    Constraints: `mma_f8_c1`: four registers of A, two of B, four accumulators,
    which are the fields of the result; `mma_f8_c2`: the types are f8E4M3FN or
    f8E5M2.
  }];
  let arguments = (ins Variadic<I32>:$a, Variadic<I32>:$b, Variadic<F32>:$c, TypeAttr:$a_type, TypeAttr:$b_type);
  let results = (outs LLVM_AnyStruct:$result);
  let assemblyFormat = [{
    `[` $a `]` `,` `[` $b `]` `,` `[` $c `]` `of` $a_type `,` $b_type attr-dict `:` type($result)
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Global memory
//===----------------------------------------------------------------------===//

def MoeNv_LoadNcOp : MoeNv_Op<"load_nc"> {
  let summary = "read 4, 8 or 16 bytes that nobody writes during the kernel";
  let description = [{
    `ld.global.nc`: the non-coherent path. The memory must not be written while
    the kernel runs. `no_allocate` asks for no line in L1 (streamed data).
    Naturally aligned: the address is a multiple of the bytes read.
  }];
  let arguments = (ins Arg<MoeNv_GlobalPtr, "", [MemRead]>:$address, UnitAttr:$no_allocate);
  let results = (outs AnyTypeOf<[I32, VectorOfLengthAndType<[2, 4], [I32]>]>:$result);
  let assemblyFormat = "$address (`no_allocate` $no_allocate^)? attr-dict `:` qualified(type($address)) `->` type($result)";
}

def MoeNv_RedAddOp : MoeNv_Op<"red_add"> {
  let summary = "add a value or a vector to global memory, element by element atomic";
  let description = [{
    `red.relaxed.gpu.global.add`. Each element is added atomically; the vector as
    a whole is not one transaction. f32: 1, 2 or 4 elements; bf16 and f16: 2, 4 or
    8 (the operand type says so). The address is a multiple of the bytes written. The order of
    additions is not defined, so sums of floats differ from run to run.
  }];
  let arguments = (ins Arg<MoeNv_GlobalPtr, "", [MemRead, MemWrite]>:$address,
                       AnyTypeOf<[F32, VectorOfLengthAndType<[2, 4], [F32]>,
                                  VectorOfLengthAndType<[2, 4, 8], [BF16, F16]>]>:$value);
  let assemblyFormat = "$address `,` $value attr-dict `:` qualified(type($address)) `,` type($value)";
}

def MoeNv_BulkReduceAddOp : MoeNv_Op<"bulk_reduce_add"> {
  let summary = "add a run of shared memory to global memory, asynchronously";
  let description = [{
    `cp.reduce.async.bulk.global.shared::cta.bulk_group.add`: one thread starts
    it, element type is `elt` (f32, bf16 or f16, `bulk_reduce_add_c1`). Both
    addresses and `size` (bytes) are multiples of 16. Completion is tracked by
    `nvvm.cp.async.bulk.commit.group` and `.wait_group`.
  }];
  let arguments = (ins Arg<MoeNv_GlobalPtr, "", [MemRead, MemWrite]>:$destination,
                       Arg<MoeNv_SharedPtr, "", [MemRead]>:$source, I32:$size, TypeAttr:$elt);
  let assemblyFormat = [{
    $destination `,` $source `,` $size `of` $elt attr-dict `:` qualified(type($destination)) `,` qualified(type($source))
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Hand-over between threads
//===----------------------------------------------------------------------===//

def MoeNv_WaitParityOp : MoeNv_Op<"wait_parity"> {
  let summary = "block until a phase of an mbarrier has completed";
  let description = [{
    Returns once the phase whose parity is `parity` (0 or 1) has completed:
    a loop around `mbarrier.try_wait.parity.acquire.cta`. A fresh barrier counts
    as having completed a phase of parity 1.
  }];
  let arguments = (ins Arg<MoeNv_SharedPtr, "", [MemRead, MemWrite]>:$barrier, I32:$parity);
  let assemblyFormat = "$barrier `,` $parity attr-dict `:` qualified(type($barrier))";
}

def MoeNv_SignalOp : MoeNv_Op<"signal"> {
  let summary = "publish earlier writes and add to a counter in global memory";
  let description = [{
    `fence.acq_rel.gpu` followed by `red.release.gpu.global.add.u32`. Whoever sees
    the new count by `moe_nv.await` also sees every write that happened before,
    including writes of other threads of the block that were ordered before it by
    a barrier.
  }];
  let arguments = (ins Arg<MoeNv_GlobalPtr, "", [MemRead, MemWrite]>:$counter, I32:$increment);
  let assemblyFormat = "$counter `,` $increment attr-dict `:` qualified(type($counter))";
}

def MoeNv_AwaitOp : MoeNv_Op<"await"> {
  let summary = "block until a counter in global memory has reached a value";
  let description = [{
    Spins on `ld.acquire.gpu.global.u32` until the counter, unsigned, is at least
    `target`. All blocks that signal must be resident or have run before.
  }];
  let arguments = (ins Arg<MoeNv_GlobalPtr, "", [MemRead, MemWrite]>:$counter, I32:$target);
  let assemblyFormat = "$counter `,` $target attr-dict `:` qualified(type($counter))";
}

#endif // MOEC_DIALECT_MOENV_IR_MOENVOPS_TD
