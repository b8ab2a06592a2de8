#!/usr/bin/env python3
"""Prints a kernel of one wave that stores one i32 per operation and lane, and what it must be.

usage: amd_lanes.py CHIP. The expectations are Python's, from the manuals' words.
"""

import struct
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from amd_matrix import FORMATS  # noqa: E402

M32 = (1 << 32) - 1
CHIP = sys.argv[1] if len(sys.argv) > 1 else "gfx942"
CDNA = CHIP in ("gfx942", "gfx950")
LANES = 64 if CDNA else 32
FP8, BF8 = ("e4m3z", "e5m2z") if CHIP == "gfx942" else ("e4m3", "e5m2")


def a(l):  # %a: i32, spread over the range
    return (l * 0x9E3779B1 + 12345) & M32


def x(l):  # %x: f32
    return l * 0.75 - 7.0


def y(l):  # %y: f32
    return l * 0.5 + 0.25


def bits(v):
    return struct.unpack("<I", struct.pack("<f", v))[0]


def half(v):
    return struct.unpack("<H", struct.pack("<e", v))[0]


def odd(l):
    return l % 3 == 0


def nearest(name, v):
    """The code of the format nearest to v, of two the even one; zero keeps its sign where it can."""
    width, number, bad = FORMATS[name]
    codes = [c for c in range(1 << width) if c not in bad]
    return min(codes, key=lambda c: (abs(number(c) - v), c & 1, c >> (width - 1) != (v < 0)))


def row(l, f, lost=lambda l: a(l) ^ 1):
    """Lane f(l % 16) of the row, or what `lost` says outside of it."""
    n = f(l % 16)
    return a(l - l % 16 + n) if 0 <= n < 16 else lost(l)


def dpp(control, rows=15, banks=15, zero="false"):
    return f"%r = rocdl.update.dpp %old, %a with {control}, {rows}, {banks}, {zero} : i32"


def value(name, code):
    return FORMATS[name][1](code)


def word(l):  # %w: codes of numbers in every 8-bit format, positive
    return 0x21324354 + (l << 8)


