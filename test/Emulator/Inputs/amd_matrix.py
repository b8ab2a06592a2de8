#!/usr/bin/env python3
"""Prints one kernel per matrix operation of a chip, with random operands and what they must give.

usage: amd_matrix.py CHIP [only a name]

A lane loads its registers, the operation runs once, the lane stores its registers. Lane maps,
formats and products are Python's own: they share no code with the emulator. Where an element of a
matrix lies is written down as the matrix sees it (row and k give lane and place), the other way
round than in the emulator.
"""

import random
import struct
import sys


def small_float(code, exponent, mantissa, bias):
    sign = -1.0 if code >> (exponent + mantissa) else 1.0
    e = code >> mantissa & ((1 << exponent) - 1)
    m = code & ((1 << mantissa) - 1)
    return sign * (2.0**(e - bias) * (1 + m / 2**mantissa) if e else 2.0**(1 - bias) * m / 2**mantissa)


# name: (bits, value of a code, codes that are no numbers)
FORMATS = {
    "f32": (32, lambda c: struct.unpack("<f", struct.pack("<I", c))[0], ()),
    "bf16": (16, lambda c: struct.unpack("<f", struct.pack("<I", c << 16))[0], ()),
    "f16": (16, lambda c: struct.unpack("<e", struct.pack("<H", c))[0], ()),
    "e4m3": (8, lambda c: small_float(c, 4, 3, 7), (0x7F, 0xFF)),
    "e5m2": (8, lambda c: small_float(c, 5, 2, 15), (0x7C, 0x7D, 0x7E, 0x7F, 0xFC, 0xFD, 0xFE, 0xFF)),
    "e4m3z": (8, lambda c: small_float(c, 4, 3, 8), (0x80,)),
    "e5m2z": (8, lambda c: small_float(c, 5, 2, 16), (0x80,)),
    "e2m3": (6, lambda c: small_float(c, 2, 3, 1), ()),
    "e3m2": (6, lambda c: small_float(c, 3, 2, 3), ()),
    "e2m1": (4, lambda c: small_float(c, 2, 1, 1), ()),
    "i8": (8, lambda c: c - 256 if c & 0x80 else c, ()),
    "u8": (8, lambda c: c, ()),
    "i4": (4, lambda c: c - 16 if c & 8 else c, ()),
    "u4": (4, lambda c: c, ()),
}
FP8 = {"gfx942": ("e4m3z", "e5m2z"), "gfx950": ("e4m3", "e5m2"), "gfx1201": ("e4m3", "e5m2")}
NO_PERMUTATION = ", %z, %z, %z"


