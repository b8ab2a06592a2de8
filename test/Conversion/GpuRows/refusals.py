# RUN: rm -rf %t && mkdir %t && %python %s %t
"""What the lowering of rows and of products without matrix units does not take, it
names, on NVIDIA and on AMD chips alike; the kernel next to it, it takes.

Every case changes a few places of a kernel that is lowered as it stands. A case with
an empty sentence is a change that the lowering must follow.
"""

import sys

from changed_kernels import check

# A row per block: its largest value, and the row divided by it.
ROWS = """
!F = !moe_tile.frag<1x256xf32>
!R = !moe_tile.frag<1x1xf32>
!Q = !moe_tile.frag<1x256xbf16>
moe_tile.kernel @rows(%x: memref<?x256xf32>, %slots: memref<?xi32>, %y: memref<?x256xbf16>, %s: memref<?x1xf32>, %z: memref<?x8xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %x, %c0 : memref<?x256xf32>
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %a = moe_tile.load %x[%i, %c0] : memref<?x256xf32> -> !F
    %m = moe_tile.row_reduce absmax %a group 256 : !F -> !R
    %q = moe_tile.map ins(%a, %m : !F, !R) -> !Q {
    ^bb0(%u: f32, %v: f32):
      %d = arith.divf %u, %v : f32
      %r = arith.truncf %d : f32 to bf16
      moe_tile.yield %r : bf16
    }
    moe_tile.store %q to %y[%i, %c0] : !Q to memref<?x256xbf16>
    moe_tile.store %m to %s[%i, %c0] : !R to memref<?x1xf32>
  }
  moe_tile.return
}
"""
STORE = "    moe_tile.store %q to"
REDUCE = "%m = moe_tile.row_reduce absmax %a group 256 : !F -> !R"
BODY = "%d = arith.divf %u, %v : f32"

# A gated product of one row by 8 columns.
VECTOR = """
#fma = #moe.config<block = [1, 8, 0], a = "direct", b = "direct", atom = "fma", warps = 4>
!A = !moe_tile.buf<1x256xbf16>
!B = !moe_tile.buf<16x256xbf16>
!ACC = !moe_tile.acc<1x16xf32>
!F = !moe_tile.frag<1x16xf32>
!H = !moe_tile.frag<1x8xf32>
!Q = !moe_tile.frag<1x8xbf16>
moe_tile.kernel @two(%x: memref<?x256xbf16>, %w: memref<4x128x256xbf16>, %table: memref<?x4xi32>, %n: index,
                     %bias: memref<4x64xf32>, %y: memref<?x64xbf16>) attributes {moe.config = #fma} {
  %c0 = arith.constant 0 : index
  %c256 = arith.constant 256 : index
  %list = moe_tile.block_list %table count(%n) columns 64 by 8 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_iota %row0 limit(%rows) -> !moe_tile.rows<1>
    %z = moe_tile.acc_zero : !ACC
    %acc = moe_tile.k_loop %c0 to %c256 step 256 init(%z : !ACC)
      load(%k: index) {
        %a = moe_tile.load %x[%idx : !moe_tile.rows<1>, %k] : memref<?x256xbf16> -> !A
        %b = moe_tile.load %w[%e, %n0, %k] boxes [0, 64] : memref<4x128x256xbf16> -> !B
        moe_tile.yield %a, %b : !A, !B
      } compute(%k: index, %a: !A, %b: !B, %c: !ACC) {
        %d = moe_tile.mma %a, %b, %c : !A, !B, !ACC
        moe_tile.yield %d : !ACC
      }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    %g, %u = moe_tile.split %f block 8 : !F -> !H, !H
    %i = moe_tile.load %bias[%e, %n0] : memref<4x64xf32> -> !H
    %h = moe_tile.map ins(%g, %u, %i : !H, !H, !H) -> !Q {
    ^bb0(%v: f32, %o: f32, %p: f32):
      %m = arith.mulf %v, %o : f32
      %s = arith.addf %m, %p : f32
      %r = arith.truncf %s : f32 to bf16
      moe_tile.yield %r : bf16
    }
    moe_tile.store %h to %y[%row0, %n0] limit(%rows) : !Q to memref<?x64xbf16>
  }
  moe_tile.return
}
"""
FORM = "has no form without matrix units: "