ballot_mask = sum(1 << l for l in range(LANES) if odd(l))
CASES = [
    ("%r = rocdl.workitem.id.x : i32", lambda l: l),
    ("%w0 = rocdl.workgroup.dim.x : i64\n%r = llvm.trunc %w0 : i64 to i32", lambda l: LANES),
    ("%r = rocdl.wavefrontsize : i32", lambda l: LANES),
    ("%r = rocdl.mbcnt.lo %mones, %c0 : (i32, i32) -> i32", lambda l: min(l, 32)),
    ("%s = rocdl.mbcnt.lo %mones, %c0 : (i32, i32) -> i32\n%r = rocdl.mbcnt.hi %mones, %s : (i32, i32) -> i32", lambda l: l),
    ("%i = llvm.mul %lane, %c12 : i32\n%r = rocdl.ds_bpermute %i, %a : (i32, i32) -> i32", lambda l: a(3 * l % LANES)),
    ("%p = arith.constant 31775 : i32\n%r = rocdl.ds_swizzle %a, %p : (i32, i32) -> i32", lambda l: a(l ^ 31)),  # xor 31
    ("%p = arith.constant 176 : i32\n%r = rocdl.ds_swizzle %a, %p : (i32, i32) -> i32", lambda l: a(l & ~31 | (l & 16 | 5))),
    ("%p = arith.constant 32795 : i32\n%r = rocdl.ds_swizzle %a, %p : (i32, i32) -> i32", lambda l: a(l - l % 4 + (3, 2, 1, 0)[l % 4])),
    ("%p = arith.constant 21 : i32\n%r = rocdl.readlane %a, %p : (i32, i32) -> i32", lambda l: a(21)),
    ("%r = rocdl.readfirstlane %a : i32", lambda l: a(0)),
    # The first of the active lanes.
    ("%m0 = llvm.icmp \"uge\" %lane, %c12 : i32\n%r = scf.if %m0 -> (i32) {\n  %q = rocdl.readfirstlane %a : i32\n  scf.yield %q : i32\n} else {\n"
     "  %q = rocdl.readfirstlane %a : i32\n  scf.yield %q : i32\n}", lambda l: a(12) if l >= 12 else a(0)),
    (f"%b = rocdl.ballot %odd : i{LANES}\n" + ("%r = llvm.trunc %b : i64 to i32" if LANES == 64 else "%r = llvm.add %b, %c0 : i32"),
     lambda l: ballot_mask & M32),
    (dpp(0x1B), lambda l: a(l - l % 4 + (3, 2, 1, 0)[l % 4])),
    (dpp(0x103), lambda l: row(l, lambda n: n + 3)),
    (dpp(0x113), lambda l: row(l, lambda n: n - 3)),
    (dpp(0x113, zero="true"), lambda l: row(l, lambda n: n - 3, lambda l: 0)),
    (dpp(0x125), lambda l: row(l, lambda n: (n - 5) % 16)),
    (dpp(0x140), lambda l: row(l, lambda n: 15 - n)),
    (dpp(0x141), lambda l: row(l, lambda n: n // 8 * 8 + 7 - n % 8)),
    (dpp(0x157), lambda l: row(l, lambda n: 7)),
    (dpp(0x140, rows=2), lambda l: row(l, lambda n: 15 - n) if l // 16 == 1 else a(l) ^ 1),
    (dpp(0x140, banks=4), lambda l: row(l, lambda n: 15 - n) if l % 16 // 4 == 2 else a(l) ^ 1),
    # Every second lane alone: the others are no source.
    (f"%r = scf.if %odd -> (i32) {{\n  %q = rocdl.update.dpp %old, %a with 305, 15, 15, true : i32\n  scf.yield %q : i32\n}} else {{\n  scf.yield %c0 : i32\n}}"
     .replace("305", "273"), lambda l: 0),
    ("%v = rocdl.fmed3 %x, %y, %two : f32\n%r = llvm.bitcast %v : f32 to i32", lambda l: bits(sorted((x(l), y(l), 2.0))[1])),
    ("%v = rocdl.exp2 %two f32 -> f32\n%r = llvm.bitcast %v : f32 to i32", lambda l: bits(4.0)),
    ("%v = rocdl.rcp %two f32 -> f32\n%r = llvm.bitcast %v : f32 to i32", lambda l: bits(0.5)),
    ("%v = rocdl.cvt.pkrtz %x, %third : vector<2xf16>\n%r = llvm.bitcast %v : vector<2xf16> to i32",
     lambda l: half(x(l)) | (half(1 / 3) - (struct.unpack("<e", struct.pack("<H", half(1 / 3)))[0] > 1 / 3)) << 16),
]
if CDNA:
    CASES += [
        (dpp(0x138), lambda l: a(l - 1) if l else a(l) ^ 1),
        (dpp(0x130), lambda l: a(l + 1) if l < 63 else a(l) ^ 1),
        (dpp(0x142), lambda l: a(l - l % 16 - 1) if l >= 16 else a(l) ^ 1),
        (dpp(0x143), lambda l: a(31) if l >= 32 else a(l) ^ 1),
    ]
else:
    CASES += [
        (dpp(0x165), lambda l: a(l ^ 5)),
        ("%r = rocdl.permlanex16 %a, %a, %sl, %sh, false, false : i32, i32", lambda l: a((l - l % 16 ^ 16) + (15 - l % 16))),
    ]
if not CHIP.startswith("gfx11"):
    for name, fmt in (("fp8", FP8), ("bf8", BF8)):
        CASES += [
            (f"%v = rocdl.cvt.f32.{name} %w[2] : f32\n%r = llvm.bitcast %v : f32 to i32", lambda l, f=fmt: bits(value(f, word(l) >> 16 & 255))),
            (f"%v = rocdl.cvt.pk.f32.{name} %w[true] : vector<2xf32>\n%r = " + "BITS %v 1",
             lambda l, f=fmt: bits(value(f, word(l) >> 24 & 255))),
            (f"%r = rocdl.cvt.pk.{name}.f32 %x, %y -> %a[false] : i32",
             lambda l, f=fmt: a(l) & 0xFFFF0000 | nearest(f, x(l)) | nearest(f, y(l)) << 8),
            (f"%r = rocdl.cvt.pk.{name}.f32 %x, %y -> %a[true] : i32",
             lambda l, f=fmt: a(l) & 0xFFFF | nearest(f, x(l)) << 16 | nearest(f, y(l)) << 24),
        ]
if CHIP == "gfx950":
    def swap(first, r):
        return lambda l: ((a(l ^ r) + 7 if l & r else a(l)) if first else (a(l) + 7 if l & r else a(l ^ r))) & M32
    for r in (16, 32):
        for first in (True, False):
            CASES.append((f"%o = llvm.add %a, %c7 : i32\n%p = rocdl.permlane{r}.swap %a, %o, false, false : (i32, i32) -> !llvm.struct<(i32, i32)>\n"
                          f"%r = llvm.extractvalue %p[{0 if first else 1}] : !llvm.struct<(i32, i32)>", swap(first, r)))
    CASES += [
        # Scales count by their exponents alone.
        ("%v = rocdl.cvt.scalef32.pk.f32.fp4 %a[2], %eleven : vector<2xf32>\n%r = BITS %v 1",
         lambda l: bits(8 * value("e2m1", a(l) >> 20 & 15))),
        ("%v = rocdl.cvt.scalef32.pk.bf16.fp4 %a[1], %eleven : vector<2xbf16>\n%r = llvm.bitcast %v : vector<2xbf16> to i32",
         lambda l: bits(8 * value("e2m1", a(l) >> 8 & 15)) >> 16 | bits(8 * value("e2m1", a(l) >> 12 & 15)) & 0xFFFF0000),
        ("%v = rocdl.cvt.scalef32.pk.f16.fp8 %w[true], %eleven : vector<2xf16>\n%r = llvm.bitcast %v : vector<2xf16> to i32",
         lambda l: half(8 * value("e4m3", word(l) >> 16 & 255)) | half(8 * value("e4m3", word(l) >> 24 & 255)) << 16),
        ("%v = rocdl.cvt.scalef32.f32.bf8 %w[3], %eleven : f32\n%r = llvm.bitcast %v : f32 to i32",
         lambda l: bits(8 * value("e5m2", word(l) >> 24 & 255))),
        ("%r = rocdl.cvt.scalef32.pk.fp4.f32 %x, %y, %eleven -> %a[3] : i32",
         lambda l: a(l) & 0xFFFFFF | nearest("e2m1", max(-6, min(6, x(l) / 8))) << 24 | nearest("e2m1", max(-6, min(6, y(l) / 8))) << 28),
        ("%o = llvm.bitcast %a : i32 to vector<2xi16>\n%v = rocdl.cvt.scalef32.pk.fp8.f32 %x, %y, %eleven -> %o[true] : vector<2xi16>\n"
         "%r = llvm.bitcast %v : vector<2xi16> to i32",
         lambda l: a(l) & 0xFFFF | nearest("e4m3", x(l) / 8) << 16 | nearest("e4m3", y(l) / 8) << 24),
    ]


def main():
    import re
    expected = [(want(l) & M32) - ((want(l) & M32) >> 31 << 32) for _, want in CASES for l in range(LANES)]
    size = len(expected)
    print(f"""module attributes {{
  emu.chip = "{CHIP}",
  emu.buffers = [{{name = "want", type = "i32", size = {size}, values = [{', '.join(map(str, expected))}]}},
                 {{name = "out", type = "i32", size = {size}, init = "none"}}],
  emu.launches = [{{kernel = "k", grid = [1], block = [{LANES}], args = [{{buffer = "out"}}]}}],
  emu.checks = [{{op = "copy", from = "want", to = "out"}}]
}} {{
  llvm.func @k(%out: !llvm.ptr<1>) attributes {{rocdl.kernel}} {{""")
    for c in (0, 1, 3, 7, 12):
        print(f"    %c{c} = arith.constant {c} : i32")
    print(f"""    %mones = arith.constant -1 : i32
    %two = arith.constant 2.0 : f32
    %eleven = arith.constant 11.0 : f32
    %third = arith.constant 0.3333333333333333 : f32
    %sl = arith.constant {0x89ABCDEF - (1 << 32)} : i32
    %sh = arith.constant {0x01234567} : i32
    %lane = rocdl.workitem.id.x : i32
    %ka = arith.constant {0x9E3779B1 - (1 << 32)} : i32
    %kb = arith.constant 12345 : i32
    %a0 = arith.muli %lane, %ka : i32
    %a = arith.addi %a0, %kb : i32
    %old = arith.xori %a, %c1 : i32
    %w1 = arith.constant {0x21324354} : i32
    %w2 = arith.constant 256 : i32
    %w3 = arith.muli %lane, %w2 : i32
    %w = arith.addi %w1, %w3 : i32
    %rem = arith.remui %lane, %c3 : i32
    %odd = arith.cmpi eq, %rem, %c0 : i32
    %lf = arith.sitofp %lane : i32 to f32
    %x0 = arith.constant 0.75 : f32
    %x1 = arith.constant -7.0 : f32
    %x2 = arith.mulf %lf, %x0 : f32
    %x = arith.addf %x2, %x1 : f32
    %y0 = arith.constant 0.5 : f32
    %y1 = arith.constant 0.25 : f32
    %y2 = arith.mulf %lf, %y0 : f32
    %y = arith.addf %y2, %y1 : f32
    %outLane = llvm.getelementptr %out[%lane] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32""")
    shared = {"c0", "c1", "c3", "c7", "c12", "mones", "two", "eleven", "third", "sl", "sh", "lane", "a", "old", "w", "odd", "x", "y"}
    for i, (text, _) in enumerate(CASES):
        # Bits of one element of a pair of f32.
        text = re.sub(r"%r = BITS %v (\d)", r"%t = vector.extract %v[\1] : f32 from vector<2xf32>\n%r = llvm.bitcast %t : f32 to i32", text)
        text = re.sub(r"%(\w+)", lambda m: m.group(0) if m.group(1) in shared else f"%{m.group(1)}_{i}", text)
        print("    " + text.replace("\n", "\n    "))
        print(f"    %to_{i} = llvm.getelementptr %outLane[{LANES * i}] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i32")
        print(f"    llvm.store %r_{i}, %to_{i} : i32, !llvm.ptr<1>")
    print("    llvm.return\n  }\n}")


if __name__ == "__main__":
    sys.exit(main())
