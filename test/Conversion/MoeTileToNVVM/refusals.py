# RUN: rm -rf %t && mkdir %t && %python %s %t
"""What the lowering to NVVM does not take, it names; the kernel next to it, it takes.

Every case changes a few places of the kernels in convert-moe-tile-to-nvvm.mlir,
which are lowered as they stand, and says which sentence the change must meet. A
case with an empty sentence is a change that the lowering must follow.
"""

import pathlib
import sys

from changed_kernels import check

HERE = pathlib.Path(__file__).parent
BASE = (HERE / "convert-moe-tile-to-nvvm.mlir").read_text(encoding="utf-8")
# The first kernel with all its types.
GEMM1 = BASE[BASE.index("#full"):BASE.index("  moe_tile.return\n}\n") + len("  moe_tile.return\n}\n")]
# Its gather, the load of its count, the staged store and the products.
GATHER = "moe_tile.copy %X[%idx : !moe_tile.rows<128>, %k] how(gather) to %a : memref<?x2048xbf16>, !A"
WEIGHTS = "moe_tile.copy %W[%e, %n0, %k] boxes [0, 256] how(desc) to %b : memref<16x512x2048xbf16>, !B"
STORE0 = "moe_tile.store %s0 to %Y[%row0, %n0] limit(%rows) : !A to memref<?x256xbf16>"
DEPOSIT0 = "moe_tile.deposit %h0 to %s0 : !Q to !A"

