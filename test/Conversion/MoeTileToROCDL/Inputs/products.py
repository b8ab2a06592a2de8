#!/usr/bin/env python3
"""Prints a grouped product of gathered rows for the emulator: `products.py chip=gfx942 [m= n= k= ...]`.

The tile kernel goes through moe-opt; small kernels before it write the table of row blocks and, of weights of four
bits (type=w4 or mx), what they stand for. Of mx8, mx8e5 and mx84 the rows are 8-bit floats with a scale for 32 of them,
and the weights too, or of four bits. direct=1: both are copied straight to LDS, which needs stages=2. dies=8: workgroups are of so many dies.
grid=1,2,9: one launch for each, with a result of its own. atom: the instruction, if not the pass's own choice. without:
what is left out, or scale, of which lanes then have one another's.
"""

import re
import subprocess
import sys


def packed(kind):
    """Type of the scales, columns that share one, and the format of codes."""
    mx = ("f8E8M0FNU", 32, "granule [1, 32] format(mx)")
    plain = ("f8E8M0FNU", 32, "granule [1, 32]")
    return {"w4": ("bf16", 64, "zero_value 8 format(low_even)"), "mx": ("f8E8M0FNU", 32, "format(mx)"), "mx8": plain,
            "mx8e5": plain, "mx84": mx}.get(kind)


def floats(kind, rows):
    """The 8-bit floats of rows, or of weights; None: they are no such floats."""
    return {"mx8": "f8E4M3FN", "mx8e5": "f8E5M2" if rows else "f8E4M3FN", "mx84": "f8E4M3FN" if rows else None}.get(kind)


