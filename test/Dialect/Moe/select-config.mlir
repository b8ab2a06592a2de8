// RUN: moe-opt %s -split-input-file -moe-select-config | FileCheck %s --check-prefix=CPU
// RUN: moe-opt %s -split-input-file -moe-select-config=tokens=9 | FileCheck %s --check-prefix=CPUFEW
// RUN: moe-opt %s -split-input-file -moe-select-config="target=sm_90a tokens=4096" | FileCheck %s --check-prefix=SM90
// RUN: moe-opt %s -split-input-file -moe-select-config="target=sm_90a tokens=4 limit=1" | FileCheck %s --check-prefix=FEW
// RUN: moe-opt %s -split-input-file -moe-select-config="target=gfx942 tokens=4096" | FileCheck %s --check-prefix=GFX
// RUN: moe-opt %s -split-input-file -moe-select-config="target=sm_89 tokens=4096" --remarks-filter-analyse=moe-select-config 2>%t
// RUN: FileCheck %s --check-prefix=REMARK < %t
// RUN: not moe-opt %s -moe-select-config="target=sm_75" 2>&1 | FileCheck %s --check-prefix=TARGET
// RUN: not moe-opt %s -moe-select-config="tokens=-1" 2>&1 | FileCheck %s --check-prefix=TOKENS

// TARGET: moe-select-config: unknown target 'sm_75', known are cpu, sm_80, {{.*}}gfx1201
// TOKENS: moe-select-config: tokens must not be negative, got -1

// Both GEMMs of a routing share block m, which the routing pads to.
// CPU-LABEL: func.func @layer
// CPU: moe.align {{.*}} -> <experts = 8, topk = 2, block_m = 64>
// CPU: moe.grouped_gemm {{.*}} routing(%{{.*}} : <experts = 8, topk = 2, block_m = 64>) {{.*}} config [#moe.config<block = [64, 128, 0], source = "rule">, #moe.config<block = [64, 64, 0], source = "rule">]
// CPU: moe.grouped_gemm {{.*}} config [#moe.config<block = [64, 128, 0], source = "rule">, #moe.config<block = [64, 64, 0], source = "rule">]

// Few rows per expert leave few tiles: narrow ones.
// CPUFEW-LABEL: func.func @layer
// CPUFEW: config [#moe.config<block = [64, 64, 0], source = "rule">] outs
// CPUFEW: config [#moe.config<block = [64, 64, 0], source = "rule">] outs

// SM90-LABEL: func.func @layer
// SM90: moe.align {{.*}} block_m = 128>
// SM90: moe.grouped_gemm {{.*}} config [#moe.config<block = [128, 256, 64], stages = 4, a = "gather", b = "desc", order = "expert_major", store = "desc", load_regs = 40, compute_groups = 2, compute_regs = 232, claim = "stride", source = "rule">, #moe.config<block = [128, 256, 64], stages = 3, {{.*}}>, #moe.config<block = [128, 128, 64], stages = 6, {{.*}}>]
// SM90: moe.grouped_gemm {{.*}} config [#moe.config<block = [128, 256, 64], stages = 4, a = "desc", b = "desc", order = "expert_major", store = "staged", load_regs = 40, compute_groups = 2, compute_regs = 232, claim = "stride", source = "rule">, #moe.config<block = [128, 256, 64], stages = 3, {{.*}}>, #moe.config<block = [128, 128, 64], stages = 6, {{.*}}>]

// FEW-LABEL: func.func @layer
// FEW: moe.align {{.*}} block_m = 16>
// FEW: config [#moe.config<block = [16, 64, 64], stages = 12, swap = true, a = "gather", b = "desc", order = "expert_major", store = "vector", claim = "stride", source = "rule">] outs

