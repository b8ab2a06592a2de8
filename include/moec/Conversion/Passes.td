//===- Passes.td - Conversions between levels -*- tablegen -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_CONVERSION_PASSES_TD
#define MOEC_CONVERSION_PASSES_TD

include "mlir/Pass/PassBase.td"

def MoeToTile : Pass<"moe-to-tile", "ModuleOp"> {
  let summary = "moe ops to tile kernels and their launch plan";
  let description = [{
    Turns every function that holds moe ops on tensors into a `moe_tile.plan` of
    the same name and one `moe_tile.kernel` per op (sequential form, no target
    chosen). Each value between two ops becomes a workspace slice whose size is
    affine in the token count. Function arguments keep their names
    (`moe.name`); arguments that are destinations become outputs.

    Expects decomposed layers with a config on every GEMM (first entry is
    used). Not handled, with a diagnostic: f64. `reduce_by` of a GEMM whose rows are only summed says by whom:
    `rows`, a launch; with `tile-sums` and sorted slots `panel`, the last tile of a token's columns, and `add_f32`, all
    tiles in f32, of which the last converts (without `tile-sums` a launch, for `out = token` alone). A routing of form `direct` has no kernel: those of its GEMMs look up the experts of
    their slots. There `reduce_by = last` lets the tiles of a GEMM sum its rows, and its `moe.combine` becomes
    nothing.

    The router and align become scalar loops (`routing = loops`), or one
    `moe_tile.topk` and one `moe_tile.align` (`op`), whose `exec` suits `tokens`: one block for up to 8192 slots, clusters
    of eight for more. With `op`, an argument `tensor<1xi32>` of the function
    that has the attribute `moe.device_tokens` holds the number of tokens that
    exist when the layer runs, at most T: rows of the others are not computed,
    their results are zero.
  }];
  let options = [
    Option<"routing", "routing", "std::string", "\"loops\"", "form of the router and of align: loops or op">,
    Option<"tokens", "tokens", "int64_t", "0", "tokens that launches are shaped for, 0: many">,
    Option<"pdl", "pdl", "bool", "false",
           "kernels are launched before the one before has ended, and wait themselves">,
    Option<"tileSums", "tile-sums", "bool", "false",
           "tiles of GEMMs can count arrivals and sum over top-k">];
  let dependentDialects = ["::mlir::moe::tile::MoeTileDialect", "::mlir::arith::ArithDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
                           "::mlir::math::MathDialect"];
  let statistics = [
    Statistic<"numPlans", "plans", "functions turned into plans">,
    Statistic<"numKernels", "kernels", "kernels made">];
}