# The sentence, then what is replaced and by what, in pairs.
CASES = [
    ("",),

    # Arguments and views.
    ("argument 0: the NVVM lowering takes memrefs and scalars, got '!moe_tile.tiles<blocks>'",
     "(%X: memref", "(%extra: !moe_tile.tiles<blocks>, %X: memref"),
    ("", "(%X: memref", "(%extra: f32, %i: i64, %X: memref"),
    ("'memref.alloc' op has no lowering to NVVM",
     "%n32 = memref.load %count[%c0]", "%own = memref.alloc() : memref<1xi32>\n  %n32 = memref.load %own[%c0]"),
    ("the NVVM lowering takes views of row-major memory whose first extent alone is dynamic",
     "(%X: memref", "(%extra: memref<4x?x2xf32>, %X: memref",
     "  %list =", "  %flat = memref.collapse_shape %extra [[0], [1, 2]] : memref<4x?x2xf32> into memref<4x?xf32>\n  %list ="),
    ("", "(%X: memref", "(%extra: memref<?x4x2xf32>, %X: memref",
     "  %list =", "  %flat = memref.collapse_shape %extra [[0], [1, 2]] : memref<?x4x2xf32> into memref<?x8xf32>\n  %list ="),

    # Lists of tiles.
    ("'moe_tile.for_tiles' op the NVVM lowering takes claim(stride)", "claim(stride)", "claim(counter)"),
    ("rule dies: tiles are shared by 8 dies (xcd), the chip has 1", "claim(stride)", "claim(stride) dies(8)"),
    ("", "order(block_major)", "order(expert_major)"),
    ("", "order(block_major)", "order(n_major)"),

    # Rings.
    ("'moe_tile.ring_alloc' op the NVVM lowering takes rings with sync = tx", "sync = tx", "sync = lockstep"),
    ("", "ring<4 x", "ring<2 x"),

    # Copies by descriptor.
    ("columns of the tile must be the innermost dimension of the memory",
     "%W[%e, %n0, %k] boxes [0, 256] how(desc) to %b : memref<16x512x2048xbf16>",
     "%W[%e, %k, %n0] dims [2, 1] boxes [0, 256] how(desc) to %b : memref<16x2048x512xbf16>",
     "%W: memref<16x512x2048xbf16>", "%W: memref<16x2048x512xbf16>"),
    ("a descriptor needs strides that are multiples of 16 bytes, dimension 1 has 4100",
     "16x512x2048xbf16", "16x512x2050xbf16"),
    ("copies are made by desc, gather or vector", "boxes [0, 256] how(desc)", "boxes [0, 256] how(element)"),
    ("copies with granules have no lowering to NVVM", "boxes [0, 256] how(desc)", "granule [1, 2, 1] boxes [0, 256] how(desc)"),
    ("boxes of a descriptor copy are along the rows", "boxes [0, 256] how(desc)", "boxes [0, 256] on 1 how(desc)"),
    ("a row of 128 bytes must equal the swizzle of 64 bytes", "swizzle = 128", "swizzle = 64"),
    ("a descriptor describes a whole argument, this memory is another view of one: 'memref<32x256x2048xbf16>'",
     "  %list =", "  %flat = memref.expand_shape %W [[0], [1, 2], [3]] output_shape [16, 2, 256, 2048] : memref<16x512x2048xbf16> into memref<16x2x256x2048xbf16>\n"
     "  %other = memref.collapse_shape %flat [[0, 1], [2], [3]] : memref<16x2x256x2048xbf16> into memref<32x256x2048xbf16>\n  %list =",
     WEIGHTS, WEIGHTS.replace("%W", "%other").replace("16x512x", "32x256x").replace("boxes [0, 256] ", "")),
    ("coordinates have 32 bits, got 2147483648", "  %list =", "  %far = arith.constant 2147483648 : index\n  %list ="),
    ("", "boxes [0, 256] how(desc)", "how(desc)"),

    # Gathers.
    ("a gather copies 16 bytes at a time, rows of 4090 bytes do not stay aligned",
     "memref<?x2048xbf16>", "memref<?x2045xbf16>"),
    ("", "memref<?x2048xbf16>", "memref<?x2040xbf16>"),
    ("a gather takes rows of a memory of rank 2, got 'memref<1x?x2048xbf16>'",
     "%X: memref<?x2048xbf16>", "%X: memref<1x?x2048xbf16>",
     "%X[%idx : !moe_tile.rows<128>, %k] how(gather) to %a : memref<?x2048xbf16>",
     "%X[%c0, %idx : !moe_tile.rows<128>, %k] how(gather) to %a : memref<1x?x2048xbf16>"),
    ("a gather has no boxes", "how(gather)", "boxes [0, 64] on 1 how(gather)"),
    ("threads of the load role must fill groups of 8 rows, got 32 threads for rows of 8 copies",
     "role @load threads(128)", "role @load threads(32)", "threads = 384", "threads = 288"),
    ("", "role @load threads(128)", "role @load threads(64)", "threads = 384", "threads = 320"),

    # Copies by threads.
    ("", GATHER, "moe_tile.copy %X[%row0, %k] how(vector) to %a : memref<?x2048xbf16>, !A"),
    ("a copy by threads moves 16 bytes at a time, rows of 'memref<?x2044xbf16>' do not stay aligned",
     GATHER, "moe_tile.copy %X[%row0, %k] how(vector) to %a : memref<?x2044xbf16>, !A", "?x2048xbf16", "?x2044xbf16"),
    ("a copy by threads takes consecutive rows whose columns are the innermost dimension, got 'memref<2048x?xbf16>'",
     GATHER, "moe_tile.copy %X[%k, %row0] dims [1, 0] how(vector) to %a : memref<2048x?xbf16>, !A", "?x2048xbf16", "2048x?xbf16"),
    ("a copy by threads takes consecutive rows whose columns",
     GATHER, "moe_tile.copy %X[%idx : !moe_tile.rows<128>, %k] how(vector) to %a : memref<?x2048xbf16>, !A"),
    ("a copy by threads takes rows at static distances, got 'memref<2x?x2048xbf16>'",
     GATHER, "moe_tile.copy %X[%row0, %c0, %k] dims [0, 2] how(vector) to %a : memref<2x?x2048xbf16>, !A",
     "%X: memref<?x2048xbf16>", "%X: memref<2x?x2048xbf16>"),

    # Products.
    ("'moe_tile.mma' op the NVVM lowering takes products with a wgmma or mma_sync atom", "atom<wgmma 64x256x16>",
     "atom<mfma 16x16x16>"),
    ("a team's tile of 64x256 is not whole atoms of 64x96", "atom<wgmma 64x256x16>", "atom<wgmma 64x96x16>"),
    ("", "atom<wgmma 64x256x16>", "atom<wgmma 64x128x16>"),

    # Stores.
    ("a staged store writes 16 bytes at a time, rows of 'memref<?x252xbf16>' do not stay aligned",
     "memref<?x256xbf16>", "memref<?x252xbf16>"),
    ("", "memref<?x256xbf16>", "memref<?x264xbf16>"),

    # Control.
    ("the NVVM lowering takes scf.if without results and without else",
     "  moe_tile.roles {", "  %some = arith.cmpi eq, %n, %c0 : index\n  moe_tile.roles {",
     "        %h0, %h1 = ",
     "        %which = scf.if %some -> index {\n          scf.yield %c0 : index\n        } else {\n          scf.yield %c64 : index\n        }\n"
     "        %h0, %h1 = "),
]

if __name__ == "__main__":
    cases = [(GEMM1, *case) for case in CASES]
    sys.exit(check(sys.argv[1], cases, [("-convert-moe-tile-to-nvvm", "NVVM")]) > 0)