def kernel(element, m, n, k, bm, bn, bk, stages, out, direct, place, load_threads, dies, atom):
    how_a, how_b = ("lds_direct", "lds_direct") if direct else ("gather", "vector")
    quant, rows8, weights8 = packed(element), floats(element, True), floats(element, False)
    # Packed weights are decoded beside the product, or by those who bring them.
    beside = quant and place == "compute"
    if quant:
        scale, group, how = quant
        element, columns = "bf16", -(-bk // group)
    held = rows8 or element
    buf = f"!moe_tile.buf<{bm}x{bk}x{element}>", f"!moe_tile.buf<{bn}x{bk}x{element}>"
    acc, frag, result = (f"!moe_tile.{kind}<{bm}x{bn}x{of}>" for kind, of in (("acc", "f32"), ("frag", "f32"), ("frag", out)))
    blocks = -(-m // bm)
    weights, more, loads, operand, codes, scales = f"memref<1x{n}x{k}x{element}>", "", "", buf[1], buf[1], ""
    yields = types = arguments = decoded = scaled = ""
    first = "%a", buf[0]
    if quant:
        codes, weights = f"!moe_tile.buf<{bn}x{bk // 2}xi8>", f"memref<1x{n}x{k // 2}xi8>"
        if weights8:
            codes, weights = f"!moe_tile.buf<{bn}x{bk}x{weights8}>", f"memref<1x{n}x{k}x{weights8}>"
        scales, memory = f"!moe_tile.buf<{bn}x{columns}x{scale}>", f"memref<1x{n}x{-(-k // group)}x{scale}>"
        more = f", %S: {memory}"
        dims = " dims [1, -1]" if columns == 1 else ""
        loads = f"""%half = arith.divui %k, %c2 : index
        %s = moe_tile.load %S[%e, %n0, %k]{dims} granule [1, 1, {group}] : {memory} -> {scales}"""
        if beside:
            yields, types, arguments = ", %s", f", {scales}", f", %s: {scales}"
        operand = f"!moe_tile.{'frag' if beside else 'buf'}<{bn}x{bk}x{element}>"
        decoded = f"%w = moe_tile.dequant %b scale(%s : {scales}) {how} : {codes} -> {operand}"
    if rows8:
        scale_rows, memory = f"!moe_tile.buf<{bm}x{columns}x{scale}>", f"memref<?x{-(-k // group)}x{scale}>"
        scaled = f", %SX: {memory}"
        loads += f"""
        %sx = moe_tile.load %SX[%idx : !moe_tile.rows<{bm}>, %k]{" dims [0, -1]" if columns == 1 else ""} granule [1, 32] : {memory} -> {scale_rows}"""
        yields, types, arguments = yields + ", %sx", types + f", {scale_rows}", arguments + f", %sx: {scale_rows}"
        codes_a, first = f"!moe_tile.buf<{bm}x{bk}x{rows8}>", ("%v", f"!moe_tile.frag<{bm}x{bk}x{element}>")
        decoded += f"""
        %v = moe_tile.dequant %a scale(%sx : {scale_rows}) granule [1, 32] : {codes_a} -> {first[1]}"""
        buf = codes_a, buf[1]
    brought = "%w" if quant and not beside else "%b"
    shared = f" dies({dies})" if dies else ""
    named = f', atom = "{atom}"' if atom else ""
    body = "arith.truncf %v : f32 to " + out if out != "f32" else "arith.mulf %v, %one : f32"
    return f"""
moe_tile.kernel @product(%X: memref<?x{k}x{held}>{scaled}, %W: {weights}{more}, %slots: memref<?xi32>, %table: memref<?x4xi32>, %Y: memref<?x{n}x{out}>)
    attributes {{moe.config = #moe.config<block = [{bm}, {bn}, {bk}], stages = {stages}, a = "{how_a}", b = "{how_b}", b_place = "{place}",
                                               store = "vector", load_threads = {load_threads}{named}>}} {{
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %blocks = arith.constant {blocks} : index
  %ck = arith.constant {k} : index
  %one = arith.constant 1.0 : f32
  %list = moe_tile.block_list %table count(%blocks) columns {n} by {bn} : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) claim(stride){shared} {{
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) : memref<?xi32> -> !moe_tile.rows<{bm}>
    %z = moe_tile.acc_zero : {acc}
    %acc = moe_tile.k_loop %c0 to %ck step {bk} init(%z : {acc})
      load(%k: index) {{
        %a = moe_tile.load %X[%idx : !moe_tile.rows<{bm}>, %k] : memref<?x{k}x{held}> -> {buf[0]}
        {loads}
        %b = moe_tile.load %W[%e, %n0, {"%half" if quant and not weights8 else "%k"}] : {weights} -> {codes}
        {"" if beside else decoded}
        moe_tile.yield %a, {brought}{yields} : {buf[0]}, {codes if beside else operand}{types}
      }} compute(%k: index, %a: {buf[0]}, {brought}: {codes if beside else operand}{arguments}, %c: {acc}) {{
        {decoded if beside else ""}
        %d = moe_tile.mma {first[0]}, {"%w" if quant else "%b"}, %c : {first[1]}, {operand}, {acc}
        moe_tile.yield %d : {acc}
      }}
    %f = moe_tile.acc_read %acc : {acc} -> {frag}
    %q = moe_tile.map ins(%f : {frag}) -> {result} {{
    ^bb0(%v: f32):
      %r = {body}
      moe_tile.yield %r : {out}
    }}
    moe_tile.store %q to %Y[%row0, %n0] limit(%rows) : {result} to memref<?x{n}x{out}>
  }}
  moe_tile.return
}}
"""


def decode(kind, n, k):
    """A kernel of one wave that writes the weights as bf16, by the definition of the codes."""
    scale, group, _ = packed(kind)
    if kind == "w4":
        value = """%i = arith.subi %code, %c8 : i32
      %v = arith.sitofp %i : i32 to f32
"""
        factor = "%s = llvm.load %sp : !llvm.ptr<1> -> bf16\n      %sf = arith.extf %s : bf16 to f32\n"
    else:
        # e1m1 with bias 1: (2 + m) * 2^e / 4, below the first exponent m / 2.
        value = """%m = arith.andi %code, %c1 : i32
      %half = arith.shrui %code, %c1 : i32
      %e = arith.andi %half, %c3 : i32
      %one = arith.addi %m, %c2 : i32
      %big = arith.shli %one, %e : i32
      %first = arith.cmpi eq, %e, %c0 : i32
      %twice = arith.shli %m, %c1 : i32
      %size = arith.select %first, %twice, %big : i32
      %minus = arith.cmpi uge, %code, %c8 : i32
      %less = arith.subi %c0, %size : i32
      %i = arith.select %minus, %less, %size : i32
      %w = arith.sitofp %i : i32 to f32
      %v = arith.mulf %w, %quarter : f32
"""
        factor = """%s = llvm.load %sp : !llvm.ptr<1> -> i8
      %wide = arith.extui %s : i8 to i32
      %bits = arith.shli %wide, %c23 : i32
      %sf = arith.bitcast %bits : i32 to f32
"""
    constants = "".join(f"    %c{c} = arith.constant {c} : i32\n" for c in (0, 1, 2, 3, 4, 8, 15, 23, 64))
    return f"""  llvm.func @decode(%P: !llvm.ptr<1>, %S: !llvm.ptr<1>, %W: !llvm.ptr<1>) attributes {{rocdl.kernel}} {{
    %t = rocdl.workitem.id.x : i32
{constants}    %quarter = arith.constant 0.25 : f32
    %count = arith.constant {n * k} : i32
    %group = arith.constant {group} : i32
    %row = arith.constant {k} : i32
    %groups = arith.constant {-(-k // group)} : i32
    scf.for %at = %t to %count step %c64 : i32 {{
      %byte = arith.shrui %at, %c1 : i32
      %p = llvm.getelementptr %P[%byte] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
      %both = llvm.load %p : !llvm.ptr<1> -> i8
      %word = arith.extui %both : i8 to i32
      %odd = arith.andi %at, %c1 : i32
      %by = arith.muli %odd, %c4 : i32
      %shifted = arith.shrui %word, %by : i32
      %code = arith.andi %shifted, %c15 : i32
      {value}
      %r = arith.divui %at, %row : i32
      %c = arith.remui %at, %row : i32
      %g = arith.divui %c, %group : i32
      %first_g = arith.muli %r, %groups : i32
      %sat = arith.addi %first_g, %g : i32
      %sp = llvm.getelementptr %S[%sat] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, {"bf16" if scale == "bf16" else "i8"}
      {factor}
      %x = arith.mulf %v, %sf : f32
      %rounded = arith.truncf %x : f32 to bf16
      %wp = llvm.getelementptr %W[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, bf16
      llvm.store %rounded, %wp : bf16, !llvm.ptr<1>
    }}
    llvm.return
  }}
"""


def decode8(name, kind, rows, k):
    """The same of 8-bit floats and their scales."""
    mantissa = 3 if kind == "f8E4M3FN" else 2
    bias = 7 if mantissa == 3 else 15
    names = dict(c0=0, c1=1, c23=23, c64=64, m=mantissa, mask=2**mantissa - 1, lead=2**mantissa, count=rows * k, row=k,
                 groups=-(-k // 32), c32=32, size=127, shift=127 - bias - mantissa, sign=128, c24=24)
    constants = "".join(f"    %{name} = arith.constant {value} : i32\n" for name, value in names.items())
    return f"""  llvm.func @{name}(%P: !llvm.ptr<1>, %S: !llvm.ptr<1>, %W: !llvm.ptr<1>) attributes {{rocdl.kernel}} {{
    %t = rocdl.workitem.id.x : i32
{constants}    scf.for %at = %t to %count step %c64 : i32 {{
      %p = llvm.getelementptr %P[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
      %byte = llvm.load %p : !llvm.ptr<1> -> i8
      %code = arith.extui %byte : i8 to i32
      %magnitude = arith.andi %code, %size : i32
      %e = arith.shrui %magnitude, %m : i32
      %fraction = arith.andi %magnitude, %mask : i32
      %small = arith.cmpi eq, %e, %c0 : i32
      %leading = arith.addi %fraction, %lead : i32
      %digits = arith.select %small, %fraction, %leading : i32
      %exponent = arith.maxui %e, %c1 : i32
      %biased = arith.addi %exponent, %shift : i32
      %power = arith.shli %biased, %c23 : i32
      %two = arith.bitcast %power : i32 to f32
      %minus = arith.cmpi uge, %code, %sign : i32
      %less = arith.subi %c0, %digits : i32
      %i = arith.select %minus, %less, %digits : i32
      %w = arith.sitofp %i : i32 to f32
      %v = arith.mulf %w, %two : f32
      %r = arith.divui %at, %row : i32
      %c = arith.remui %at, %row : i32
      %g = arith.divui %c, %c32 : i32
      %first_g = arith.muli %r, %groups : i32
      %sat = arith.addi %first_g, %g : i32
      %sp = llvm.getelementptr %S[%sat] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i8
      %s = llvm.load %sp : !llvm.ptr<1> -> i8
      %wide = arith.extui %s : i8 to i32
      %bits = arith.shli %wide, %c23 : i32
      %sf = arith.bitcast %bits : i32 to f32
      %x = arith.mulf %v, %sf : f32
      %rounded = arith.truncf %x : f32 to bf16
      %wp = llvm.getelementptr %W[%at] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, bf16
      llvm.store %rounded, %wp : bf16, !llvm.ptr<1>
    }}
    llvm.return
  }}
"""


def fill(m, bm):
    lines = []
    for block in range(-(-m // bm)):
        for i, value in enumerate((0, block * bm, min(bm, m - block * bm), 0)):
            number = 4 * block + i
            lines.append(f"    %v{number} = arith.constant {value} : i32\n"
                         f"    %p{number} = llvm.getelementptr %table[{number}] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i32\n"
                         f"    llvm.store %v{number}, %p{number} : i32, !llvm.ptr<1>\n")
    return "  llvm.func @fill(%table: !llvm.ptr<1>) attributes {rocdl.kernel} {\n" \
        "    %t = rocdl.workitem.id.x : i32\n    %z = arith.constant 0 : i32\n    %first = arith.cmpi eq, %t, %z : i32\n" \
        "    scf.if %first {\n" + "".join(lines) + "    }\n    llvm.return\n  }\n"


def main():
    o = dict(chip="gfx942", type="bf16", m=100, n=128, k=256, bm=64, bn=64, bk=64, stages=1, grid="3", source=150, out="f32", without="", direct=0,
             place="compute", load_threads=0, dies=0, atom="")
    for argument in sys.argv[1:]:
        name, value = argument.split("=")
        o[name] = type(o[name])(value)
    text = kernel(o["type"], o["m"], o["n"], o["k"], o["bm"], o["bn"], o["bk"], o["stages"], o["out"], o["direct"], o["place"], o["load_threads"],
                  o["dies"], o["atom"])

    def opt(text, *passes):
        done = subprocess.run(["moe-opt", *passes], input=text, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        return done.stdout
    text = opt(text, f"-moe-tile-to-explicit=target={o['chip']}")
    if o["without"] == "scale":
        # Rows and groups of columns in the other order of the lanes.
        text, count = re.subn(r"(f8E8M0FNU, #moe_tile.digits<[^<>]*lane = \[)(m \* \d+ by 1), (n \* \d+ by 1)\]", r"\1\3, \2]", text)
        assert count, text
    text = opt(text, "-convert-moe-tile-to-rocdl", "-canonicalize", "-cse")
    aliases, _, body = re.sub(r"moe.config = #moe.config<[^>]*>, ", "", text).strip().partition("module {")
    body = body.removesuffix("}")
    if o["without"] in ("behind", "before"):
        # The main loop has the last but one and the last barrier.
        pieces = body.split("amdgpu.lds_barrier")
        at = len(pieces) - (2 if o["without"] == "behind" else 3)
        pieces[at:at + 2] = [pieces[at] + pieces[at + 1]]
        body = "amdgpu.lds_barrier".join(pieces)
    if o["without"] == "wait":
        # The main loop has the last but one.
        pieces = body.split("amdgpu.memory_counter_wait load(0)")
        pieces[-3:-1] = [pieces[-3] + pieces[-2]]
        body = "amdgpu.memory_counter_wait load(0)".join(pieces)
    threads = int(re.search(r"block = array<i64: (\d+)", body).group(1))
    blocks = -(-o["m"] // o["bm"])

    def buffer(name, kind, size, init):
        return f'{{name = "{name}", type = "{kind}", size = {size}, {init}}}'
    random = 'init = "random"'
    quant = packed(o["type"])
    element = "bf16" if quant else o["type"]
    # Codes of 8-bit floats that are no NaN and not too large, negative zero among them.
    codes8 = {kind: f"values = {[c for c in range(256) if c & 127 < most]}" for kind, most in (("f8E4M3FN", 90), ("f8E5M2", 72))}
    if element == "f8E4M3FN":
        random = codes8[element]
    buffers = [buffer("X", element, o["source"] * o["k"], random),
               buffer("W", element, o["n"] * o["k"], 'init = "none"' if quant else random),
               buffer("slots", "i32", o["m"], f'init = "random", modulo = {o["source"]}'),
               buffer("table", "i32", 4 * blocks, 'init = "none"')]
    grids = [int(grid) for grid in o["grid"].split(",")]
    results = [f"Y{grid}" for grid in grids]
    buffers += [buffer(name, o["out"], o["m"] * o["n"], 'init = "none"') for name in results]

    def launch(name, grid, block, *args):
        named = ", ".join(f'{{buffer = "{arg}"}}' for arg in args)
        return f'{{kernel = "{name}", grid = [{grid}, 1, 1], block = [{block}, 1, 1], args = [{named}]}}'
    launches = [launch("fill", 1, 64, "table")]
    before = fill(o["m"], o["bm"])
    weights = ["W"]
    if quant:
        weights8 = floats(o["type"], False)
        buffers += [buffer("P", "i8", o["n"] * o["k"], codes8[weights8]) if weights8 else
                    buffer("P", "i8", o["n"] * o["k"] // 2, 'init = "random", low = -128, modulo = 256'),
                    buffer("S", "bf16" if o["type"] == "w4" else "i8", o["n"] * -(-o["k"] // quant[1]),
                           'init = "random"' if o["type"] == "w4" else 'init = "random", low = 123, modulo = 5')]
        launches.append(launch("decode", 1, 64, "P", "S", "W"))
        before += decode8("decode", weights8, o["n"], o["k"]) if weights8 else decode(o["type"], o["n"], o["k"])
        weights = ["P", "S"]
    rows8, rows = floats(o["type"], True), ["X"]
    if rows8:
        buffers[0] = buffer("X", "bf16", o["source"] * o["k"], 'init = "none"')
        buffers += [buffer("PX", "i8", o["source"] * o["k"], codes8[rows8]),
                    buffer("SX", "i8", o["source"] * -(-o["k"] // 32), 'init = "random", low = 123, modulo = 5')]
        launches.append(launch("decode_rows", 1, 64, "PX", "SX", "X"))
        before += decode8("decode_rows", rows8, o["source"], o["k"])
        rows = ["PX", "SX"]
    launches += [launch("product", grid, threads, *rows, *weights, "slots", "table", name) for grid, name in zip(grids, results)]
    checks = ", ".join(f'{{op = "gemm", a = "X", b = "W", c = "{name}", m = {o["m"]}, n = {o["n"]}, k = {o["k"]}, rows = "slots"}}'
                       for name in results)
    print(f"{aliases}module attributes {{\n  emu.buffers = [{', '.join(buffers)}],\n  emu.launches = [{', '.join(launches)}],\n"
          f"  emu.checks = [{checks}]\n}} {{\n{before}{body}\n}}")


main()
