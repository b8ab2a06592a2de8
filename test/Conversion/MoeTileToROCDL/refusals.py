# RUN: rm -rf %t && mkdir %t && %python %s %t
"""What the lowering to ROCDL does not take, it names; the kernel next to it, it takes.

Every case changes a few places of a kernel that is lowered as it stands, and says
which sentence the change must meet. A case with an empty sentence is a change that
the lowering must follow. The kernel is what -moe-tile-to-explicit makes of gemm.mlir
for gfx942, by hand.
"""

import sys

from changed_kernels import check

GATED = """
#a = #moe_tile.atom<mfma 16x16x16, swap>
#l = #moe_tile.digits<reg = [n * 4 by 1, m * 4 by 16, n * 2 by 64], lane = [m * 16 by 1, n * 4 by 4], warp = [n * 4 by 16]>
#h = #moe_tile.digits<reg = [n * 4 by 1, m * 4 by 16, n * 1 by 64], lane = [m * 16 by 1, n * 4 by 4], warp = [n * 4 by 16]>
!A = !moe_tile.buf<64x64xbf16, swizzle = 128>
!B = !moe_tile.buf<128x64xbf16, swizzle = 128>
!SA = !moe_tile.staged<64x64xbf16>
!SB = !moe_tile.staged<128x64xbf16>
!ACC = !moe_tile.acc<64x128xf32, #a>
!F = !moe_tile.frag<64x128xf32, #l>
!H = !moe_tile.frag<64x64xf32, #h>
!Q = !moe_tile.frag<64x64xbf16, #h>
moe_tile.kernel @gated(%X: memref<?x256xbf16>, %W: memref<8x384x256xbf16>, %slots: memref<?xi32>, %table: memref<?x4xi32>,
                       %n: index, %Y: memref<?x192xbf16>)
    attributes {exec = #moe_tile.exec<threads = 256, cluster = 1, grid = persistent>, form = #moe_tile.form<explicit>,
                smem_limit = 65536 : i64, target = "gfx942"} {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %c192 = arith.constant 192 : index
  %list = moe_tile.block_list %table count(%n) columns 192 by 64 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  %la = moe_tile.buf_alloc : !A
  %lb = moe_tile.buf_alloc : !B
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) claim(stride) {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) div 8 : memref<?xi32> -> !moe_tile.rows<64>
    %z = moe_tile.acc_zero : !ACC
    %acc = scf.for %k = %c0 to %c192 step %c64 iter_args(%c = %z) -> (!ACC) {
      %sa = moe_tile.fetch %X[%idx : !moe_tile.rows<64>, %k] how(vector) : memref<?x256xbf16> -> !SA
      %sb = moe_tile.fetch %W[%e, %n0, %k] boxes [0, 192] how(vector) : memref<8x384x256xbf16> -> !SB
      moe_tile.group_sync block
      moe_tile.deposit %sa to %la : !SA to !A
      moe_tile.deposit %sb to %lb : !SB to !B
      moe_tile.group_sync block
      %d = moe_tile.mma %la, %lb, %c atom(#a) : !A, !B, !ACC
      moe_tile.mma_wait 0
      scf.yield %d : !ACC
    }
    %f = moe_tile.acc_read %acc : !ACC -> !F
    %g, %u = moe_tile.split %f block 64 : !F -> !H, !H
    %q = moe_tile.map ins(%g, %u : !H, !H) -> !Q {
    ^bb0(%x: f32, %y: f32):
      %p = arith.mulf %x, %y : f32
      %v = arith.truncf %p : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%row0, %n0] limit(%rows) how(vector) : !Q to memref<?x192xbf16>
  }
  moe_tile.return
}
"""
STORE = "moe_tile.store %q to %Y[%row0, %n0] limit(%rows) how(vector) : !Q to memref<?x192xbf16>"
LOOP = "    %acc = scf.for"
FETCH = "%sa = moe_tile.fetch %X[%idx : !moe_tile.rows<64>, %k] how(vector) : memref<?x256xbf16> -> !SA"

