# RUN: rm -rf %t && mkdir %t && %python %s %t
"""What the CPU lowering does not take, it names; the kernel next to it, it takes.

Every case changes one place of a kernel that is lowered as it stands, and says
which sentence the change must meet. A case with an empty sentence is a change
that the lowering must follow.
"""

import pathlib
import subprocess
import sys

# A product with a promotion by a factor per row and one per column.
PROMOTED = """
!BA = !moe_tile.buf<8x128xbf16>
!BB = !moe_tile.buf<64x128xbf16>
!ACC = !moe_tile.acc<8x64xf32>
!F = !moe_tile.frag<8x64xf32>
!R = !moe_tile.frag<8x1xf32>
!C = !moe_tile.frag<1x64xf32>
moe_tile.kernel @promoted(%A: memref<?x256xbf16>, %B: memref<64x256xbf16>, %S: memref<?x2xf32>,
                          %T: memref<2x64xf32>, %D: memref<?x64xf32>) {
  %c0 = arith.constant 0 : index
  %c128 = arith.constant 128 : index
  %c256 = arith.constant 256 : index
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  %init = moe_tile.frag_splat %zero : f32 -> !F
  %sum = moe_tile.k_loop %c0 to %c256 step 128 init(%init : !F)
    load(%k: index) {
      %a = moe_tile.load %A[%c0, %k] : memref<?x256xbf16> -> !BA
      %b = moe_tile.load %B[%c0, %k] : memref<64x256xbf16> -> !BB
      moe_tile.yield %a, %b : !BA, !BB
    } compute(%k: index, %a: !BA, %b: !BB, %f: !F) {
      %z = moe_tile.acc_zero : !ACC
      %p = moe_tile.mma %a, %b, %z : !BA, !BB, !ACC
      %part = moe_tile.acc_read %p : !ACC -> !F
      %at = arith.divui %k, %c128 : index
      %s = moe_tile.load %S[%c0, %at] : memref<?x2xf32> -> !R
      %t = moe_tile.load %T[%at, %c0] : memref<2x64xf32> -> !C
      %g = moe_tile.promote %part, %f row(%s : !R) col(%t : !C) : !F
      moe_tile.yield %g : !F
    }
  moe_tile.store %sum to %D[%c0, %c0] : !F to memref<?x64xf32>
  moe_tile.return
}
"""

# A kernel without a product.
ROWS = """
!F = !moe_tile.frag<4x64xf32>
moe_tile.kernel @rows(%x: memref<16x64xf32>, %y: memref<16x64xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %c16 = arith.constant 16 : index
  scf.parallel (%i) = (%c0) to (%c16) step (%c4) {
    %f = moe_tile.load %x[%i, %c0] : memref<16x64xf32> -> !F
    moe_tile.store %f to %y[%i, %c0] : !F to memref<16x64xf32>
  }
  moe_tile.return
}
"""

