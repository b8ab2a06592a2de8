#!/usr/bin/env python3
"""Prints one kernel per operand type of mma.sync, with random operands and what they must give.

A lane loads its registers, the operation runs once, the lane stores its registers. Formats and
products are those of amd_matrix.py; the lane map is written down from the figures of the PTX manual
as the matrix sees it (row and column give lane, register and byte), the other way round than in the
emulator.
"""

import random
import struct

from amd_matrix import FORMATS, pack, random_code, signed

# name: (formats of a and b, columns, type of the accumulator)
OPERATIONS = [(a, b, 32, "f32") for a in ("e4m3", "e5m2") for b in ("e4m3", "e5m2")]
OPERATIONS += [("i8", "i8", 32, "i32"), ("bf16", "bf16", 16, "f32")]
FLOATS = {"e4m3": "f8E4M3FN", "e5m2": "f8E5M2"}
PTX = {"i8": "s8", "bf16": "bf16"}


def place(row, column, rows, columns):
    """(lane, register, element) of an operand of 16 or 8 rows: the columns are two halves, in each of
    which four lanes have a quarter of the columns; with 16 rows the lower eight come first."""
    quarter = columns // 8
    half, inside = divmod(column, columns // 2)
    lane = row % 8 * 4 + inside // quarter
    return lane, half * (rows // 8) + row // 8, inside % quarter


def result_place(row, column):
    return row % 8 * 4 + column // 2, row // 8 * 2 + column % 2


def main():
    rng = random.Random(11)
    buffers, launches, checks, kernels = [], [], [], []
    for number, (fa, fb, k, kind) in enumerate(OPERATIONS):
        a = [[random_code(rng, fa) for _ in range(k)] for _ in range(16)]
        b = [[random_code(rng, fb) for _ in range(k)] for _ in range(8)]
        start = [[0] * 4 for _ in range(32)]
        want = [[0] * 4 for _ in range(32)]
        for row in range(16):
            for column in range(8):
                lane, register = result_place(row, column)
                c = rng.randrange(-1000, 1000) if kind == "i32" else float(rng.randrange(-8, 8))
                start[lane][register] = c
                want[lane][register] = c + sum(
                    FORMATS[fa][1](a[row][kk]) * FORMATS[fb][1](b[column][kk]) for kk in range(k))

        def fragments(matrix, fmt):
            rows, bits = len(matrix), FORMATS[fmt][0]
            codes = [[[0] * (32 // bits) for _ in range(rows // 4)] for _ in range(32)]
            for row in range(rows):
                for kk in range(k):
                    lane, register, element = place(row, kk, rows, k)
                    codes[lane][register][element] = matrix[row][kk]
            return [signed(pack(register, bits)[0]) for lane in codes for register in lane]

        def encode(v):
            return int(v) if kind == "i32" else signed(struct.unpack("<I", struct.pack("<f", v))[0])

        for name, words, of in ((f"a{number}", fragments(a, fa), "i32"), (f"b{number}", fragments(b, fb), "i32"),
                                (f"c{number}", [encode(v) for lane in start for v in lane], kind),
                                (f"want{number}", [encode(v) for lane in want for v in lane], kind)):
            buffers.append(f'{{name = "{name}", type = "{of}", size = {len(words)}, '
                           f"values = [{', '.join(map(str, words))}]}}")
        buffers.append(f'{{name = "d{number}", type = "{kind}", size = 128, init = "none"}}')
        names = ", ".join(f'{{buffer = "{x}{number}"}}' for x in "abcd")
        launches.append(f'{{kernel = "k{number}", grid = [1], block = [32], args = [{names}]}}')
        tolerance = "1.0e-12" if kind == "i32" else "1.0e-6"
        checks.append(f'{{op = "copy", from = "want{number}", to = "d{number}", tolerance = {tolerance}}}')

        struct_type = f"!llvm.struct<({', '.join([kind] * 4)})>"
        text = (f"  llvm.func @k{number}(%pa: !llvm.ptr<1>, %pb: !llvm.ptr<1>, %pc: !llvm.ptr<1>, %pd: !llvm.ptr<1>) "
                "attributes {nvvm.kernel} {\n    %lane = nvvm.read.ptx.sreg.laneid : i32\n")
        for x, count, of in (("a", 4, "i32"), ("b", 2, "i32"), ("c", 4, kind), ("d", 4, kind)):
            text += (f"    %n{x} = arith.constant {count} : i32\n    %at{x} = arith.muli %lane, %n{x} : i32\n"
                     f"    %l{x} = llvm.getelementptr %p{x}[%at{x}] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32\n")
            for i in range(count):
                text += f"    %p{x}{i} = llvm.getelementptr %l{x}[{i}] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i32\n"
                if x != "d":
                    text += f"    %{x}{i} = llvm.load %p{x}{i} : !llvm.ptr<1> -> {of}\n"
        if fa in FLOATS:
            text += (f"    %d = moe_nv.mma_f8 [%a0, %a1, %a2, %a3], [%b0, %b1], [%c0, %c1, %c2, %c3] "
                     f"of {FLOATS[fa]}, {FLOATS[fb]} : {struct_type}\n")
        else:
            overflow = "intOverflowBehavior = #nvvm.mma_int_overflow<wrapped>, " if kind == "i32" else ""
            text += ("    %d = nvvm.mma.sync A[%a0, %a1, %a2, %a3] B[%b0, %b1] C[%c0, %c1, %c2, %c3] {" + overflow +
                     "layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, "
                     f"multiplicandAPtxType = #nvvm.mma_type<{PTX[fa]}>, multiplicandBPtxType = #nvvm.mma_type<{PTX[fb]}>, "
                     f"shape = #nvvm.shape<m = 16, n = 8, k = {k}>}} : (i32, i32, {kind}) -> {struct_type}\n")
        for i in range(4):
            text += (f"    %d{i} = llvm.extractvalue %d[{i}] : {struct_type}\n"
                     f"    llvm.store %d{i}, %pd{i} : {kind}, !llvm.ptr<1>\n")
        kernels.append(text + "    llvm.return\n  }\n")
    print("module attributes {\n  emu.buffers = [" + ",\n    ".join(buffers) + "],\n  emu.launches = [" +
          ",\n    ".join(launches) + "],\n  emu.checks = [" + ",\n    ".join(checks) + "]\n} {\n" + "".join(kernels) + "}")


if __name__ == "__main__":
    main()
