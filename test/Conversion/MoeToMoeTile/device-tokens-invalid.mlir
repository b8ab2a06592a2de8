// RUN: moe-opt %s --moe-to-tile="routing=op" --split-input-file --verify-diagnostics
// RUN: not moe-opt %s --moe-to-tile 2>&1 --split-input-file | FileCheck %s

// CHECK: moe.device_tokens needs moe-to-tile with routing = op
func.func @fine(%x: tensor<?x4xf32>, %ids: tensor<?x2xi32>, %n: tensor<1xi32> {moe.device_tokens},
                %o: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.dispatch %x : tensor<?x4xf32> routing(%r : !moe.routing<experts = 8, topk = 2>)
         layout = expert_sorted outs(%o : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// -----

// expected-error @below {{argument 2 with moe.device_tokens must be the only one and tensor<1xi32>, got 'tensor<2xi32>'}}
func.func @two(%x: tensor<?x4xf32>, %ids: tensor<?x2xi32>, %n: tensor<2xi32> {moe.device_tokens},
               %o: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.dispatch %x : tensor<?x4xf32> routing(%r : !moe.routing<experts = 8, topk = 2>)
         layout = expert_sorted outs(%o : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
