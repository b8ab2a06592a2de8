// RUN: moe-opt %s --moe-to-tile --convert-moe-tile-to-cpu=isa=avx512bf16 --canonicalize --cse | FileCheck %s
// RUN: moe-opt %s --moe-to-tile --convert-moe-tile-to-cpu=isa=avx512 --canonicalize --cse | FileCheck %s --check-prefix=NONE

// NONE-NOT: llvm.call_intrinsic
// NONE: vector.fma
// NONE-NOT: llvm.call_intrinsic

// Up to six rows: four look-ups of words give 128 codes, the sum of their
// products takes the scale of the group; nothing decoded is stored.
// CHECK-LABEL: func.func @groups_gemm
// CHECK:         scf.index_switch
// CHECK-NEXT:    case 1 {
// CHECK:           scf.for
// CHECK-NOT:       vector.store
// CHECK:           %[[LINE:.*]] = vector.load {{.*}} vector<64xi8>
// CHECK:           %[[WORDS:.*]] = vector.bitcast %[[LINE]] : vector<64xi8> to vector<32xi16>
// CHECK:           llvm.call_intrinsic "llvm.x86.avx512.permvar.hi.512"(%{{.*}}, %[[WORDS]])
// CHECK-COUNT-3:   llvm.call_intrinsic "llvm.x86.avx512.permvar.hi.512"
// CHECK-COUNT-4:   x86vector.avx512.dot
// CHECK-NOT:       vector.store
// CHECK:           vector.fma
// CHECK:         case 6 {
#w4 = #moe.quant<i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even>
func.func @groups(%x: tensor<?x256xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x64x128xi8>,
                  %s: tensor<8x64x2xbf16>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.grouped_gemm a(%x : tensor<?x256xbf16>) b(%w : tensor<8x64x128xi8> scale %s : tensor<8x64x2xbf16> quant #w4)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         scales <a = none, b = promote 128, zero = element>
         config [#moe.config<block = [16, 64, 0]>] outs(%o : tensor<?x64xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// Scales of 32 columns: the sums of 128 columns by a vector of four scales.
// CHECK-LABEL: func.func @short_groups_gemm
// CHECK:         case 1 {
// CHECK-COUNT-4:   x86vector.avx512.dot
// CHECK:           vector.load {{.*}} vector<4xi8>
// CHECK:           vector.shuffle {{.*}} [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3] : vector<4xf32>, vector<4xf32>
#mx = #moe.quant<f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx>
func.func @short_groups(%x: tensor<?x256xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x64x128xi8>,
                        %s: tensor<8x64x8xf8E8M0FNU>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.grouped_gemm a(%x : tensor<?x256xbf16>) b(%w : tensor<8x64x128xi8> scale %s : tensor<8x64x8xf8E8M0FNU> quant #mx)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         scales <a = none, b = operand, zero = none>
         config [#moe.config<block = [16, 64, 0]>] outs(%o : tensor<?x64xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}

// 64 fp8 codes by two look-ups of bytes, interleaved to two vectors.
// CHECK-LABEL: func.func @bytes_gemm
// CHECK:         case 1 {
// CHECK:           %[[LINE:.*]] = vector.load {{.*}} vector<64xi8>
// CHECK-COUNT-2:   llvm.call_intrinsic "llvm.x86.avx512.vpermi2var.qi.512"(%{{.*}}, %[[LINE]], %{{.*}})
// CHECK-COUNT-2:   vector.shuffle {{.*}} : vector<64xi8>, vector<64xi8>
#f8 = #moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>
func.func @bytes(%x: tensor<?x256xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x128x256xf8E4M3FN>,
                 %s: tensor<8x1x2xf32>, %o: tensor<?x128xf32>) -> tensor<?x128xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.grouped_gemm a(%x : tensor<?x256xbf16>) b(%w : tensor<8x128x256xf8E4M3FN> scale %s : tensor<8x1x2xf32> quant #f8)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         scales <a = none, b = promote 128, zero = none>
         config [#moe.config<block = [16, 64, 0]>] outs(%o : tensor<?x128xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x128xf32>
  return %y : tensor<?x128xf32>
}

// A step of a promotion that is not whole lines of codes takes the other way.
// CHECK-LABEL: func.func @odd_gemm
// CHECK-NOT:     vpermi2var.qi
// CHECK:         return
#f8c = #moe.quant<f8E4M3FN, granule = [1, *], scale = f32>
func.func @odd(%x: tensor<?x96xbf16>, %ids: tensor<?x2xi32>, %w: tensor<8x64x96xf8E4M3FN>,
               %s: tensor<8x64x1xf32>, %o: tensor<?x64xf32>) -> tensor<?x64xf32> {
  %r = moe.align %ids : tensor<?x2xi32> -> !moe.routing<experts = 8, topk = 2>
  %y = moe.grouped_gemm a(%x : tensor<?x96xbf16>) b(%w : tensor<8x64x96xf8E4M3FN> scale %s : tensor<8x64x1xf32> quant #f8c)
         routing(%r : !moe.routing<experts = 8, topk = 2>) rows = gather a_layout = token out = flat_topk
         scales <a = none, b = promote 96, zero = none>
         config [#moe.config<block = [16, 64, 0]>] outs(%o : tensor<?x64xf32>) {
    ^bb0(%c: f32):
      moe.yield %c : f32
  } -> tensor<?x64xf32>
  return %y : tensor<?x64xf32>
}