def operations(chip):
    """(name, n, k, format of a, of b, type of a's and b's registers, type of c, form of the operation)"""
    wave64 = chip in ("gfx942", "gfx950")
    ops = []

    def mfma(name, n, k, a, b, register, result="f32"):
        c = f"vector<{n * n // 64}x{result}>"
        ops.append((name, n, k, a, b, register, register, c,
                    f"rocdl.{name} %a, %b, %c{NO_PERMUTATION} : ({register}, {register}, {c}, i32, i32, i32) -> {c}"))

    def wmma(name, k, a, b, register, result="f32", attributes="", count=8):
        c = f"vector<{count}x{result}>"
        ops.append((name, 16, k, a, b, register, register, c,
                    f"rocdl.{name} %a, %b, %c {attributes} : ({register}, {register}, {c}) -> {c}"))

    if wave64:
        for n, ks in ((16, {"f32": 4, "half": 16, "byte": 32}), (32, {"f32": 2, "half": 8, "byte": 16})):
            mfma(f"mfma.f32.{n}x{n}x{ks['f32']}f32", n, ks["f32"], "f32", "f32", "f32")
            mfma(f"mfma.f32.{n}x{n}x{ks['half']}f16", n, ks["half"], "f16", "f16", "vector<4xf16>")
            mfma(f"mfma.f32.{n}x{n}x{ks['half']}bf16.1k", n, ks["half"], "bf16", "bf16", "vector<4xi16>")
            mfma(f"mfma.i32.{n}x{n}x{ks['byte']}.i8", n, ks["byte"], "i8", "i8", "i64", "i32")
            kinds = dict(zip(("fp8", "bf8"), FP8[chip]))
            for a in kinds:
                for b in kinds:
                    mfma(f"mfma.f32.{n}x{n}x{ks['byte']}.{a}.{b}", n, ks["byte"], kinds[a], kinds[b], "i64")
    if chip == "gfx950":
        for n, half, byte in ((16, 32, 64), (32, 16, 32)):
            mfma(f"mfma.f32.{n}x{n}x{half}.f16", n, half, "f16", "f16", "vector<8xf16>")
            mfma(f"mfma.f32.{n}x{n}x{half}.bf16", n, half, "bf16", "bf16", "vector<8xbf16>")
            mfma(f"mfma.i32.{n}x{n}x{byte}.i8", n, byte, "i8", "i8", "vector<4xi32>", "i32")
        formats = ["e4m3", "e5m2", "e2m3", "e3m2", "e2m1"]
        for n, k in ((16, 128), (32, 64)):
            for a, b in ((0, 0), (1, 4), (2, 3), (4, 4), (3, 0)):
                words = [FORMATS[formats[f]][0] for f in (a, b)]
                ra, rb = (f"vector<{w}xi32>" for w in words)
                c = f"vector<{n * n // 64}xf32>"
                ops.append((f"mfma.scale.f32.{n}x{n}x{k}.f8f6f4", n, k, formats[a], formats[b], ra, rb, c,
                            f"rocdl.mfma.scale.f32.{n}x{n}x{k}.f8f6f4 %a, %b, %c, %n{a}, %n{b}, %n{a % 4}, %sa, %n{b % 4}, %sb : "
                            f"({ra}, {rb}, {c}, i32, i32, i32, i32, i32, i32) -> {c}"))
    if chip.startswith("gfx11"):
        wmma("wmma.f32.16x16x16.f16", 16, "f16", "f16", "vector<16xf16>")
        wmma("wmma.f32.16x16x16.bf16", 16, "bf16", "bf16", "vector<16xi16>")
        for upper in (0, 1):
            attribute = "{opsel = %s}" % ("true" if upper else "false")
            wmma("wmma.f16.16x16x16.f16", 16, "f16", "f16", "vector<16xf16>", "f16", attribute, 16)
        wmma("wmma.i32.16x16x16.iu8", 16, "i8", "u8", "vector<4xi32>", "i32", "{signA = true}")
        wmma("wmma.i32.16x16x16.iu4", 16, "u4", "i4", "vector<2xi32>", "i32", "{signB = true}")
    if chip.startswith("gfx12"):
        wmma("wmma.f32.16x16x16.f16", 16, "f16", "f16", "vector<8xf16>")
        wmma("wmma.f32.16x16x16.bf16", 16, "bf16", "bf16", "vector<8xi16>")
        wmma("wmma.f16.16x16x16.f16", 16, "f16", "f16", "vector<8xf16>", "f16")
        wmma("wmma.i32.16x16x16.iu8", 16, "u8", "i8", "vector<2xi32>", "i32", "{signB = true}")
        wmma("wmma.i32.16x16x16.iu4", 16, "i4", "i4", "i32", "i32", "{signA = true, signB = true}")
        wmma("wmma.i32.16x16x32.iu4", 32, "u4", "u4", "vector<2xi32>", "i32")
        kinds = dict(zip(("fp8", "bf8"), FP8["gfx1201"]))
        for a in kinds:
            for b in kinds:
                wmma(f"wmma.f32.16x16x16.{a}_{b}", 16, kinds[a], kinds[b], "vector<2xi32>")
    return ops


def random_code(rng, name):
    bits, value, bad = FORMATS[name]
    if name == "f32":
        return struct.unpack("<I", struct.pack("<f", rng.gauss(0, 1)))[0]
    if name == "bf16":
        return struct.unpack("<I", struct.pack("<f", rng.gauss(0, 1)))[0] >> 16
    if name == "f16":
        return struct.unpack("<H", struct.pack("<e", rng.gauss(0, 1)))[0]
    while True:
        code = rng.randrange(1 << bits)
        if code not in bad:
            return code