CASES = [
    (ROWS, ""),

    # Loops over rows.
    (ROWS, "the row lowering to NAME takes loops over rows from 0 with step 1", "(%c0) to (%n)", "(%c1) to (%n)"),
    (ROWS, "the row lowering to NAME takes loops over rows from 0 with step 1",
     "scf.parallel (%i) = (%c0) to (%n) step (%c1)", "scf.parallel (%i, %j) = (%c0, %c0) to (%n, %n) step (%c1, %c1)"),
    (ROWS, "the number of rows must be a constant or an extent of a kernel argument",
     "  scf.parallel", "  %twice = arith.addi %n, %n : index\n  scf.parallel", "to (%n) step", "to (%twice) step"),
    (ROWS, "", "  scf.parallel", "  %c7 = arith.constant 7 : index\n  scf.parallel", "to (%n) step", "to (%c7) step"),
    (ROWS, "takes loops from 0 by 1 to a constant",
     STORE, "    scf.for %j = %c1 to %n step %c1 {\n      %e = moe_tile.load %x[%j, %c0] : memref<?x256xf32> -> !F\n"
     "      moe_tile.store %e to %x[%j, %c0] : !F to memref<?x256xf32>\n    }\n" + STORE),

    # Widths.
    (ROWS, "works on 2 rows at once; the row lowering to NAME takes one",
     STORE, "    %other = moe_tile.load %x[%i, %c0] : memref<?x256xf32> -> !moe_tile.frag<2x256xf32>\n" + STORE),
    (ROWS, "reduces rows of 1027 columns; the row lowering to NAME takes up to 1024 vectors of a power of two of columns",
     "x256x", "x1027x", "group 256", "group 1027"),
    (ROWS, "", "x256x", "x1028x", "group 256", "group 1028"),
    (ROWS, "mixes tiles of 256 and 2 columns; the row lowering to NAME takes one width",
     REDUCE, "%m2 = moe_tile.row_reduce absmax %a group 128 : !F -> !moe_tile.frag<1x2xf32>\n    " + REDUCE),
    (ROWS, "the row lowering to NAME reduces one tile of f32 to one column",
     REDUCE, REDUCE.replace("absmax %a", "absmax %a, %a").replace("group 256 : !F", "group 512 : !F, !F")),
    (ROWS, "", "row_reduce absmax", "row_reduce sum"),

    # Memory.
    (ROWS, "takes row-major memory, got 'memref<?x256xf32, strided<[512, 1]>>'",
     "memref<?x256xf32>", "memref<?x256xf32, strided<[512, 1]>>"),
    (ROWS, "boxes have no row lowering to NAME",
     "%x[%i, %c0] : memref<?x256xf32> -> !F", "%x[%i, %c0] boxes [0, 512] on 1 : memref<?x1024xf32> -> !F",
     "%x: memref<?x256xf32>", "%x: memref<?x1024xf32>", "dim %x, %c0 : memref<?x256xf32>", "dim %x, %c0 : memref<?x1024xf32>"),
    (ROWS, "granules have no row lowering to NAME",
     "%x[%i, %c0] : memref<?x256xf32> -> !F", "%x[%i, %c0] granule [2, 1] : memref<?x256xf32> -> !F"),
    (ROWS, "the row lowering to NAME loads fragments, not '!moe_tile.buf<1x256xf32>'",
     STORE, "    %other = moe_tile.load %x[%i, %c0] : memref<?x256xf32> -> !moe_tile.buf<1x256xf32>\n" + STORE),
    (ROWS, "stores 2 tiles side by side; the row lowering to NAME takes one",
     "store %q to %y[%i, %c0] : !Q to memref<?x256xbf16>", "store %q, %q to %y[%i, %c0] : !Q, !Q to memref<?x512xbf16>",
     "%y: memref<?x256xbf16>", "%y: memref<?x512xbf16>"),
    (ROWS, "gives 2 rows; the row lowering takes one",
     "%a = moe_tile.load %x[%i, %c0]", "%idx = moe_tile.row_index %slots[%i] limit(%n) : memref<?xi32> -> !moe_tile.rows<2>\n"
     "    %a = moe_tile.load %x[%i, %c0]"),
    (ROWS, "", "%a = moe_tile.load %x[%i, %c0]",
     "%idx = moe_tile.row_index %slots[%i] limit(%n) : memref<?xi32> -> !moe_tile.rows<1>\n"
     "    %a = moe_tile.load %x[%idx : !moe_tile.rows<1>, %c0]"),

    # Scalars.
    (ROWS, "coordinates have 32 bits, got 2147483648",
     "    %a =", "    %far = arith.constant 2147483648 : index\n    %a ="),
    (ROWS, "functions of 'f64' have no lowering to NAME, only those of f32",
     BODY, "%w = arith.extf %u : f32 to f64\n      %e = math.exp %w : f64\n      %k = arith.truncf %e : f64 to f32\n"
     "      %d = arith.divf %k, %v : f32"),
    (ROWS, "'math.erf' op has no lowering to NAME", BODY, "%e = math.erf %u : f32\n      %d = arith.divf %e, %v : f32"),
    (ROWS, "", BODY, "%e = math.exp %u : f32\n      %d = arith.divf %e, %v : f32"),

    # Products without matrix units.
    (VECTOR, ""),
    (VECTOR, FORM + "it has 2 loops over tiles, not one", "  moe_tile.return",
     "  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) {\n  }\n  moe_tile.return"),
    (VECTOR, FORM + "only a plain product of two loads over all of K", "%c0 to %c256 step 256", "%n to %c256 step 256"),
    (VECTOR, FORM + "the product is read beside its split",
     "    %i = ", "    %both = moe_tile.map ins(%f : !F) -> !F {\n    ^bb0(%v: f32):\n      moe_tile.yield %v : f32\n    }\n    %i = "),
    (VECTOR, FORM + "products of 'f16' by 'bf16'", "%x: memref<?x256xbf16>", "%x: memref<?x256xf16>",
     ": memref<?x256xbf16> -> !A", ": memref<?x256xf16> -> !A", "buf<1x256xbf16>", "buf<1x256xf16>"),
    (VECTOR, "", "xbf16>", "xf16>", "f32 to bf16", "f32 to f16", "%r : bf16", "%r : f16"),
    (VECTOR, FORM + "rows of 252 values are not whole pieces of 16 bytes of a weight's row, 'memref<4x128x252xbf16>'",
     "x256x", "x252x", "constant 256", "constant 252", "step 256", "step 252"),
    (VECTOR, "", "x256x", "x264x", "constant 256", "constant 264", "step 256", "step 264"),
    (VECTOR, FORM + "blocks of 64 warps", "warps = 4", "warps = 64"),
    (VECTOR, "", "warps = 4", "warps = 8"),
    (VECTOR, "", ", warps = 4", ""),
    (VECTOR, FORM + "granules", "%w[%e, %n0, %k] boxes", "%w[%e, %n0, %k] granule [2, 1, 1] boxes"),
    (VECTOR, FORM + "an epilogue of other ops than maps, splits and loads",
     "%h = moe_tile.map ins(%g,", "%top = moe_tile.row_reduce absmax %g group 1 : !H -> !H\n    %h = moe_tile.map ins(%top,"),
    (VECTOR, FORM + "one fragment is stored, and not added",
     "store %h to %y[%row0, %n0] limit(%rows) : !Q to memref<?x64xbf16>",
     "store %g to %y[%row0, %n0] limit(%rows) mode(add) : !H to memref<?x64xf32>", "%y: memref<?x64xbf16>", "%y: memref<?x64xf32>"),
    (VECTOR, "", "store %h to %y[%row0, %n0] limit(%rows) : !Q to memref<?x64xbf16>",
     "store %g to %y[%row0, %n0] limit(%rows) : !H to memref<?x64xf32>", "%y: memref<?x64xbf16>", "%y: memref<?x64xf32>"),
]
TARGETS = [("-convert-moe-tile-rows-to-nvvm", "NVVM"), ("-convert-moe-tile-rows-to-rocdl=chip=gfx1100", "ROCDL")]

if __name__ == "__main__":
    sys.exit(check(sys.argv[1], CASES, TARGETS) > 0)
