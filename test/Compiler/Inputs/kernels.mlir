// Two kernels of a layer at the level of nvvm, and the plan that launches them. @scale doubles rows through its own
// pointers, @move brings a tile by tensor map and counts in a zeroed slice.

llvm.mlir.global external @dyn_smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>

llvm.func @scale(%x: !llvm.ptr<1>, %w: !llvm.ptr<1>, %rows: i32, %columns: i64, %real: !llvm.ptr<1>)
    attributes {moe_tile.lowered, nvvm.kernel, nvvm.reqntid = array<i32: 128>,
      moe.launch = {block = array<i64: 128, 1, 1>, smem = 0 : i64,
        grid = [{operand = 0, dim = 0, mul = 4, add = 3, div = 8}, 2, 1],
        params = [{operand = 0}, {operand = 1}, {operand = 0, dim = 0, type = i32}, {const = 64, type = i64},
                  {device_tokens = i32}]}} {
  %tid = nvvm.read.ptx.sreg.tid.x : i32
  %block = nvvm.read.ptx.sreg.ctaid.x : i32
  %c128 = arith.constant 128 : i32
  %base = arith.muli %block, %c128 : i32
  %i = arith.addi %base, %tid : i32
  %c64 = arith.trunci %columns : i64 to i32
  %count = arith.muli %rows, %c64 : i32
  %inside = arith.cmpi ult, %i, %count : i32
  scf.if %inside {
    %p = llvm.getelementptr %x[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, bf16
    %h = llvm.load %p : !llvm.ptr<1> -> bf16
    %v = arith.extf %h : bf16 to f32
    %e = math.exp %v : f32
    %r = arith.truncf %e : f32 to bf16
    %q = llvm.getelementptr %w[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, bf16
    llvm.store %r, %q : bf16, !llvm.ptr<1>
  }
  llvm.return
}

llvm.func @move(%map: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant},
                %out: !llvm.ptr<1>, %count: !llvm.ptr<1>)
    attributes {moe_tile.lowered, nvvm.kernel, nvvm.reqntid = array<i32: 128>,
      moe.launch = {block = array<i64: 128, 1, 1>, cluster = array<i64: 1, 1, 1>, smem = 8200 : i64,
        grid = [{persistent = 1}, 1, 1], early_start,
        params = [{map = 0, box = array<i64: 64, 64>, swizzle = 128, l2 = 256}, {operand = 1}, {zeroed = 64}]}} {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %bytes = arith.constant 8192 : i32
  %ticks = arith.constant 100000 : i32
  %tile = llvm.mlir.addressof @dyn_smem : !llvm.ptr<3>
  %bar = llvm.getelementptr %tile[8192] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
  %tid = nvvm.read.ptx.sreg.tid.x : i32
  %first = arith.cmpi eq, %tid, %zero : i32
  scf.if %first {
    nvvm.mbarrier.init %bar, %one : !llvm.ptr<3>, i32
    nvvm.fence.mbarrier.init
    nvvm.mbarrier.arrive.expect_tx %bar, %bytes : !llvm.ptr<3>, i32
    %to = llvm.addrspacecast %tile : !llvm.ptr<3> to !llvm.ptr<7>
    nvvm.cp.async.bulk.tensor.shared.cluster.global %to, %map, %bar, box [%zero, %zero] : !llvm.ptr<7>, !llvm.ptr
    %old = llvm.atomicrmw add %count, %one monotonic : !llvm.ptr<1>, i32
  }
  nvvm.barrier0
  nvvm.mbarrier.try_wait.parity %bar, %zero, %ticks : !llvm.ptr<3>, i32, i32
  %p = llvm.getelementptr %tile[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, bf16
  %v = llvm.load %p : !llvm.ptr<3> -> bf16
  %q = llvm.getelementptr %out[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, bf16
  llvm.store %v, %q : bf16, !llvm.ptr<1>
  llvm.return
}

moe_tile.plan @layer(%x: memref<?x64xbf16> {moe.name = "x", moe.role = "input"},
                     %out: memref<?x64xbf16> {moe.name = "out", moe.role = "output"}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xbf16>
  %w = moe_tile.workspace(%t) align 128 : memref<?x64xbf16>
  %k0 = moe_tile.launch @scale(%x, %w) : (memref<?x64xbf16>, memref<?x64xbf16>) -> !moe_tile.token
  %k1 = moe_tile.launch @move(%w, %out) after(%k0) : (memref<?x64xbf16>, memref<?x64xbf16>) -> !moe_tile.token
  moe_tile.return
}
