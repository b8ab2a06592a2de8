// Two kernels of a layer at the level of rocdl, and the plan that launches them. @scale takes rows through its own
// pointers, @turn exchanges values through LDS and counts blocks in a zeroed slice.

llvm.mlir.global internal @lds() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<512 x i8>

llvm.func @scale(%x: !llvm.ptr<1>, %w: !llvm.ptr<1>, %rows: i32, %columns: i64, %real: !llvm.ptr<1>)
    attributes {moe_tile.lowered, rocdl.kernel, rocdl.reqd_work_group_size = array<i32: 256, 1, 1>,
      moe.launch = {block = array<i64: 256, 1, 1>, smem = 0 : i64,
        grid = [{operand = 0, dim = 0, mul = 4, add = 3, div = 16}, 2, 1],
        params = [{operand = 0}, {operand = 1}, {operand = 0, dim = 0, type = i32}, {const = 64, type = i64},
                  {device_tokens = i32}]}} {
  %tid = rocdl.workitem.id.x : i32
  %block = rocdl.workgroup.id.x : i32
  %c256 = arith.constant 256 : i32
  %base = arith.muli %block, %c256 : i32
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

llvm.func @turn(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>, %count: !llvm.ptr<1>)
    attributes {moe_tile.lowered, rocdl.kernel, rocdl.flat_work_group_size = "64,64",
      moe.launch = {block = array<i64: 64, 1, 1>, smem = 0 : i64, grid = [{persistent = 1}, 1, 1],
        params = [{operand = 0}, {operand = 1}, {zeroed = 64}]}} {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %last = arith.constant 63 : i32
  %tile = llvm.mlir.addressof @lds : !llvm.ptr<3>
  %tid = rocdl.workitem.id.x : i32
  %first = arith.cmpi eq, %tid, %zero : i32
  scf.if %first {
    %old = llvm.atomicrmw add %count, %one syncscope("agent") monotonic : !llvm.ptr<1>, i32
  }
  %p = llvm.getelementptr %in[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, bf16
  %v = llvm.load %p : !llvm.ptr<1> -> bf16
  %s = llvm.getelementptr %tile[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, bf16
  llvm.store %v, %s : bf16, !llvm.ptr<3>
  amdgpu.lds_barrier
  %other = arith.subi %last, %tid : i32
  %t = llvm.getelementptr %tile[%other] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, bf16
  %u = llvm.load %t : !llvm.ptr<3> -> bf16
  %q = llvm.getelementptr %out[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, bf16
  llvm.store %u, %q : bf16, !llvm.ptr<1>
  llvm.return
}

moe_tile.plan @layer(%x: memref<?x64xbf16> {moe.name = "x", moe.role = "input"},
                     %out: memref<?x64xbf16> {moe.name = "out", moe.role = "output"}) {
  %c0 = arith.constant 0 : index
  %t = memref.dim %x, %c0 : memref<?x64xbf16>
  %w = moe_tile.workspace(%t) align 128 : memref<?x64xbf16>
  %k0 = moe_tile.launch @scale(%x, %w) : (memref<?x64xbf16>, memref<?x64xbf16>) -> !moe_tile.token
  %k1 = moe_tile.launch @turn(%w, %out) after(%k0) : (memref<?x64xbf16>, memref<?x64xbf16>) -> !moe_tile.token
  moe_tile.return
}
