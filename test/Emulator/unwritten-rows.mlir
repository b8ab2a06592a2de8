// A tensor copy takes rows that nobody has written as they are: rows of a box that no token has. A row that is
// written in part is a mistake, and so is what an ordinary load reads.
// RUN: %emulate %s --only=rows | FileCheck %s --check-prefix=ROWS
// RUN: not %emulate %s --only=parts | FileCheck %s --check-prefix=PARTS
// RUN: not %emulate %s --only=loads | FileCheck %s --check-prefix=LOADS

module attributes {
  emu.buffers = [{name = "t", type = "bf16", size = 512, init = "none"}],
  emu.launches = [
    {kernel = "rows", grid = [1], block = [32], smem = 4096, args = [{buffer = "t"}, {map = "t", type = "bf16", dims = [64, 8], strides = [128], box = [64, 8], swizzle = 128}]},
    {kernel = "parts", grid = [1], block = [32], smem = 4096, args = [{buffer = "t"}, {map = "t", type = "bf16", dims = [64, 8], strides = [128], box = [64, 8], swizzle = 128}]},
    {kernel = "loads", grid = [1], block = [32], smem = 4096, args = [{buffer = "t"}, {map = "t", type = "bf16", dims = [64, 8], strides = [128], box = [64, 8], swizzle = 128}]}]
} {
  llvm.mlir.global external @smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>

  // Copies the tile when thread 0 asks for it, and waits.
  llvm.func @fetch(%map: !llvm.ptr) {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %bytes = arith.constant 1024 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[4088] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %first = arith.cmpi eq, %tid, %c0 : i32
    nvvm.fence.proxy {kind = #nvvm.proxy_kind<async>}
    nvvm.barrier
    scf.if %first {
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
      nvvm.fence.mbarrier.init
      nvvm.mbarrier.arrive.expect_tx %bar, %bytes : !llvm.ptr<3>, i32
      %dst = llvm.addrspacecast %smem : !llvm.ptr<3> to !llvm.ptr<7>
      nvvm.cp.async.bulk.tensor.shared.cluster.global %dst, %map, %bar, box [%c0, %c0] : !llvm.ptr<7>, !llvm.ptr
    }
    nvvm.barrier
    moe_nv.wait_parity %bar, %c0 : !llvm.ptr<3>
    llvm.return
  }

  // Row 0 is written, 32 threads times 4 bytes; the other seven are nobody's.
  // ROWS: clean
  llvm.func @rows(%t: !llvm.ptr<1>, %map: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant}) attributes {nvvm.kernel} {
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %to = llvm.getelementptr %t[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
    llvm.store %tid, %to : i32, !llvm.ptr<1>
    llvm.call @fetch(%map) : (!llvm.ptr) -> ()
    // Row 0 of the tile is not moved by the swizzle.
    %from = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %v = llvm.load %from : !llvm.ptr<3> -> i32
    llvm.store %v, %to : i32, !llvm.ptr<1>
    llvm.return
  }

  // Half of row 1 is missing.
  // PARTS: uninitialised: '{{.*}}reads offset 192 of buffer 't', which nobody wrote
  llvm.func @parts(%t: !llvm.ptr<1>, %map: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant}) attributes {nvvm.kernel} {
    %c2 = arith.constant 2 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %to = llvm.getelementptr %t[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
    llvm.store %tid, %to : i32, !llvm.ptr<1>
    %half = llvm.getelementptr %t[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i16
    %short = arith.trunci %tid : i32 to i16
    %next = llvm.getelementptr %half[64] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i16
    llvm.store %short, %next : i16, !llvm.ptr<1>
    llvm.call @fetch(%map) : (!llvm.ptr) -> ()
    llvm.return
  }

  // LOADS: uninitialised: '{{.*}}reads offset 128 of buffer 't', which nobody wrote
  llvm.func @loads(%t: !llvm.ptr<1>, %map: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant}) attributes {nvvm.kernel} {
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %to = llvm.getelementptr %t[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
    llvm.store %tid, %to : i32, !llvm.ptr<1>
    %next = llvm.getelementptr %to[32] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i32
    %v = llvm.load %next : !llvm.ptr<1> -> i32
    llvm.return
  }
}