// Two workgroups with one stage of 128 x 128 bf16 tiles fill the 64 KiB of a compute unit.
// GFX-LABEL: func.func @layer
// GFX: moe.grouped_gemm {{.*}} config [#moe.config<block = [128, 128, 64], stages = 1, a = "gather", b = "vector", order = "expert_major", store = "vector", claim = "stride", xcd = 8, source = "rule">
// REMARK: shared_memory | Category:moe-select-config | Reason="2 stages need 131072 bytes, sm_89 has 101376"
func.func @layer(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %w1: tensor<8x1024x512xbf16>,
                 %w2: tensor<8x512x1024xbf16>, %h: tensor<?x1024xbf16>, %o: tensor<?x512xf32>) -> tensor<?x512xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %a = moe.grouped_gemm a(%x : tensor<?x512xbf16>) b(%w1 : tensor<8x1024x512xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = expert_sorted outs(%h : tensor<?x1024xbf16>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x1024xbf16>
  %b = moe.grouped_gemm a(%a : tensor<?x1024xbf16>) b(%w2 : tensor<8x512x1024xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = slots a_layout = expert_sorted out = flat_topk outs(%o : tensor<?x512xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x512xf32>
  return %b : tensor<?x512xf32>
}

// -----

// A present configuration decides block m for the other GEMM and stays.
// CPU-LABEL: func.func @present
// CPU: moe.align {{.*}} block_m = 32>
// CPU: config [#moe.config<block = [32, 128, 128], source = "user">]
// CPU: config [#moe.config<block = [32, 64, 0], source = "rule">]
func.func @present(%x: tensor<16x512xbf16>, %ids: tensor<16x2xi32>, %w1: tensor<8x1024x512xbf16>,
                   %w2: tensor<8x512x1024xbf16>, %h: tensor<32x1024xbf16>, %o: tensor<32x512xf32>) -> tensor<32x512xf32> {
  %r = moe.align %ids : tensor<16x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %a = moe.grouped_gemm a(%x : tensor<16x512xbf16>) b(%w1 : tensor<8x1024x512xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = expert_sorted
         config [#moe.config<block = [32, 128, 128], source = "user">] outs(%h : tensor<32x1024xbf16>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<32x1024xbf16>
  %b = moe.grouped_gemm a(%a : tensor<32x1024xbf16>) b(%w2 : tensor<8x512x1024xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = slots a_layout = expert_sorted out = flat_topk outs(%o : tensor<32x512xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<32x512xf32>
  return %b : tensor<32x512xf32>
}

// -----

// The closing quantisation decides the columns of a CPU tile.
// CPU-LABEL: func.func @closing
// CPU: config [#moe.config<block = [64, 32, 0], source = "rule">]
func.func @closing(%x: tensor<?x512xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x1024x512xbf16>,
                   %o: tensor<?x1024xi8>, %s: tensor<?x32xf32>) -> (tensor<?x1024xi8>, tensor<?x32xf32>) {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %a:2 = moe.grouped_gemm a(%x : tensor<?x512xbf16>) b(%w : tensor<8x1024x512xbf16>)
         routing(%r : !moe.routing<experts = 8, topk = 2>)
         rows = gather a_layout = token out = expert_sorted
         quantize #moe.quant<i8, granule = [1, 32], scale = f32>
         outs(%o, %s : tensor<?x1024xi8>, tensor<?x32xf32>) {
    ^bb0(%v: f32):
      moe.yield %v : f32
  } -> tensor<?x1024xi8>, tensor<?x32xf32>
  return %a#0, %a#1 : tensor<?x1024xi8>, tensor<?x32xf32>
}

// -----

// A GEMM on buffers has no result whose readers could be asked.
// CPU-LABEL: func.func @buffers
// CPU: moe.grouped_gemm {{.*}} config [#moe.config<
// SM90-LABEL: func.func @buffers
// SM90: moe.grouped_gemm {{.*}} config [#moe.config<
func.func @buffers(%i: memref<?x2xi32>, %x: memref<?x64xbf16>, %w: memref<8x64x64xbf16>, %o: memref<?x64xbf16>) {
  %r = moe.align %i : memref<?x2xi32> -> !moe.routing<experts = 8, topk = 2, block_m = 1>
  moe.grouped_gemm a(%x : memref<?x64xbf16>) b(%w : memref<8x64x64xbf16>)
    routing(%r : !moe.routing<experts = 8, topk = 2, block_m = 1>)
    rows = gather a_layout = token out = expert_sorted
    formulation = grouped outs(%o : memref<?x64xbf16>) {
    ^bb0(%a: f32):
      moe.yield %a : f32
  }
  return
}
