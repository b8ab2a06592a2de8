// Align as one op, shaped for few and for many tokens; kernels that wait for earlier launches themselves.
// RUN: moe-opt %s --moe-to-tile="routing=op tokens=16 pdl=true" | FileCheck %s --check-prefixes=CHECK,FEW
// RUN: moe-opt %s --moe-to-tile="routing=op" | FileCheck %s --check-prefixes=CHECK,MANY
// RUN: not moe-opt %s --moe-to-tile="routing=loop" 2>&1 | FileCheck %s --check-prefix=ERROR

// ERROR: moe-to-tile: routing is loops or op, got 'loop'

// No workspace for counters.
// CHECK-LABEL: moe_tile.plan @l
// CHECK-NOT:     memref<8xi32>
// FEW:           moe_tile.launch @l_align({{.*}}) pdl
// FEW:           moe_tile.launch @l_dispatch({{.*}}) pdl
// MANY-NOT:      pdl
// CHECK-LABEL: moe_tile.kernel @l_align
// FEW-SAME:      exec = #moe_tile.exec<threads = 128, cluster = 1
// MANY-SAME:     exec = #moe_tile.exec<threads = 1024, cluster = 8
// FEW-NEXT:      moe_tile.await_launch
// CHECK-NEXT:    moe_tile.align ids({{.*}} experts 8 topk 2 block_m 64 pad 16
// CHECK-NEXT:    moe_tile.return
// CHECK-LABEL: moe_tile.kernel @l_dispatch
// FEW-NEXT:      moe_tile.await_launch
// MANY-NOT:      moe_tile.await_launch
func.func @l(%x: tensor<?x4xf32>, %ids: tensor<?x2xi32>, %o: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2, block_m = 16>
  %y = moe.dispatch %x : tensor<?x4xf32> routing(%r : !moe.routing<experts = 8, topk = 2, block_m = 16>)
         layout = expert_sorted_padded outs(%o : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// The number of tokens that exist, as a value on the device.
// CHECK-LABEL: moe_tile.plan @some
// CHECK-SAME:    %[[N:[a-z0-9]+]]: memref<1xi32> {moe.name = "arg2"
// CHECK:         moe_tile.launch @some_align(%{{.*}}, %{{.*}}, %[[N]], %
// CHECK-LABEL: moe_tile.kernel @some_align
// CHECK:         device_tokens(%{{.*}} : memref<1xi32>)
func.func @some(%x: tensor<?x4xf32>, %ids: tensor<?x2xi32>, %n: tensor<1xi32> {moe.device_tokens},
                %o: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.dispatch %x : tensor<?x4xf32> routing(%r : !moe.routing<experts = 8, topk = 2>)
         layout = expert_sorted outs(%o : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
