// RUN: moe-opt %s --moe-to-tile --verify-each | FileCheck %s

// What a configuration for a GPU says is obeyed: the order of the tiles, how
// they are dealt out, whole k steps and column blocks beyond the matrices'
// ends, and rows of bf16 before the sum over top-k.

#first = #moe.config<block = [128, 128, 64], stages = 4, a = "gather", b = "desc", order = "n_major", claim = "stride">
#second = #moe.config<block = [128, 256, 64], stages = 4, b = "desc", order = "expert_major", xcd = 8, partial = "bf16">

// Nobody counts tiles, so that no counter is made and zeroed.
// CHECK-LABEL: moe_tile.plan @layer
// CHECK-NOT:     zero
// CHECK:         %[[ROWS:.+]] = moe_tile.workspace({{.*}} : memref<?x40xbf16>
// CHECK:         moe_tile.launch @layer_gemm_0({{.*}}, %[[ROWS]])
// CHECK:         moe_tile.launch @layer_combine(%[[ROWS]]
// CHECK-LABEL: moe_tile.kernel @layer_gemm(
// CHECK-NOT:     claim_counter
// CHECK-SAME:    moe.config = #moe.config<block = [128, 128, 64], stages = 4, a = "gather", b = "desc", order = "n_major", claim = "stride">
// CHECK:         order(n_major) claim(stride)
// CHECK:         moe_tile.k_loop {{.*}} to %c104 step 64
// CHECK:           moe_tile.load {{.*}} -> !moe_tile.buf<128x64xbf16>
// CHECK:           moe_tile.load {{.*}} boxes [0, 192] {{.*}} -> !moe_tile.buf<256x64xbf16>
// CHECK-LABEL: moe_tile.kernel @layer_gemm_0(
// CHECK:         moe_tile.block_list {{.*}} columns 40 by 256
// Dies with tiles of their own leave nothing to count.
// CHECK:         order(expert_major) claim(stride) dies(8)
// CHECK:         moe_tile.map {{.*}} -> !moe_tile.frag<128x256xbf16>
// CHECK:           arith.truncf
// CHECK:         moe_tile.store {{.*}} to memref<?x40xbf16>
// CHECK-LABEL: moe_tile.kernel @layer_combine(
// CHECK:         moe_tile.load {{.*}} : memref<?x40xbf16> -> !moe_tile.frag<1x40xbf16>
// CHECK:         arith.extf
func.func @layer(%x: tensor<?x104xbf16>, %ids: tensor<?x2xi32>, %w1: tensor<8x384x104xbf16>, %w2: tensor<8x40x192xbf16>,
                 %out: tensor<?x40xbf16>) -> tensor<?x40xbf16> {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %t = tensor.dim %x, %c0 : tensor<?x104xbf16>
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %n = arith.muli %t, %c2 : index
  %e1 = tensor.empty(%n) : tensor<?x192xbf16>
  %h = moe.grouped_gemm a(%x : tensor<?x104xbf16>) b(%w1 : tensor<8x384x104xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = expert_sorted
         gate_up <halves> config [#first] outs(%e1 : tensor<?x192xbf16>) {
    ^bb0(%g: f32, %u: f32):
      %v = arith.mulf %g, %u : f32
      moe.yield %v : f32
  } -> tensor<?x192xbf16>
  %e2 = tensor.empty(%n) : tensor<?x40xf32>
  %d = moe.grouped_gemm a(%h : tensor<?x192xbf16>) b(%w2 : tensor<8x40x192xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = slots a_layout = expert_sorted out = flat_topk
         config [#second] outs(%e2 : tensor<?x40xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x40xf32>
  %y = moe.combine %d : tensor<?x40xf32> routing(%r : !moe.routing<experts = 8, topk = 2>)
         layout = flat_topk outs(%out : tensor<?x40xbf16>) -> tensor<?x40xbf16>
  return %y : tensor<?x40xbf16>
}

// Rows that somebody else reads keep their type.
// CHECK-LABEL: moe_tile.plan @read_twice
// CHECK-NOT:     memref<?x40xbf16>
// CHECK-LABEL: moe_tile.kernel @read_twice_gemm(
// CHECK:         moe_tile.store {{.*}} to memref<?x40xf32>
func.func @read_twice(%x: tensor<?x104xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x40x104xbf16>,
                      %rows: tensor<?x40xf32>) -> tensor<?x40xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %d = moe.grouped_gemm a(%x : tensor<?x104xbf16>) b(%w : tensor<8x40x104xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         config [#second] outs(%rows : tensor<?x40xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x40xf32>
  return %d : tensor<?x40xf32>
}
