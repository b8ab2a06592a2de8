#!/usr/bin/env python3
"""Prints kernels that go through buffer resources, and on gfx950 transpose in LDS: `amd_buffers.py CHIP`."""

import random
import sys

CHIP = sys.argv[1]
CDNA = CHIP in ("gfx942", "gfx950")
LANES = 64 if CDNA else 32
FLAGS = 159744 if CDNA else 822243328
WORDS = 100  # of "in", of which 95 are in the resource's bounds
BYTES = 380


def signed(word):
    return word - (1 << 32) if word >> 31 else word


def main():
    buffers, launches, checks, kernels = [], [], [], []

    def buffer(name, kind, values=None, size=None, init="none"):
        values = f"values = [{', '.join(map(str, values))}]" if values is not None else f'init = "{init}"'
        buffers.append(f'{{name = "{name}", type = "{kind}", size = {size}, {values}}}')

    def kernel(name, kind, out, want, body, start="none"):
        """A kernel of one wave, from @in into a buffer of its own."""
        buffer(f"{name}_out", kind, size=out, init=start)
        buffer(f"{name}_want", kind, want, size=out)
        launches.append(f'{{kernel = "{name}", grid = [1], block = [{LANES}], args = [{{buffer = "in"}}, {{buffer = "{name}_out"}}]}}')
        checks.append(f'{{op = "copy", from = "{name}_want", to = "{name}_out"}}')
        kernels.append(f"""  llvm.func @{name}(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {{rocdl.kernel}} {{
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c3 = arith.constant 3 : i32
    %c4 = arith.constant 4 : i32
    %c8 = arith.constant 8 : i32
    %c16 = arith.constant 16 : i32
    %i0 = arith.constant 0 : i16
    %bytes = arith.constant {BYTES} : i64
    %flags = arith.constant {FLAGS} : i32
    %tid = rocdl.workitem.id.x : i32
    %at4 = arith.muli %tid, %c4 : i32
    %at8 = arith.muli %tid, %c8 : i32
    %at16 = arith.muli %tid, %c16 : i32
    %rin = rocdl.make.buffer.rsrc %in, %i0, %bytes, %flags : !llvm.ptr<1> to !llvm.ptr<8>
    %rout = rocdl.make.buffer.rsrc %out, %i0, %bytes, %flags : !llvm.ptr<1> to !llvm.ptr<8>
{body}
    llvm.return
  }}""")

    buffer("in", "i32", size=WORDS, init="index")
    inside = BYTES // 4
    # Words behind the end read as zero, also within a vector.
    kernel("load", "i32", 4 * LANES, [i if i < inside else 0 for i in range(4 * LANES)], """
    %v = rocdl.raw.ptr.buffer.load %rin, %at16, %c0, %c0 : vector<4xi32>
    %p = llvm.getelementptr %out[%at16] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
    llvm.store %v, %p : vector<4xi32>, !llvm.ptr<1>""")
    # The scalar offset counts too; stores behind the end are dropped.
    kernel("store", "i32", WORDS, [i - 4 if 4 <= i < min(inside, 4 * LANES + 4) else 0 for i in range(WORDS)], """
    %c2 = arith.constant 2 : i32
    %a1 = arith.addi %at4, %c1 : i32
    %a2 = arith.addi %at4, %c2 : i32
    %a3 = arith.addi %at4, %c3 : i32
    %v = vector.from_elements %at4, %a1, %a2, %a3 : vector<4xi32>
    rocdl.raw.ptr.buffer.store %v, %rout, %at16, %c16, %c0 : vector<4xi32>""", start="zero")
    # Pointers of space 7 carry the resource with them.
    kernel("fat", "i32", WORDS, [i + 1 if i + 2 < inside and i < 2 * LANES else 1 if i < min(inside, 2 * LANES) else 0 for i in range(WORDS)], """
    %fin = llvm.addrspacecast %rin : !llvm.ptr<8> to !llvm.ptr<7>
    %fout = rocdl.make.buffer.rsrc %out, %i0, %bytes, %flags : !llvm.ptr<1> to !llvm.ptr<7>
    %p0 = llvm.getelementptr %fin[%at8] : (!llvm.ptr<7>, i32) -> !llvm.ptr<7>, i8
    %p1 = llvm.getelementptr %p0[2] : (!llvm.ptr<7>) -> !llvm.ptr<7>, i32
    %v = llvm.load %p1 {alignment = 8 : i64} : !llvm.ptr<7> -> vector<2xi32>
    %one = arith.constant dense<1> : vector<2xi32>
    %minus = arith.constant dense<-1> : vector<2xi32>
    %zero = arith.constant dense<0> : vector<2xi32>
    %none = arith.cmpi eq, %v, %zero : vector<2xi32>
    %w0 = arith.addi %v, %minus : vector<2xi32>
    %w = arith.select %none, %one, %w0 : vector<2xi1>, vector<2xi32>
    %q = llvm.getelementptr %fout[%at8] : (!llvm.ptr<7>, i32) -> !llvm.ptr<7>, i8
    llvm.store %w, %q {alignment = 8 : i64} : vector<2xi32>, !llvm.ptr<7>""", start="zero")
    # Four sums, of which three are in bounds.
    kernel("add", "f32", 4, [0x41800000 if LANES == 64 else 0x41000000] * 3 + [0], """
    %short = arith.constant 12 : i64
    %r = rocdl.make.buffer.rsrc %out, %i0, %short, %flags : !llvm.ptr<1> to !llvm.ptr<8>
    %one = arith.constant 1.0 : f32
    %n = arith.andi %tid, %c3 : i32
    %at = arith.muli %n, %c4 : i32
    rocdl.raw.ptr.buffer.atomic.fadd %one, %r, %at, %c0, %c0 : f32""", start="zero")
    # One lane finds what it expects.
    kernel("swap", "i32", WORDS, [7 if i == 5 else 0 for i in range(WORDS)], """
    %c5 = arith.constant 5 : i32
    %seven = arith.constant 7 : i32
    %isFive = arith.cmpi eq, %tid, %c5 : i32
    %expected = arith.select %isFive, %c0, %c1 : i32
    %old = rocdl.raw.ptr.buffer.atomic.cmpswap %seven, %expected, %rout, %at4, %c0, %c0 : i32""", start="zero")
    if CDNA:
        # Out of bounds a copy into LDS writes zero.
        kernel("direct", "i32", 2 * LANES, [i if i < inside else 0 for i in range(2 * LANES)], """
    %lds = llvm.mlir.addressof @lds : !llvm.ptr<3>
    %size = arith.constant 4 : i32
    %c256 = arith.constant 256 : i32
    %upper = llvm.getelementptr %lds[256] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    rocdl.raw.ptr.buffer.load.lds %rin, %lds, %size, %at4, %c0, %c0, %c0
    rocdl.raw.ptr.buffer.load.lds %rin, %upper, %size, %at4, %c256, %c0, %c0
    rocdl.s.waitcnt 3952
    %from = llvm.getelementptr %lds[%at8] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    %v = llvm.load %from : !llvm.ptr<3> -> vector<2xi32>
    %p = llvm.getelementptr %out[%at8] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
    llvm.store %v, %p : vector<2xi32>, !llvm.ptr<1>""")
    if CHIP == "gfx950":
        rng = random.Random(3)
        for bits, words in ((4, 2), (6, 3), (8, 2), (16, 2)):
            # 16 lanes hold a tile of 16 columns, each lane a piece of a row.
            rows = words * 32 // bits
            tiles = [[[rng.randrange(1 << bits) for _ in range(16)] for _ in range(rows)] for _ in range(4)]
            memory, want = [], []
            for tile in tiles:
                flat = [v for row in tile for v in row]
                for lane in range(16):
                    piece = flat[lane * rows:(lane + 1) * rows]
                    string = sum(v << (bits * i) for i, v in enumerate(piece))
                    memory += [signed(string >> (32 * w) & 0xFFFFFFFF) for w in range(words)]
                for lane in range(16):
                    string = sum(tile[r][lane] << (bits * r) for r in range(rows))
                    want += [signed(string >> (32 * w) & 0xFFFFFFFF) for w in range(words)]
            name = f"tr{bits}"
            buffer(f"{name}_in", "i32", memory, size=len(memory))
            element = f"vector<{words}xi32>" if bits != 16 else "vector<4xf16>"
            kernel(name, "i32", len(want), want, f"""
    %lds = llvm.mlir.addressof @lds : !llvm.ptr<3>
    %each = arith.constant {4 * words} : i32
    %at = arith.muli %tid, %each : i32
    %from = llvm.getelementptr %in[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
    %v = llvm.load %from {{alignment = 4 : i64}} : !llvm.ptr<1> -> vector<{words}xi32>
    %mine = llvm.getelementptr %lds[%at] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    llvm.store %v, %mine {{alignment = 4 : i64}} : vector<{words}xi32>, !llvm.ptr<3>
    llvm.fence syncscope("wavefront") acq_rel
    %w = rocdl.ds.read.tr{bits}.b{32 * words} %mine : !llvm.ptr<3> -> {element}
    %p = llvm.getelementptr %out[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
    llvm.store %w, %p {{alignment = 4 : i64}} : {element}, !llvm.ptr<1>""")
            launches[-1] = launches[-1].replace('{buffer = "in"}', f'{{buffer = "{name}_in"}}')
    print(f'module attributes {{\n  emu.chip = "{CHIP}",\n  emu.buffers = [{", ".join(buffers)}],\n  emu.launches = [{", ".join(launches)}],')
    print(f'  emu.checks = [{", ".join(checks)}]\n}} {{')
    print("  llvm.mlir.global internal @lds() {addr_space = 3 : i32, alignment = 128 : i64} : !llvm.array<1024 x i8>")
    print("\n".join(kernels) + "\n}")


if __name__ == "__main__":
    sys.exit(main())
