# RUN: rm -rf %t && mkdir %t && %python %s %t
"""The text of every attribute and type of the three dialects, one per line.

A good one is printed as it was read, or as the second entry says, and survives
bytecode. A bad one gives one error with the sentence, at the column where the text
goes wrong.
"""

import pathlib
import re
import subprocess
import sys

# How it is printed; "" is as it was read.
GOOD = [
    # Stored formats: element, granule, scale, then what has defaults.
    ("#moe.quant<f8E4M3FN, granule = [128, 128], scale = f32>", ""),
    ("#moe.quant<f8E4M3FN, granule = [*, *], scale = f32>", ""),
    ("#moe.quant<f8E5M2, granule = [1, *], scale = bf16, layout = group_major>", ""),
    ("#moe.quant<i8, granule = [1, *], scale = f32, zero = none, packing = plain, layout = row_major>",
     "#moe.quant<i8, granule = [1, *], scale = f32>"),
    ("#moe.quant<i8, granule = [1, 64], scale = f16, zero = 255>", ""),
    ("#moe.quant<i4, granule = [1, 128], scale = bf16, zero = 0, packing = low_even>", ""),
    ("#moe.quant<i4, granule = [1, 128], scale = bf16, packing = exllama, zero = operand, layout = group_major>",
     "#moe.quant<i4, granule = [1, 128], scale = bf16, zero = operand, packing = exllama, layout = group_major>"),
    ("#moe.quant<f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx>", ""),
    ("#moe.quant<f4E2M1FN, granule = [1, 16], scale = f8E4M3FN, packing = mx>", ""),
    # Places of gate and up, activations with their numbers.
    ("#moe.gate_up<halves>", ""), ("#moe.gate_up<interleaved, up_first>", ""), ("#moe.gate_up<blocks 64>", ""),
    ("#moe.gate_up<blocks 1, up_first>", ""),
    ("#moe.activation<silu>", ""), ("#moe.activation<swiglu>", ""),
    ("#moe.activation<swiglu_oai, limit = 7.0, alpha = 1.702>", "#moe.activation<swiglu_oai>"),
    ("#moe.activation<swiglu_oai, alpha = 1.5>", "#moe.activation<swiglu_oai, alpha = 1.500000e+00>"),
    ("#moe.activation<swiglu_oai, limit = 3.0>", "#moe.activation<swiglu_oai, limit = 3.000000e+00>"),
    # Configurations: any field, once.
    ("#moe.config<>", ""), ("#moe.config<block = [16, 64, 0]>", ""),
    ('#moe.config<stages = 3, block = [1, 1, 1], a = "gather">', '#moe.config<block = [1, 1, 1], stages = 3, a = "gather">'),
    # Routing.
    ("!moe.routing<experts = 8, topk = 2>", ""), ("!moe.routing<experts = 8, topk = 2, block_m = 16>", ""),
    ("!moe.routing<experts = 8, topk = 2, block_m = 1>", "!moe.routing<experts = 8, topk = 2>"),
    # Tiles, where they stand.
    ("!moe_tile.buf<4x8xf32>", ""), ("!moe_tile.buf<4x32xbf16, swizzle = 64>", ""), ("!moe_tile.buf<4x8xf32, pad = 16>", ""),
    ("!moe_tile.buf<4x8xf32, swizzle = 0>", "!moe_tile.buf<4x8xf32>"),
    ("!moe_tile.acc<64x8xf32>", ""), ("!moe_tile.acc<64x8xi32, #moe_tile.atom<wgmma 64x8x16>>", ""),
    ("!moe_tile.acc<8x64xf32, #moe_tile.atom<wgmma 8x64x16, swap>>", ""),
    ("!moe_tile.frag<4x8xbf16>", ""),
    ("!moe_tile.frag<4x8xf32, #moe_tile.digits<reg = [n * 8 by 1], lane = [m * 4 by 1]>>", ""),
    ("!moe_tile.frag<4x1xf32, #moe_tile.digits<reg = [m * 4 by 1], lane = [n * 32 by 0]>>", ""),
    ("!moe_tile.staged<4x8xi8>", ""), ("!moe_tile.rows<16>", ""), ("!moe_tile.tiles<blocks>", ""), ("!moe_tile.tiles<records>", ""),
    ("!moe_tile.tile", ""), ("!moe_tile.token", ""), ("!moe_tile.cursor<producer>", ""), ("!moe_tile.cursor<consumer>", ""),
    ("!moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>", ""),
    ("!moe_tile.ring<3 x (a: !moe_tile.buf<4x8xf32>, b: !moe_tile.buf<2x8xbf16>), sync = lockstep>", ""),
    ("#moe_tile.exec<threads = 32>", "#moe_tile.exec<threads = 32, cluster = 1, grid = persistent>"),
    ("#moe_tile.exec<threads = 64, grid = tiles, cluster = 2>", "#moe_tile.exec<threads = 64, cluster = 2, grid = tiles>"),
]

