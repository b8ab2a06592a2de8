#!/usr/bin/env python3
"""Prints a grouped product of gathered rows for the emulator: `products.py chip=gfx942 [m= n= k= ...]`.

The tile kernel goes through moe-opt; a small kernel before it writes the table of row blocks.
"""

import re
import subprocess
import sys


def kernel(element, m, n, k, bm, bn, bk, stages, out):
    buf = f"!moe_tile.buf<{bm}x{bk}x{element}>", f"!moe_tile.buf<{bn}x{bk}x{element}>"
    acc, frag, result = (f"!moe_tile.{kind}<{bm}x{bn}x{of}>" for kind, of in (("acc", "f32"), ("frag", "f32"), ("frag", out)))
    blocks = -(-m // bm)
    body = "arith.truncf %v : f32 to " + out if out != "f32" else "arith.mulf %v, %one : f32"
    return f"""
moe_tile.kernel @product(%X: memref<?x{k}x{element}>, %W: memref<1x{n}x{k}x{element}>, %slots: memref<?xi32>, %table: memref<?x4xi32>, %Y: memref<?x{n}x{out}>)
    attributes {{moe.config = #moe.config<block = [{bm}, {bn}, {bk}], stages = {stages}, a = "gather", b = "vector", store = "vector">}} {{
  %c0 = arith.constant 0 : index
  %blocks = arith.constant {blocks} : index
  %ck = arith.constant {k} : index
  %one = arith.constant 1.0 : f32
  %list = moe_tile.block_list %table count(%blocks) columns {n} by {bn} : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) claim(stride) {{
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
    %idx = moe_tile.row_index %slots[%row0] limit(%rows) : memref<?xi32> -> !moe_tile.rows<{bm}>
    %z = moe_tile.acc_zero : {acc}
    %acc = moe_tile.k_loop %c0 to %ck step {bk} init(%z : {acc})
      load(%k: index) {{
        %a = moe_tile.load %X[%idx : !moe_tile.rows<{bm}>, %k] : memref<?x{k}x{element}> -> {buf[0]}
        %b = moe_tile.load %W[%e, %n0, %k] : memref<1x{n}x{k}x{element}> -> {buf[1]}
        moe_tile.yield %a, %b : {buf[0]}, {buf[1]}
      }} compute(%k: index, %a: {buf[0]}, %b: {buf[1]}, %c: {acc}) {{
        %d = moe_tile.mma %a, %b, %c : {buf[0]}, {buf[1]}, {acc}
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
    o = dict(chip="gfx942", type="bf16", m=100, n=128, k=256, bm=64, bn=64, bk=64, stages=1, grid=3, source=150, out="f32", without="")
    for argument in sys.argv[1:]:
        name, value = argument.split("=")
        o[name] = type(o[name])(value)
    text = kernel(o["type"], o["m"], o["n"], o["k"], o["bm"], o["bn"], o["bk"], o["stages"], o["out"])
    done = subprocess.run(["moe-opt", f"-moe-tile-to-explicit=target={o['chip']}", "-convert-moe-tile-to-rocdl",
                           "-canonicalize", "-cse"], input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    body = re.sub(r"moe.config = #moe.config<[^>]*>, ", "", done.stdout).strip().removeprefix("module {").removesuffix("}")
    if o["without"]:
        # The main loop has the last but one and the last barrier.
        pieces = body.split("amdgpu.lds_barrier")
        at = len(pieces) - (2 if o["without"] == "behind" else 3)
        pieces[at:at + 2] = [pieces[at] + pieces[at + 1]]
        body = "amdgpu.lds_barrier".join(pieces)
    threads = int(re.search(r"block = array<i64: (\d+)", body).group(1))
    blocks = -(-o["m"] // o["bm"])

    def buffer(name, kind, size, init):
        return f'{{name = "{name}", type = "{kind}", size = {size}, {init}}}'
    random = 'init = "random"'
    buffers = [buffer("X", o["type"], o["source"] * o["k"], random), buffer("W", o["type"], o["n"] * o["k"], random),
               buffer("slots", "i32", o["m"], f'init = "random", modulo = {o["source"]}'),
               buffer("table", "i32", 4 * blocks, 'init = "none"'), buffer("Y", o["out"], o["m"] * o["n"], 'init = "none"')]

    def launch(name, grid, block, *args):
        named = ", ".join(f'{{buffer = "{arg}"}}' for arg in args)
        return f'{{kernel = "{name}", grid = [{grid}, 1, 1], block = [{block}, 1, 1], args = [{named}]}}'
    launches = [launch("fill", 1, 64, "table"), launch("product", o["grid"], threads, "X", "W", "slots", "table", "Y")]
    check = f'{{op = "gemm", a = "X", b = "W", c = "Y", m = {o["m"]}, n = {o["n"]}, k = {o["k"]}, rows = "slots"}}'
    print(f"module attributes {{\n  emu.buffers = [{', '.join(buffers)}],\n  emu.launches = [{', '.join(launches)}],\n"
          f"  emu.checks = [{check}]\n}} {{\n{fill(o['m'], o['bm'])}{body}\n}}")


main()
