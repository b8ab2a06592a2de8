# RUN: rm -rf %t && mkdir %t && %python %s %t
"""Kernels without an explicit form, each beside one that has it."""

import sys

from changed_kernels import check

GEMM = """
!A = !moe_tile.buf<64x64xbf16>
!ACC = !moe_tile.acc<64x64xf32>
!F = !moe_tile.frag<64x64xf32>
!Q = !moe_tile.frag<64x64xbf16>
moe_tile.kernel @k(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %l: !moe_tile.tiles<records>, %p: i1, %Y: memref<?x64xbf16>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !ACC
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !ACC)
      load(%k: index) {
        %a = moe_tile.load %A[%row0, %k] : memref<?x128xbf16> -> !A
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !A
        moe_tile.yield %a, %b : !A, !A
      } compute(%k: index, %a: !A, %b: !A, %c: !ACC) {
        %d = moe_tile.mma %a, %b, %c : !A, !A, !ACC
        moe_tile.yield %d : !ACC
      }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    %q = moe_tile.map ins(%f : !F) -> !Q {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%row0, %n0] limit(%r) : !Q to memref<?x64xbf16>
  }
  moe_tile.return
}
"""
MMA = "%d = moe_tile.mma %a, %b, %c : !A, !A, !ACC"
NO = "has no explicit form: "
CASES = [
    ("",),
    ("", "moe.config = #moe.config<block = [64, 64, 64], stages = 4>", "moe.other = 1"),  # stays as it is
    (NO + "its compute region is more than one product",
     MMA, MMA.replace("%d", "%e0") + "\n        %d = moe_tile.mma %a, %b, %e0 : !A, !A, !ACC"),
    (NO + "its compute region is more than one product", MMA, MMA.replace("%a, %b,", "%b, %a,")),
    (NO + "it does not start from zero", "%z = moe_tile.acc_zero : !ACC", "%z = scf.if %p -> !ACC {\n      %z0 = moe_tile.acc_zero : !ACC\n      scf.yield %z0 : !ACC\n    }"
     " else {\n      %z1 = moe_tile.acc_zero : !ACC\n      scf.yield %z1 : !ACC\n    }"),
    ("clusters of 2x1 blocks have no explicit form yet", "stages = 4", "stages = 4, cluster = [2, 1]"),
    ("moe-tile-assign-atoms: target is 'sm_90a', the kernel's is 'sm_80'", "stages = 4>", 'stages = 4>, target = "sm_80"'),
]

if __name__ == "__main__":
    sys.exit(check(sys.argv[1], [(GEMM, *case) for case in CASES], [("-moe-tile-to-explicit", "")]) > 0)
