#!/usr/bin/env python3
"""Prints a kernel of one warp that stores one i32 per operation and lane, and what it must be.

The expectations are Python's integers and floats, so they share no code with the emulator.
"""

import math
import struct
import sys

M32, M64 = (1 << 32) - 1, (1 << 64) - 1


def s32(v):
    v &= M32
    return v - (1 << 32) if v >> 31 else v


def f32(v):
    """Rounded to f32."""
    return struct.unpack("<f", struct.pack("<f", v))[0]


def bits(v):
    return struct.unpack("<I", struct.pack("<f", v))[0]


def half_bits(v):
    return struct.unpack("<H", struct.pack("<e", v))[0]


def bf16_bits(v):
    b = bits(v)
    return (b + 0x7FFF + (b >> 16 & 1)) >> 16


def a(l):  # %a: i32, spread over the range
    return (l * 0x9E3779B1 + 12345) & M32


def b(l):  # %b: i32, small and odd
    return 2 * l + 1


def x(l):  # %x: f32
    return f32(l * 0.75 - 7.0)


def y(l):  # %y: f32
    return f32(l * 0.5 + 0.25)


def trunc_div(p, q):
    return int(abs(p) // abs(q)) * (1 if (p < 0) == (q < 0) else -1)


CASES = [
    # (lines that define %r of type i32, expectation by lane)
    ("%r = arith.addi %a, %b : i32", lambda l: a(l) + b(l)),
    ("%r = llvm.sub %a, %b : i32", lambda l: a(l) - b(l)),
    ("%r = arith.muli %a, %b : i32", lambda l: a(l) * b(l)),
    ("%r = arith.divui %a, %b : i32", lambda l: a(l) // b(l)),
    ("%r = llvm.sdiv %a, %b : i32", lambda l: trunc_div(s32(a(l)), b(l))),
    ("%r = arith.remsi %a, %b : i32", lambda l: s32(a(l)) - b(l) * trunc_div(s32(a(l)), b(l))),
    ("%r = arith.remui %a, %b : i32", lambda l: a(l) % b(l)),
    ("%r = arith.ceildivui %a, %b : i32", lambda l: -(-a(l) // b(l))),
    ("%r = llvm.xor %a, %b : i32", lambda l: a(l) ^ b(l)),
    ("%r = arith.shli %a, %lane : i32", lambda l: a(l) << l),
    ("%r = arith.shrui %a, %lane : i32", lambda l: a(l) >> l),
    ("%r = arith.shrsi %a, %lane : i32", lambda l: s32(a(l)) >> l),
    ("%r = arith.maxsi %a, %b : i32", lambda l: max(s32(a(l)), b(l))),
    ("%r = arith.minui %a, %b : i32", lambda l: min(a(l), b(l))),
    ("%r = llvm.intr.ctpop(%a) : (i32) -> i32", lambda l: bin(a(l)).count("1")),
    ('%r = "llvm.intr.ctlz"(%b) <{is_zero_poison = false}> : (i32) -> i32', lambda l: 32 - b(l).bit_length()),
    ('%r = "llvm.intr.cttz"(%a) <{is_zero_poison = false}> : (i32) -> i32', lambda l: (a(l) & -a(l)).bit_length() - 1),
    ("%r = llvm.intr.bswap(%a) : (i32) -> i32", lambda l: int.from_bytes(a(l).to_bytes(4, "little"), "big")),
    ("%r = llvm.intr.bitreverse(%a) : (i32) -> i32", lambda l: int(f"{a(l):032b}"[::-1], 2)),
    ("%r = llvm.intr.fshl(%a, %b, %lane) : (i32, i32, i32) -> i32",
     lambda l: ((a(l) << 32 | b(l)) << l >> 32)),
    ("%r = llvm.intr.fshr(%a, %b, %lane) : (i32, i32, i32) -> i32", lambda l: (a(l) << 32 | b(l)) >> l),
    ("%c = arith.cmpi slt, %a, %b : i32\n%r = arith.extui %c : i1 to i32", lambda l: s32(a(l)) < b(l)),
    ("%c = arith.cmpi ult, %a, %b : i32\n%r = arith.extsi %c : i1 to i32", lambda l: -(a(l) < b(l))),
    ("%t = arith.trunci %a : i32 to i8\n%r = arith.extsi %t : i8 to i32", lambda l: (a(l) & 255) - (a(l) & 128) * 2),
    ("%t = llvm.trunc %a : i32 to i16\n%u = llvm.mul %t, %t : i16\n%r = llvm.zext %u : i16 to i32",
     lambda l: (a(l) & 0xFFFF) ** 2 & 0xFFFF),
    ("%t = arith.extsi %a : i32 to i64\n%k = arith.constant 3 : i64\n%m = arith.muli %t, %k : i64\n"
     "%h = arith.constant 16 : i64\n%s = arith.shrsi %m, %h : i64\n%r = arith.trunci %s : i64 to i32",
     lambda l: s32(a(l)) * 3 >> 16),
    ("%s = arith.addf %x, %y : f32\n%r = llvm.bitcast %s : f32 to i32", lambda l: bits(f32(x(l) + y(l)))),
    ("%s = arith.divf %x, %y : f32\n%r = arith.bitcast %s : f32 to i32", lambda l: bits(f32(x(l) / y(l)))),
    ("%s = math.fma %x, %y, %x : f32\n%r = llvm.bitcast %s : f32 to i32", lambda l: bits(f32(x(l) * y(l) + x(l)))),
    ("%s = arith.negf %x : f32\n%m = arith.maximumf %s, %y : f32\n%r = llvm.bitcast %m : f32 to i32",
     lambda l: bits(max(-x(l), y(l)))),
    ("%s = math.sqrt %y : f32\n%r = llvm.bitcast %s : f32 to i32", lambda l: bits(f32(math.sqrt(y(l))))),
    ("%s = llvm.intr.floor(%x) : (f32) -> f32\n%r = llvm.fptosi %s : f32 to i32", lambda l: math.floor(x(l))),
    ("%r = arith.fptosi %x : f32 to i32", lambda l: int(x(l))),
    ("%r = arith.fptoui %x : f32 to i32", lambda l: max(int(x(l)), 0)),
    ("%s = arith.sitofp %a : i32 to f32\n%r = llvm.bitcast %s : f32 to i32", lambda l: bits(f32(float(s32(a(l)))))),
    ("%s = llvm.uitofp %a : i32 to f32\n%r = llvm.bitcast %s : f32 to i32", lambda l: bits(f32(float(a(l))))),
    ("%c = arith.cmpf olt, %x, %y : f32\n%s = arith.select %c, %x, %y : f32\n%r = llvm.bitcast %s : f32 to i32",
     lambda l: bits(min(x(l), y(l)))),
    ("%n = arith.divf %zero, %zero : f32\n%c = arith.cmpf uno, %n, %x : f32\n%d = arith.cmpf oeq, %n, %n : f32\n"
     "%e = arith.xori %c, %d : i1\n%r = arith.extui %e : i1 to i32", lambda l: 1),
    ("%k = arith.constant 0.123 : f32\n%s = arith.mulf %x, %k : f32\n%h = arith.truncf %s : f32 to f16\n"
     "%i = llvm.bitcast %h : f16 to i16\n%r = arith.extui %i : i16 to i32",
     lambda l: half_bits(f32(x(l) * f32(0.123)))),
    ("%k = arith.constant 0.123 : f32\n%s = arith.mulf %x, %k : f32\n%v = vector.from_elements %s, %x : vector<2xf32>\n"
     "%h = arith.truncf %v : vector<2xf32> to vector<2xbf16>\n%r = llvm.bitcast %h : vector<2xbf16> to i32",
     lambda l: bf16_bits(f32(x(l) * f32(0.123))) | bf16_bits(x(l)) << 16),
    ("%h = arith.truncf %y : f32 to bf16\n%i = arith.truncf %x : f32 to bf16\n%p = arith.mulf %h, %i : bf16\n"
     "%s = arith.extf %p : bf16 to f32\n%r = llvm.bitcast %s : f32 to i32",
     lambda l: bf16_bits(from_bf16(bf16_bits(x(l))) * from_bf16(bf16_bits(y(l)))) << 16),
    ("%f = nvvm.convert.f32x2.to.f8x2 %x, %y {rnd = #nvvm.fp_rnd_mode<rn>, sat = #nvvm.sat_mode<satfinite>} : i16 (f8E4M3FN)\n"
     "%r = arith.extui %f : i16 to i32", lambda l: e4m3(x(l)) << 8 | e4m3(y(l))),
    # Vectors and structs.
    ("%v = vector.from_elements %a, %b, %lane, %a : vector<4xi32>\n%w = llvm.shufflevector %v, %v [2, 7] : vector<4xi32>\n"
     "%one = llvm.mlir.constant(1 : i32) : i32\n%r = llvm.extractelement %w[%one : i32] : vector<2xi32>", lambda l: a(l)),
    ("%v = vector.from_elements %a, %b : vector<2xi32>\n%i = arith.andi %lane, %c1 : i32\n"
     "%r = llvm.extractelement %v[%i : i32] : vector<2xi32>", lambda l: b(l) if l % 2 else a(l)),
    ("%v = vector.broadcast %a : i32 to vector<2xi32>\n%i = arith.andi %lane, %c1 : i32\n"
     "%w = llvm.insertelement %b, %v[%i : i32] : vector<2xi32>\n%r = vector.extract %w[0] : i32 from vector<2xi32>",
     lambda l: a(l) if l % 2 else b(l)),
    ("%u = llvm.mlir.undef : !llvm.struct<(i32, i64, i32)>\n%s = llvm.insertvalue %a, %u[0] : !llvm.struct<(i32, i64, i32)>\n"
     "%t = llvm.insertvalue %b, %s[2] : !llvm.struct<(i32, i64, i32)>\n%p = llvm.extractvalue %t[2] : !llvm.struct<(i32, i64, i32)>\n"
     "%q = llvm.extractvalue %s[0] : !llvm.struct<(i32, i64, i32)>\n%r = arith.addi %p, %q : i32", lambda l: a(l) + b(l)),
    # Control flow of parting lanes.
    ("%n = arith.andi %lane, %c3 : i32\n%r = scf.for %i = %c0 to %n step %c1 iter_args(%s = %a) -> (i32) : i32 {\n"
     "%t = arith.addi %s, %i : i32\nscf.yield %t : i32\n}", lambda l: a(l) + sum(range(l & 3))),
    ("%p = arith.cmpi ult, %lane, %b : i32\n%odd = arith.trunci %lane : i32 to i1\n%r = scf.if %odd -> (i32) {\n"
     "%t = arith.muli %a, %b : i32\nscf.yield %t : i32\n} else {\nscf.yield %lane : i32\n}", lambda l: a(l) * b(l) if l % 2 else l),
    ("%r, %steps = scf.while (%v = %b, %n = %c0) : (i32, i32) -> (i32, i32) {\n%p = arith.cmpi ult, %v, %c64 : i32\n"
     "scf.condition(%p) %v, %n : i32, i32\n} do {\n^bb0(%v: i32, %n: i32):\n%w = arith.muli %v, %c3 : i32\n"
     "%m = arith.addi %n, %c1 : i32\nscf.yield %w, %m : i32, i32\n}", lambda l: grow(b(l))),
    ("%p:2 = scf.for %i = %c0 to %c3 step %c1 iter_args(%s = %a, %t = %b) -> (i32, i32) : i32 {\nscf.yield %t, %s : i32, i32\n}\n"
     "%r = arith.subi %p#0, %p#1 : i32", lambda l: b(l) - a(l)),
    # Across lanes.
    ("%r = nvvm.shfl.sync bfly %mones, %a, %c3, %c31 : i32 -> i32", lambda l: a(l ^ 3)),
    ("%r = nvvm.shfl.sync up %mones, %a, %c1, %c0 : i32 -> i32", lambda l: a(max(l - 1, 0))),
    ("%r = nvvm.shfl.sync down %mones, %a, %c1, %c31 : i32 -> i32", lambda l: a(min(l + 1, 31))),
    ("%k = arith.constant 0x181f : i32\n%r = nvvm.shfl.sync idx %mones, %a, %c1, %k : i32 -> i32", lambda l: a(l & ~7 | 1)),
    ("%p = arith.cmpi ult, %b, %c16 : i32\n%r = nvvm.vote.sync ballot %mones, %p -> i32", lambda l: 0xFF),
    ("%p = arith.cmpi ult, %b, %c64 : i32\n%v = nvvm.vote.sync all %mones, %p -> i1\n%r = arith.extui %v : i1 to i32", lambda l: 1),
    ("%n = arith.andi %lane, %c3 : i32\n%r = nvvm.match.sync any %mones, %n : i32 -> i32", lambda l: 0x11111111 << (l & 3)),
    ("%r = nvvm.redux.sync add %b, %mones : i32 -> i32", lambda l: sum(b(i) for i in range(32))),
    ("%r = nvvm.redux.sync umax %a, %mones : i32 -> i32", lambda l: max(a(i) for i in range(32))),
    ("%p = nvvm.elect.sync -> i1\n%r = arith.extui %p : i1 to i32", lambda l: l == 0),
    ("%r = nvvm.read.ptx.sreg.lanemask.lt : i32", lambda l: (1 << l) - 1),
    # Memory of the block: neighbours through a store, an atomic, memory of the thread.
    ("%p = llvm.getelementptr %smem[%lane] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32\nllvm.store %a, %p : i32, !llvm.ptr<3>\n"
     "nvvm.bar.warp.sync %mones : i32\n%n = arith.xori %lane, %c1 : i32\n"
     "%q = llvm.getelementptr %smem[%n] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32\n"
     "%g = llvm.addrspacecast %q : !llvm.ptr<3> to !llvm.ptr\n%r = llvm.load %g : !llvm.ptr -> i32", lambda l: a(l ^ 1)),
    ("%p = llvm.getelementptr %sum[%c1] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32\n"
     "%old = llvm.atomicrmw add %p, %b syncscope(\"device\") monotonic : !llvm.ptr<1>, i32\nnvvm.bar.warp.sync %mones : i32\n"
     "%r = llvm.load %p atomic syncscope(\"device\") acquire {alignment = 4 : i64} : !llvm.ptr<1> -> i32",
     lambda l: sum(b(i) for i in range(32))),
    ("%n = llvm.mlir.constant(4 : i32) : i32\n%p = llvm.alloca %n x i32 : (i32) -> !llvm.ptr\n"
     "%i = arith.andi %lane, %c3 : i32\n%q = llvm.getelementptr %p[%i] : (!llvm.ptr, i32) -> !llvm.ptr, i32\n"
     "llvm.store %a, %q : i32, !llvm.ptr\n%r = llvm.load %q : !llvm.ptr -> i32", a),
    ("%r = llvm.call @twice(%a) : (i32) -> i32", lambda l: 2 * a(l)),
]


def from_bf16(v):
    return struct.unpack("<f", struct.pack("<I", v << 16))[0]


def grow(v):
    while v < 64:
        v *= 3
    return v


def e4m3(v):
    """Nearest code by search, ties to even; values here are far from the ends of the range."""
    sign, v = (128, -v) if math.copysign(1, v) < 0 else (0, v)
    codes = [(abs(((c & 7) / 8 + (1 if c >> 3 else 0)) * 2.0 ** (max(c >> 3, 1) - 7) - v), c & 1, c) for c in range(127)]
    return sign | min(codes)[2]


def main():
    n = len(CASES)
    expected = [int(f(l)) & M32 for _, f in CASES for l in range(32)]
    print("module attributes {")
    print(f'  emu.buffers = [{{name = "out", type = "i32", size = {32 * n}, init = "none"}},')
    print('    {name = "sum", type = "i32", size = 2, init = "zero"},')
    print(f'    {{name = "want", type = "i32", size = {32 * n}, values = [{", ".join(str(s32(v)) for v in expected)}]}}],')
    print('  emu.launches = [{kernel = "k", grid = [1], block = [32], smem = 128, args = [{buffer = "out"}, {buffer = "sum"}]}],')
    print('  emu.checks = [{op = "copy", from = "want", to = "out"}]\n} {')
    print("  llvm.mlir.global external @smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>")
    print("  llvm.func @twice(%v: i32) -> i32 {\n    %r = llvm.add %v, %v : i32\n    llvm.return %r : i32\n  }")
    print("  llvm.func @k(%out: !llvm.ptr<1>, %sum: !llvm.ptr<1>) attributes {nvvm.kernel} {")
    print("    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>")
    for c in (0, 1, 2, 3, 16, 31, 64):
        print(f"    %c{c} = arith.constant {c} : i32")
    print(f"""    %mones = arith.constant -1 : i32
    %zero = arith.constant 0.0 : f32
    %lane = nvvm.read.ptx.sreg.laneid : i32
    %ka = arith.constant {s32(0x9E3779B1)} : i32
    %kb = arith.constant 12345 : i32
    %a0 = arith.muli %lane, %ka : i32
    %a = arith.addi %a0, %kb : i32
    %b0 = arith.muli %lane, %c2 : i32
    %b = arith.addi %b0, %c1 : i32
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
    import re
    shared = {"a", "b", "x", "y", "lane", "zero", "mones", "smem", "sum", "out", "c0", "c1", "c2", "c3", "c16", "c31", "c64"}
    for i, (text, _) in enumerate(CASES):
        text = re.sub(r"%(\w+)", lambda m: m.group(0) if m.group(1) in shared else f"%{m.group(1)}_{i}", text)
        print("    " + text.replace("\n", "\n    "))
        print(f"    %to_{i} = llvm.getelementptr %outLane[{32 * i}] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i32")
        print(f"    llvm.store %r_{i}, %to_{i} : i32, !llvm.ptr<1>")
    print("    llvm.return\n  }\n}")


if __name__ == "__main__":
    sys.exit(main())