def ConvertMoeTileToCPU : Pass<"convert-moe-tile-to-cpu", "ModuleOp"> {
  let summary = "sequential tile kernels to vector code for a CPU";
  let description = [{
    Every sequential `moe_tile.kernel` becomes a `func.func` of the run time's
    kernel signature (argument array, worker, workers) made of scf, memref,
    vector and x86vector ops. Matrix products become nests of dot products on
    the operands as they lie in memory; fragments are evaluated where they are
    used. `moe_tile.plan` stays. Per-worker memory is the attribute
    `moec.scratch_bytes` of the function (bytes, a multiple of 64).

    Limits: constant reduction ranges from 0 with a k step of at least 128 or
    all of K; no explicit form.
  }];
  let options = [
    Option<"isa", "isa", "std::string", "\"avx2\"",
           "instruction set: x86-64, avx2, avx512 or avx512bf16">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect", "::mlir::x86vector::X86VectorDialect"];
  let statistics = [
    Statistic<"numKernels", "kernels", "kernels converted">];
}

def ConvertMoeNvToInlineAsm : Pass<"convert-moe-nv-to-inline-asm"> {
  let summary = "moe_nv operations to inline assembly";
  let description = [{
    Replaces every operation of moe_nv by `llvm.inline_asm` with typed operands.
    Runs last, just before translation to LLVM IR: everything earlier, the
    emulator included, sees operations and never text. Accumulators of
    `moe_nv.wgmma_wait` become tied registers, so that nothing can read them
    before the wait.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
  let statistics = [
    Statistic<"numOps", "ops", "operations turned into inline assembly">];
}

def ConvertMoeTileToNVVM : Pass<"convert-moe-tile-to-nvvm", "ModuleOp"> {
  let summary = "explicit tile kernels to NVVM for Hopper GPUs";
  let description = [{
    Every explicit `moe_tile.kernel` becomes an `llvm.func` of llvm, nvvm, arith
    and scf ops (and of `moe_nv` ops where nvvm has none). Roles become branches
    on the warp, rings become mbarriers and slots of dynamic shared memory,
    copies the tensor copy engine (`desc`) or cp.async (`gather`), products
    wgmma. `moe_tile.plan` stays.

    The attribute `moe.launch` of the function says how to launch it: `block`,
    `cluster`, `smem` (bytes of dynamic shared memory), `grid` and `params`, one
    entry for each parameter: `{operand}` the address of an operand of the
    launch, `{operand, type}` a scalar operand, `{operand, dim, type}` an
    extent, `{map, box, swizzle, l2}` a tensor map of an operand's memory with
    boxes of `box` elements, innermost dimension first.

    Coordinates (tokens times top-k, columns, experts) have 32 bits.

    Limits: bf16 and f16 operands of 64 columns with 128-byte swizzle; lists of
    row blocks with `claim(stride)`; row-major memory.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::math::MathDialect", "::mlir::NVVM::NVVMDialect",
                           "::mlir::moe::nv::MoeNvDialect", "::mlir::scf::SCFDialect"];
  let statistics = [
    Statistic<"numKernels", "kernels", "kernels converted">];
}

def ConvertMoeTileRowsToNVVM : Pass<"convert-moe-tile-rows-to-nvvm", "ModuleOp"> {
  let summary = "tile kernels without matrix products to NVVM for Hopper GPUs";
  let description = [{
    Every sequential kernel that is one `moe_tile.align` or one `moe_tile.topk` (up
    to 1024 experts, 32 choices, 32 groups), or maps, loads and
    stores of single rows (combine, quantise, dispatch, splat), becomes an
    `llvm.func` of llvm, nvvm, arith, math and scf ops. Other kernels stay.

    The attribute `moe.launch` of the function says how to launch it: `block`,
    `cluster`, `smem` (bytes of dynamic shared memory), `grid` (of each
    dimension the blocks, or `{operand, dim, mul, add, div}` =
    ceil((extent * mul + add) / div)), `params`, one entry for each parameter:
    `{operand}` the address of an operand of the launch, `{operand, type}` a
    scalar operand, `{operand, dim, type}` an extent; `early_start` if the kernel
    has a `moe_tile.await_launch`: it may then be launched programmatically
    before the earlier kernel has ended.

    Memory that is read or written in vectors must begin at a multiple of 16
    bytes. Coordinates (tokens times top-k, and vectors of all rows) have 32
    bits. Neither kernel needs zeroed memory or blocks that are resident
    together.

    align: `exec.threads` (default 1024) is a multiple of 128 and at least the
    number of experts; `exec.cluster` (default 8) blocks count together. Rows are
    in slot order, whatever the launch. A warp counts at most 2^20 slots.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::math::MathDialect", "::mlir::NVVM::NVVMDialect",
                           "::mlir::scf::SCFDialect"];
  let statistics = [
    Statistic<"numKernels", "kernels", "kernels converted">];
}

def ConvertMoeTileToROCDL : Pass<"convert-moe-tile-to-rocdl", "ModuleOp"> {
  let summary = "explicit tile kernels to ROCDL for AMD GPUs";
  let description = [{
    Every explicit `moe_tile.kernel` whose `target` is an AMD chip becomes an
    `llvm.func` of llvm, rocdl, amdgpu, arith, math and scf ops. Fetched tiles
    travel through registers, 16 bytes per lane, to LDS; `group_sync` becomes
    `amdgpu.lds_barrier`, products `amdgpu.mfma` or `amdgpu.wmma`.
    `moe_tile.plan` stays.

    The function has the attributes `rocdl.kernel`, its workgroup size,
    `moe.chip`, `moe.wave` (lanes) and `moe.launch` as in
    `convert-moe-tile-to-nvvm` (`smem` is 0: LDS is static).

    Rows of a tile that do not exist, and columns beyond the weights, read some
    row that does: their products are never stored. Coordinates have 32 bits.

    Fails with the chip's name and the rule before any instruction is selected:
    operand types without a matrix instruction, LDS over the limit, workgroups
    that are not whole waves.
  }];
  let dependentDialects = ["::mlir::amdgpu::AMDGPUDialect", "::mlir::arith::ArithDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
                           "::mlir::ROCDL::ROCDLDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
  let statistics = [
    Statistic<"numKernels", "kernels", "kernels converted">];
}

def ConvertMoeTileRowsToROCDL : Pass<"convert-moe-tile-rows-to-rocdl", "ModuleOp"> {
  let summary = "tile kernels without matrix products to ROCDL for AMD GPUs";
  let description = [{
    As `convert-moe-tile-rows-to-nvvm`, the same kernels for AMD chips: an
    `llvm.func` of llvm, rocdl, amdgpu, arith, math and scf ops with the
    attributes `rocdl.kernel`, its workgroup size, `moe.chip`, `moe.wave` (lanes)
    and `moe.launch` (`smem` is 0: LDS is static). Waves have 32 or 64 lanes.

    There are no clusters and no early launches: where `exec.cluster` is more
    than one, 16 workgroups count all slots, each for itself, and share the
    writing. Threads of align are halved until its counters fit into the LDS.

    Eight-bit floats in memory are of the OCP formats on every chip.
  }];
  let options = [
    Option<"chip", "chip", "std::string", "\"gfx942\"",
           "Chip: gfx942, gfx950, gfx1100, gfx1151 or gfx1201">];
  let dependentDialects = ["::mlir::amdgpu::AMDGPUDialect", "::mlir::arith::ArithDialect",
                           "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
                           "::mlir::ROCDL::ROCDLDialect", "::mlir::scf::SCFDialect"];
  let statistics = [
    Statistic<"numKernels", "kernels", "kernels converted">];
}

#endif // MOEC_CONVERSION_PASSES_TD