# What is wrong, and the text behind which the column is; "" is the first character.
BAD = [
    ("#moe.quant<f8E4M3FN, granule = [0, 128], scale = f32>", "granule extents must be positive or *, got [0, 128]", ""),
    ("#moe.quant<f8E4M3FN, granule = [1, -4], scale = f32>", "granule extents must be positive or *, got [1, -4]", ""),
    ("#moe.quant<f32, granule = [1, 4], scale = f32>", "element type must be i4, i8, f4E2M1FN or an 8-bit float, got 'f32'", ""),
    ("#moe.quant<i8, granule = [1, 4], scale = i8>", "scale type must be f32, bf16, f16, f8E8M0FNU or f8E4M3FN, got 'i8'", ""),
    ("#moe.quant<i8, granule = [1, 4], scale = f32, packing = mx>", "packing mx holds f4E2M1FN, got 'i8'", ""),
    ("#moe.quant<i8, granule = [1, 8], scale = f32, packing = exllama>", "packing exllama holds i4, got 'i8'", ""),
    ("#moe.quant<i4, granule = [1, 8], scale = f32>", "4-bit element type 'i4' needs a packing (low_even, exllama or mx)", ""),
    ("#moe.quant<f8E5M2, granule = [1, 8], scale = f32, zero = 3>", "zero points need an integer element type, got 'f8E5M2'", ""),
    ("#moe.quant<i4, granule = [1, 8], scale = f32, zero = 16, packing = mx>", "packing mx holds f4E2M1FN, got 'i4'", ""),
    ("#moe.quant<i4, granule = [1, 8], scale = f32, zero = 16, packing = low_even>", "zero point 16 is outside [0, 15]", ""),
    ("#moe.quant<i8, granule = [1, 8], scale = f32, zero = -1>", "zero point -1 is outside [0, 255]", ""),
    ("#moe.quant<i4, granule = [1, 12], scale = f32, packing = exllama>",
     "granule of 12 columns is not a multiple of the 8 columns of one stored element", ""),
    ("#moe.quant<i8, granule = [1, 8], scale = f32, zero = some>",
     "unknown zero point 'some', expected none, operand, or an integer", "zero = "),
    ("#moe.quant<i8, granule = [1, 8], scale = f32, packing = high_even>",
     "unknown packing 'high_even', expected plain, low_even, exllama or mx", "packing = "),
    ("#moe.quant<i8, granule = [1, 8], scale = f32, layout = column_major>",
     "unknown layout 'column_major', expected row_major or group_major", "layout = "),
    ("#moe.quant<i8, granule = [1, 8], scale = f32, order = 3>", "unknown field 'order', expected zero, packing or layout", "f32, "),
    ("#moe.quant<i8, granule = [1], scale = f32>", "expected ','", "[1"),
    ("#moe.gate_up<thirds>", "unknown arrangement 'thirds', expected halves, interleaved or blocks N", "<"),
    ("#moe.gate_up<blocks>", "expected integer value", "blocks"),
    ("#moe.gate_up<blocks 0>", "blocks needs a positive size, got 0", ""),
    ("#moe.gate_up<halves, gate_first>", "expected 'up_first'", "halves, "),
    ("#moe.activation<swish>", "unknown activation 'swish', expected identity, silu, gelu", "<"),
    ("#moe.activation<swiglu_oai, beta = 1.0>", "unknown field 'beta', expected alpha or limit", "oai, "),
    ("#moe.config<rows = 3>", "unknown field 'rows' in #moe.config", ""),
    ("#moe.config<stages = 2, stages = 3>", "field 'stages' is given twice", "2, "),
    ('#moe.config<stages = "many">', "field 'stages' of #moe.config is ", ""),
    ("#moe.config<stages = -1>", "field 'stages' of #moe.config must not be negative, got -1", ""),
    ("#moe.config<block = [16, 64]>", "field 'block' of #moe.config is [m >= 1, n >= 1, k >= 0], got [16, 64]", ""),
    ("#moe.config<block = [0, 64, 0]>", "field 'block' of #moe.config is [m >= 1, n >= 1, k >= 0], got [0, 64, 0]", ""),
    ("#moe.config<micro = [16]>", "field 'micro' of #moe.config has 2 entries, got 1", ""),
    ("#moe.config<cluster = [1, 1, 1]>", "field 'cluster' of #moe.config has 2 entries, got 3", ""),
    ("!moe_tile.buf<4x8x2xf32>", "a tile has rows and columns, got 3 extents", "<"),
    ("!moe_tile.buf<8xf32>", "a tile has rows and columns, got 1 extents", "<"),
    ("!moe_tile.buf<4x8xf32, stride = 16>", "expected 'swizzle' or 'pad'", "f32, "),
    ("!moe_tile.buf<4x8xf32, swizzle = 16>", "buf_c2: swizzle must be 32, 64 or 128 bytes, got 16", ""),
    ("!moe_tile.buf<4x32xf32, swizzle = 128, pad = 16>",
     "buf_c2: pad must be positive and without swizzle, got pad 16 and swizzle 128", ""),
    ("!moe_tile.buf<0x8xf32>", "buf_c1: extents must be positive, got 0x8", ""),
    ("!moe_tile.buf<4x8xi4>", "buf_c1: element type must have whole bytes, got 'i4'", ""),
    ("!moe_tile.buf<4x8xindex>", "buf_c1: element type must be integer or float, got 'index'", ""),
    ("!moe_tile.acc<4x8xbf16>", "acc_c1: accumulators are f32, f64 or i32, got 'bf16'", ""),
    ("!moe_tile.acc<64x8xf32, #moe_tile.atom<wgmma 64x8>>", "an atom is m x n x k, got 2 extents", "wgmma "),
    ("#moe_tile.atom<wgmma 64x7x16>", "atom_c1: no instruction wgmma 64x7x16 (hardware m x n x k)", ""),
    ("#moe_tile.atom<wgmma 64x8x16, transpose>", "expected 'swap'", "16, "),
    ("#moe_tile.digits<reg = [k * 4 by 1]>", "a digit belongs to m or n, got 'k'", "["),
    ("#moe_tile.digits<thread = [m * 4 by 1]>", "unknown level 'thread', expected reg, lane, warp, group or cta", "<"),
    ("#moe_tile.digits<reg = [m * 0 by 1]>", "digits_c1: extent must be positive and stride not negative, got 0 by 1", ""),
    ("#moe_tile.digits<lane = [m * 4 by 1], reg = [n * 4 by 1]>",
     "digits_c1: levels stand in the order reg, lane, warp, group, cta, got reg behind lane", ""),
    ("#moe_tile.digits<reg = [m * 4 by 2]>",
     "digits_c1: not a bijection in m: a digit of extent 4 has stride 2, the smaller ones cover 1", ""),
    ("!moe_tile.frag<4x8xf32, #moe_tile.digits<reg = [n * 8 by 1], lane = [m * 2 by 1]>>",
     "frag_c1: the layout covers 2x8, the fragment has 4x8", ""),
    ("#moe_tile.exec<threads = 0>", "exec_c1: threads must be in 1..1024, got 0", ""),
    ("#moe_tile.exec<threads = 32, grid = whole>", "grid must be persistent or tiles", "32, "),
    ("#moe_tile.exec<threads = 32, blocks = 3>", "expected cluster, grid or resident", "32, "),
    ("!moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = never>", "sync must be tx, group, lockstep or none, got 'never'", "sync = "),
]