# Kernel, what is replaced, by what, the sentence; more pairs may follow.
CASES = [
    (PROMOTED, "", "", ""),
    (PROMOTED, "%c0 to %c256 step 128", "%c128 to %c256 step 128",
     "'moe_tile.k_loop' op the CPU lowering needs a constant reduction range from 0"),
    (PROMOTED, "%A: memref<?x256xbf16>,", "%n: index, %A: memref<?x256xbf16>,",
     "'moe_tile.k_loop' op the CPU lowering needs a constant reduction range from 0",
     "%c0 to %c256 step", "%c0 to %n step"),
    (PROMOTED, "%c0 to %c256 step 128", "%c0 to %c256 step 64",
     "needs a k step of at least 128 or all of K, got step 64 of 256",
     "8x128xbf16", "8x64xbf16", "64x128xbf16", "64x64xbf16"),
    (PROMOTED, "frag_splat %zero", "frag_splat %one",
     "'moe_tile.k_loop' op the CPU lowering starts products from zero"),
    (PROMOTED, "promote %part, %f", "promote %part, %part",
     "'moe_tile.promote' op the CPU lowering promotes into the carried value"),
    (PROMOTED, "promote %part, %f", "promote %f, %f",
     "'moe_tile.promote' op the CPU lowering promotes what acc_read gives"),
    (PROMOTED, "moe_tile.yield %g : !F", "moe_tile.yield %part : !F",
     "'moe_tile.k_loop' op the CPU lowering folds one mma per step"),
    (PROMOTED, "moe_tile.mma %a, %b, %z : !BA, !BB, !ACC",
     "moe_tile.mma %a, %b, %q : !BA, !BB, !ACC",
     "'moe_tile.mma' op the CPU lowering accumulates into the carried value, or from zero before a promotion",
     "      %p = ", "      %q = moe_tile.mma %a, %b, %z : !BA, !BB, !ACC\n      %p = "),
    (PROMOTED, " col(%t : !C)", "", ""),
    (PROMOTED, " row(%s : !R)", "", ""),
    (PROMOTED, "row(%s", "row(%r", "",
     "      %g =", "      %r = moe_tile.frag_splat %one : f32 -> !R\n      %g ="),
    (PROMOTED, "row(%s", "row(%r",
     "'moe_tile.k_loop' op the CPU lowering needs factor row to be a load",
     "      %g =", "      %v = arith.addf %one, %one : f32\n"
     "      %r = moe_tile.frag_splat %v : f32 -> !R\n      %g ="),
    (PROMOTED, "col(%t", "col(%r", "",
     "      %g =", "      %r = moe_tile.frag_splat %one : f32 -> !C\n      %g ="),
    (PROMOTED, "col(%t", "col(%r",
     "'moe_tile.k_loop' op the CPU lowering needs factor col to be a load",
     "      %g =", "      %v = arith.addf %one, %one : f32\n"
     "      %r = moe_tile.frag_splat %v : f32 -> !C\n      %g ="),
    (PROMOTED, "%B: memref<64x256xbf16>", "%B: memref<256x64xbf16>",
     "'moe_tile.k_loop' op the CPU lowering needs k as the innermost dimension of b",
     "moe_tile.load %B[%c0, %k] : memref<64x256xbf16>", "moe_tile.load %B[%k, %c0] dims [1, 0] : memref<256x64xbf16>"),
    (PROMOTED, "8x64xf32", "8x18xf32", "needs column blocks that are multiples of 4, got 18",
     "64x128xbf16", "18x128xbf16", "1x64xf32", "1x18xf32"),
    (PROMOTED, "8x64xf32", "8x16xf32", "", "64x128xbf16", "16x128xbf16", "1x64xf32", "1x16xf32"),
    (PROMOTED, "8x64xf32", "8x2xf32", "", "64x128xbf16", "2x128xbf16", "1x64xf32", "1x2xf32"),

    (ROWS, "", "", ""),
    (ROWS, "!moe_tile.frag<4x64xf32>", "!moe_tile.buf<4x64xf32>",
     "'moe_tile.load' op the CPU lowering takes buffers inside of a k_loop only"),
    (ROWS, "(%i) = (%c0) to (%c16) step (%c4)", "(%i, %j) = (%c0, %c0) to (%c16, %c1) step (%c4, %c1)",
     "'scf.parallel' op the CPU lowering distributes loops over one range without reduction"),
    (ROWS, "(%i) = (%c0) to (%c16) step (%c4)", "(%i) = (%c0) to (%c16) step (%c4)",
     "'moe_tile.acc_read' op the CPU lowering reads accumulators of a k_loop only",
     "%f = moe_tile.load %x[%i, %c0] : memref<16x64xf32> -> !F",
     "%z = moe_tile.acc_zero : !moe_tile.acc<4x64xf32>\n"
     "    %f = moe_tile.acc_read %z : !moe_tile.acc<4x64xf32> -> !F"),
]


def lower(path):
    return subprocess.run(["moe-opt", "--convert-moe-tile-to-cpu=isa=avx2", str(path), "-o", "/dev/null"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60)


def main(folder):
    wrong = 0
    for number, (kernel, old, new, sentence, *more) in enumerate(CASES):
        for old, new in zip([old] + more[::2], [new] + more[1::2]):
            assert old in kernel, f"case {number}: no '{old}' in the kernel"
            kernel = kernel.replace(old, new) if old else kernel
        path = pathlib.Path(folder) / f"{number}.mlir"
        path.write_text(kernel, encoding="utf-8")
        done = lower(path)
        if sentence:
            good = done.returncode == 1 and f"error: {sentence}" in done.stdout or (
                done.returncode == 1 and sentence in done.stdout and "error: '" in done.stdout)
        else:
            good = done.returncode == 0 and not done.stdout
        if not good:
            wrong += 1
            print(f"case {number}: wanted '{sentence}', exit {done.returncode}:\n{done.stdout[:500]}")
    print(f"{len(CASES)} kernels, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