# The sentence, then what is replaced and by what, in pairs.
CASES = [
    ("",),

    # Chip and workgroup.
    ("is for target 'gfx90a', the ROCDL lowering knows gfx942", '"gfx942"', '"gfx90a"'),
    ("", '"gfx942"', '"gfx950"'),
    ("has no exec, which the ROCDL lowering needs",
     "exec = #moe_tile.exec<threads = 256, cluster = 1, grid = persistent>, ", ""),
    ("'moe_tile.kernel' op is in sequential form, the ROCDL lowering takes the explicit one",
     "  moe_tile.return\n}", '  moe_tile.return\n}\nmoe_tile.kernel @other(%x: memref<4xf32>) attributes {target = "gfx942"} {\n  moe_tile.return\n}'),
    ("gfx942: a workgroup is whole waves of 64 threads, at most 1024, got 96", "threads = 256", "threads = 96"),
    ("gfx942: has no clusters of workgroups, got 2", "cluster = 1", "cluster = 2"),
    ("", "smem_limit = 65536", "smem_limit = 24576"),
    ("rule lds: buffers need 73728 bytes of LDS, limit is 65536", "                smem_limit = 65536 : i64, ", "  ",
     "%lb = moe_tile", "%l0 = moe_tile.buf_alloc : !B\n  %l1 = moe_tile.buf_alloc : !B\n  %l2 = moe_tile.buf_alloc : !B\n"
     "  %lb = moe_tile"),

    # Arguments and views.
    ("argument 0: the ROCDL lowering takes row-major memory only, got 'memref<4x4xf32, strided<[8, 1]>>'",
     "(%X: memref", "(%extra: memref<4x4xf32, strided<[8, 1]>>, %X: memref"),
    ("argument 0: the ROCDL lowering takes memrefs and scalars, got '!moe_tile.tiles<blocks>'",
     "(%X: memref", "(%extra: !moe_tile.tiles<blocks>, %X: memref"),
    ("", "(%X: memref", "(%extra: f32, %i: i64, %X: memref"),
    ("the ROCDL lowering takes views of row-major memory whose first extent alone is dynamic",
     "(%X: memref", "(%extra: memref<4x?x2xf32>, %X: memref",
     "  %list =", "  %flat = memref.collapse_shape %extra [[0], [1, 2]] : memref<4x?x2xf32> into memref<4x?xf32>\n  %list ="),
    ("'memref.alloc' op gfx942: has no lowering to ROCDL",
     "  %list =", "  %own = memref.alloc() : memref<1xi32>\n  %list ="),
    ("coordinates have 32 bits, got 4294967296",
     "  %list =", "  %far = arith.constant 4294967296 : index\n  %list ="),

    # Lists of tiles.
    ("the ROCDL lowering takes claim(stride)", "claim(stride)", "claim(counter)"),
    ("rule dies: tiles are shared by 3 dies (xcd), the chip has 8", "claim(stride)", "claim(stride) dies(3)"),
    ("", "claim(stride)", "claim(stride) dies(8)"),
    ("rule dies: tiles are shared by 8 dies (xcd), the chip has 1", "claim(stride)", "claim(stride) dies(8)",
     '"gfx942"', '"gfx1100"', "mfma", "wmma"),
    ("", "order(expert_major)", "order(n_major)"),
    ("", "order(expert_major)", "order(block_major)"),

    # From memory to LDS.
    ("rows of 32, 64 or 128 bytes are fetched, got 256",
     "staged<64x64xbf16>", "staged<64x128xbf16>", "staged<128x64xbf16>", "staged<128x128xbf16>",
     "buf<64x64xbf16, swizzle = 128>", "buf<64x128xbf16>", "buf<128x64xbf16, swizzle = 128>", "buf<128x128xbf16>"),
    ("one fetched tile is deposited in a buffer whose row is its swizzle, got '!moe_tile.buf<64x64xbf16>'",
     "<64x64xbf16, swizzle = 128>", "<64x64xbf16>"),
    ("copies are lds_direct, from an argument to a buf_alloc, on chips that have them",
     FETCH, "moe_tile.copy %X[%idx : !moe_tile.rows<64>, %k] how(vector) to %la : memref<?x256xbf16>, !A",
     "      moe_tile.deposit %sa to %la : !SA to !A\n", ""),
    ("", FETCH, "moe_tile.copy %X[%idx : !moe_tile.rows<64>, %k] how(lds_direct) to %la : memref<?x256xbf16>, !A",
     "      moe_tile.deposit %sa to %la : !SA to !A\n", "      moe_tile.copy_wait\n"),
    ("copies are lds_direct, from an argument to a buf_alloc, on chips that have them", '"gfx942"', '"gfx1100"', "mfma", "wmma",
     FETCH, "moe_tile.copy %X[%idx : !moe_tile.rows<64>, %k] how(lds_direct) to %la : memref<?x256xbf16>, !A",
     "      moe_tile.deposit %sa to %la : !SA to !A\n", "      moe_tile.copy_wait\n"),
    ("copies of whole waves and steps fill rows of 32, 64 or 128 bytes with their swizzle, got '!moe_tile.buf<64x64xbf16>'",
     FETCH, "moe_tile.copy %X[%idx : !moe_tile.rows<64>, %k] how(lds_direct) to %la : memref<?x256xbf16>, !A",
     "      moe_tile.deposit %sa to %la : !SA to !A\n", "      moe_tile.copy_wait\n", "<64x64xbf16, swizzle = 128>", "<64x64xbf16>"),
    ("copies of whole waves and steps fill rows",  # 200 columns are not whole steps
     FETCH, "moe_tile.copy %X[%idx : !moe_tile.rows<64>, %k] how(lds_direct) to %la : memref<?x200xbf16>, !A",
     "      moe_tile.deposit %sa to %la : !SA to !A\n", "      moe_tile.copy_wait\n", "memref<?x256xbf16>", "memref<?x200xbf16>"),
    ("", "memref<?x256xbf16>", "memref<?x200xbf16>"),  # but zeros fill up a fetch

    # Products.
    ("operands stand with the swizzle of their row, got '!moe_tile.buf<128x64xbf16>'", "<128x64xbf16, swizzle = 128>",
     "<128x64xbf16>", "      moe_tile.deposit %sb to %lb : !SB to !B\n", ""),
    ("rule matrix_operand: no matrix instruction for 'f64' by 'f64'",
     "64x64xbf16, swizzle = 128", "64x16xf64, swizzle = 128", "128x64xbf16, swizzle = 128", "128x16xf64, swizzle = 128",
     "      moe_tile.deposit %sa to %la : !SA to !A\n", "", "      moe_tile.deposit %sb to %lb : !SB to !B\n", ""),
    ("rule matrix_operand: no matrix instruction for 'bf16' by 'f16'",
     "128x64xbf16", "128x64xf16", "384x256xbf16", "384x256xf16"),
    ("", "128x64xbf16", "128x64xf16", "384x256xbf16", "384x256xf16", "64x64xbf16, swizzle", "64x64xf16, swizzle",
     "staged<64x64xbf16>", "staged<64x64xf16>", "?x256xbf16", "?x256xf16"),
    ("the layout keeps column 0 of the source in no register of the thread that holds column 0 of the result", "m * 4 by 16, n * 2 by 64], lane", "m * 2 by 16, n * 2 by 64], lane",
     "warp = [n * 4 by 16]>\n#h", "warp = [n * 4 by 16, m * 2 by 32]>\n#h"),

    # Epilogues.
    ("the ROCDL lowering needs a layout on", "frag<64x64xbf16, #h>", "frag<64x64xbf16>"),
    ("the layout of input 0 has no register for element",
     "!Q = !moe_tile.frag<64x64xbf16, #h>",
     "#o = #moe_tile.digits<reg = [n * 2 by 1, n * 2 by 8, m * 4 by 16], lane = [m * 16 by 1, n * 4 by 2], warp = [n * 4 by 16]>\n"
     "!Q = !moe_tile.frag<64x64xbf16, #o>"),
    ("the layout keeps column", "%g, %u = moe_tile.split %f block 64", "%g, %u = moe_tile.split %f block 1"),
    ("8-bit floats have no lowering as operands of an epilogue",
     "(%X: memref", "(%extra: memref<?x64xf8E4M3FN>, %X: memref",
     LOOP, "    %own = moe_tile.load %extra[%row0, %c0] : memref<?x64xf8E4M3FN> -> !E\n" + LOOP,
     "    %q =", "    %wide = moe_tile.map ins(%own : !E) -> !H {\n    ^bb0(%x: f8E4M3FN):\n"
     "      %w = arith.extf %x : f8E4M3FN to f32\n      moe_tile.yield %w : f32\n    }\n    %q =",
     "!Q =", "!E = !moe_tile.frag<64x64xf8E4M3FN, #h>\n!Q ="),
    ("", "(%X: memref", "(%extra: memref<?x64xf32>, %X: memref",
     LOOP, "    %own = moe_tile.load %extra[%row0, %c0] : memref<?x64xf32> -> !H\n" + LOOP),
    ("rows of f32 are reduced to one column, with layouts, got",
     "    %q =", "    %m = moe_tile.row_reduce absmax %g group 64 : !H -> !moe_tile.frag<64x1xf32>\n    %q ="),

    # Stores.
    ("stores of fragments have a lowering, not of buffers",
     STORE, "moe_tile.store %la to %Y[%row0, %n0] limit(%rows) : !A to memref<?x192xbf16>"),
    ("adding stores to memory of f32 have a lowering, got 'f64'",
     STORE, STORE.replace("how(vector)", "mode(add)").replace("bf16", "f64"), "(%X: memref", "(%extra: f32, %X: memref",
     "%Y: memref<?x192xbf16>", "%Y: memref<?x192xf64>", "!moe_tile.frag<64x64xbf16, #h>", "!moe_tile.frag<64x64xf64, #h>",
     "arith.truncf %p : f32 to bf16", "arith.extf %p : f32 to f64", "yield %v : bf16", "yield %v : f64"),
    ("", "?x192xbf16", "?x200xbf16"),

    # Roles.
    ("roles are whole waves of 64 threads, 256 in all, got 96 behind 0",
     "  moe_tile.return", "  moe_tile.roles {\n    moe_tile.role @one threads(96) {\n    }\n"
     "    moe_tile.role @two threads(160) {\n    }\n  }\n  moe_tile.return"),
    ("", "  moe_tile.return", "  moe_tile.roles {\n    moe_tile.role @one threads(64) {\n    }\n"
     "    moe_tile.role @two threads(192) {\n    }\n  }\n  moe_tile.return"),
]

if __name__ == "__main__":
    cases = [(GATED, *case) for case in CASES]
    sys.exit(check(sys.argv[1], cases, [("-convert-moe-tile-to-rocdl", "ROCDL")]) > 0)