def opt(folder, text, *options):
    path = pathlib.Path(folder) / "text.mlir"
    path.write_text(text, encoding="utf-8")
    done = subprocess.run(["moe-opt", str(path), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, timeout=60)
    return done.returncode, done.stdout


def line(text, number):
    """One use of it: the type of an argument, or an attribute that nobody checks."""
    return f"func.func private @f{number}({text if text[0] == '!' else 'i32'}) attributes {{moe.text = {text if text[0] == '#' else 0}}}"


def check_good(folder):
    """Printed as text, and read from bytecode and printed."""
    module = "\n".join(line(text, i) for i, (text, _) in enumerate(GOOD))
    code, output = opt(folder, module)
    bytecode = str(pathlib.Path(folder) / "text.bc")
    if code or opt(folder, module, "--emit-bytecode", "-o", bytecode)[0]:
        return [f"exit {code}: {output[:600]}"]
    wrong = []
    for text in (output, subprocess.run(["moe-opt", bytecode], capture_output=True, text=True, check=False).stdout):
        lines = [row for row in text.splitlines() if "@f" in row]
        if len(lines) != len(GOOD):
            wrong.append(f"{len(lines)} lines of {len(GOOD)}")
        wrong += [f"{read}\n  printed {row}" for row, (read, printed) in zip(lines, GOOD) if (printed or read) not in row]
    return wrong


def check_bad(folder):
    """All bad ones in one file, split; every part has its errors by its line."""
    starts, rows = [], []
    for i, (text, _, _) in enumerate(BAD):
        starts.append(len(rows) + 1)
        rows += [line(text, i), "// -----"]
    code, output = opt(folder, "\n".join(rows) + "\nfunc.func private @last()", "-split-input-file", "-o", "/dev/null")
    wrong = [] if code == 1 else [f"exit {code}"]
    found = {}
    for number, column, message in re.findall(r"^[^\n]*text\.mlir:(\d+):(\d+): error: (.*)$", output, re.M):
        found.setdefault(int(number), []).append((int(column), message))
    for start, (text, sentence, behind) in zip(starts, BAD):
        errors = found.get(start, [])
        whole = rows[start - 1]
        column = whole.index(text) + 1 + (text.index(behind) + len(behind) if behind else 0)
        # A rule is told where the attribute or type begins: behind its name.
        columns = {column} if behind else set(range(column, column + text.index("<") + 2))
        if not behind and "atom<" in text or "digits<" in text:
            columns |= set(range(column, column + len(text)))
        if len(errors) != 1 or sentence not in errors[0][1] or errors[0][0] not in columns:
            wrong.append(f"{text}: wanted '{sentence}' at {sorted(columns)[:1]}, got {errors}")
    return wrong


def main(folder):
    wrong = check_good(folder) + check_bad(folder)
    print("\n".join(wrong))
    print(f"{len(GOOD)} good, {len(BAD)} bad, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