def where(chip, n, k, row, kk):
    """Lane and place in it of element (row, kk) of A; gfx11 holds a copy 16 lanes on."""
    if chip.startswith("gfx11"):
        return row, kk
    lanes = 64 if chip in ("gfx942", "gfx950") else 32
    share = k // (lanes // n)
    return n * (kk // share) + row, kk % share


def where_result(chip, n, row, column, half):
    """Lane and place of element (row, column) of D."""
    if chip.startswith("gfx11"):
        return column + 16 * (row % 2), row // 2 if half is None else row // 2 * 2 + half
    if chip.startswith("gfx12"):
        return column + 16 * (row // 8), row % 8
    if n == 16:
        return column + 16 * (row // 4), row % 4
    return column + 32 * (row // 4 % 2), row % 4 + 4 * (row // 8)


def pack(codes, bits):
    """Codes of one lane as 32-bit words."""
    string = sum(code << (i * bits) for i, code in enumerate(codes))
    return [string >> (32 * w) & 0xFFFFFFFF for w in range(max(1, len(codes) * bits // 32))]


def signed(word):
    return word - (1 << 32) if word >> 31 else word


def main():
    chip = sys.argv[1]
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    lanes = 64 if chip in ("gfx942", "gfx950") else 32
    rng = random.Random(7)
    buffers, launches, checks, kernels = [], [], [], []

    def buffer(name, words, kind="i32"):
        init = f"values = [{', '.join(map(str, words))}]" if words is not None else 'init = "none"'
        size = len(words) if words is not None else 0
        buffers.append(f'{{name = "{name}", type = "{kind}", size = {size}, {init}}}')

    for number, (name, n, k, fa, fb, ra, rb, rc, form) in enumerate(operations(chip)):
        if only and only not in name:
            continue
        scaled = "scale" in name
        half = ("true" in form) * 1 if "opsel" in form else None
        a = [[random_code(rng, fa) for _ in range(k)] for _ in range(n)]
        b = [[random_code(rng, fb) for _ in range(k)] for _ in range(n)]
        is_int = "xi32" in rc
        c = [[rng.randrange(-1000, 1000) if is_int else float(rng.randrange(-8, 8)) for _ in range(n)] for _ in range(n)]
        scales = {}
        if scaled:  # [operand][row][block], codes around 127
            scales = {o: [[rng.randrange(121, 134) for _ in range(k // 32)] for _ in range(n)] for o in "ab"}

        # Registers of the lanes.
        def fragments(matrix, fmt):
            codes = [[0] * (k if chip.startswith("gfx11") else k * n // lanes) for _ in range(lanes)]
            for row in range(n):
                for kk in range(k):
                    lane, place = where(chip, n, k, row, kk)
                    codes[lane][place] = matrix[row][kk]
                    if chip.startswith("gfx11"):
                        codes[lane + 16][place] = matrix[row][kk]
            return [w for lane in codes for w in pack(lane, FORMATS[fmt][0])]

        per_lane = int(rc[7:rc.index("x")])
        start = [[0] * per_lane for _ in range(lanes)]
        want = [[None] * per_lane for _ in range(lanes)]
        for row in range(n):
            for column in range(n):
                total = c[row][column]
                for kk in range(k):
                    product = FORMATS[fa][1](a[row][kk]) * FORMATS[fb][1](b[column][kk])
                    if scaled:
                        product *= 2.0**(scales["a"][row][kk // 32] - 127) * 2.0**(scales["b"][column][kk // 32] - 127)
                    total += product
                lane, place = where_result(chip, n, row, column, half)
                start[lane][place] = c[row][column]
                want[lane][place] = total
        kind = "i32" if is_int else "f16" if "xf16" in rc else "f32"

        def encode(v):
            if kind == "i32":
                return int(v)
            if kind == "f16":
                return struct.unpack("<H", struct.pack("<e", v))[0]
            return signed(struct.unpack("<I", struct.pack("<f", v))[0])

        # Halves that the operation does not define are not compared.
        defined = [p for p in range(per_lane) if want[0][p] is not None]
        kn = f"k{number}"
        wa, wb = fragments(a, fa), fragments(b, fb)
        buffer(f"a{number}", [signed(w) for w in wa])
        buffer(f"b{number}", [signed(w) for w in wb])
        buffer(f"c{number}", [encode(v) for lane in start for v in lane], kind)
        buffer(f"want{number}", [encode(lane[p]) for lane in want for p in defined], kind)
        buffers.append(f'{{name = "d{number}", type = "{kind}", size = {lanes * len(defined)}, init = "none"}}')
        extra = []
        if scaled:
            # The lane's scale in the byte that is picked, rubbish in the others.
            for o, fmt in (("a", fa), ("b", fb)):
                pick = ["e4m3", "e5m2", "e2m3", "e3m2", "e2m1"].index(fmt) % 4
                words = []
                for lane in range(lanes):
                    bytes_ = [rng.randrange(256) for _ in range(4)]
                    bytes_[pick] = scales[o][lane % n][lane // n]
                    words.append(signed(sum(v << (8 * i) for i, v in enumerate(bytes_))))
                buffer(f"s{o}{number}", words)
                extra.append(f"s{o}{number}")
        names = [f"a{number}", f"b{number}", f"c{number}", f"d{number}"] + extra
        launches.append(f'{{kernel = "{kn}", grid = [1], block = [{lanes}], args = [' +
                        ", ".join(f'{{buffer = "{x}"}}' for x in names) + "]}")
        tolerance = {"i32": "1.0e-12", "f16": "1.0e-3", "f32": "1.0e-6"}[kind]
        checks.append(f'{{op = "copy", from = "want{number}", to = "d{number}", tolerance = {tolerance}}}')

        def load(value, register, source, words):
            vector = f"vector<{words}xi32>"
            text = (f"    %{value}p = llvm.getelementptr %{source}[%lane{value}] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32\n")
            head = f"    %{value}w = arith.constant {words} : i32\n    %lane{value} = arith.muli %lane, %{value}w : i32\n"
            body = f"    %{value}l = llvm.load %{value}p {{alignment = 4 : i64}} : !llvm.ptr<1> -> {vector}\n"
            cast = (f"    %{value} = llvm.bitcast %{value}l : {vector} to {register}\n" if register != vector else
                    f"    %{value}0 = arith.constant dense<0> : {vector}\n    %{value} = llvm.or %{value}l, %{value}0 : {vector}\n")
            return head + text + body + cast

        arguments = ", ".join(f"%{x}: !llvm.ptr<1>" for x in ["pa", "pb", "pc", "pd"] + ["psa", "psb"] * scaled)
        element = rc[rc.index("x") + 1:-1]
        text = f"  llvm.func @{kn}({arguments}) attributes {{rocdl.kernel}} {{\n"
        text += "    %lane = rocdl.workitem.id.x : i32\n    %z = arith.constant 0 : i32\n"
        if scaled:
            text += "".join(f"    %n{i} = arith.constant {i} : i32\n" for i in range(5))
        text += load("a", ra, "pa", len(wa) // lanes) + load("b", rb, "pb", len(wb) // lanes)
        text += f"    %cw = arith.constant {per_lane} : i32\n    %lanec = arith.muli %lane, %cw : i32\n"
        text += f"    %cp = llvm.getelementptr %pc[%lanec] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, {element}\n"
        text += f"    %c = llvm.load %cp {{alignment = 2 : i64}} : !llvm.ptr<1> -> {rc}\n"
        for o in "ab" * scaled:
            text += f"    %sp{o} = llvm.getelementptr %ps{o}[%lane] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32\n"
            text += f"    %s{o} = llvm.load %sp{o} : !llvm.ptr<1> -> i32\n"
        text += f"    %d = {form}\n"
        text += f"    %dw = arith.constant {len(defined)} : i32\n    %laned = arith.muli %lane, %dw : i32\n"
        text += f"    %dp = llvm.getelementptr %pd[%laned] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, {element}\n"
        for i, p in enumerate(defined):
            text += f"    %i{i} = arith.constant {p} : i32\n    %e{i} = llvm.extractelement %d[%i{i} : i32] : {rc}\n"
            text += f"    %q{i} = llvm.getelementptr %dp[{i}] : (!llvm.ptr<1>) -> !llvm.ptr<1>, {element}\n"
            text += f"    llvm.store %e{i}, %q{i} : {element}, !llvm.ptr<1>\n"
        kernels.append(text + "    llvm.return\n  }\n")

    print(f'module attributes {{\n  emu.chip = "{chip}",\n  emu.buffers = [{", ".join(buffers)}],')
    print(f'  emu.launches = [{", ".join(launches)}],\n  emu.checks = [{", ".join(checks)}]\n}} {{')
    print("\n".join(kernels) + "}")


if __name__ == "__main__":
    main()
