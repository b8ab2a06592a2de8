"""Arithmetic of main loops per byte, counted from the instructions, beside what the shape of the tile allows.

usage: reference_mix.py SUPPORT GROUP [table]

For layers of well-known models on AMD chips: a wave reads the rows of its part of the tile from LDS, on RDNA3 each half
of the wave all of them; a workgroup reads the rows of the tile from memory. Both are known from the tile program, the
other numbers from the assembly text. Fails where a loop has less than nine tenths of that, fewer than eight
matrix operations in a step, scratch, moves between accumulator and other registers for more than a tenth of the matrix
operations, or operands that come from memory by less than 16 bytes per lane. Of the groups
`pairs` takes two chips of each layer, `product` all; with `table` rows for docs/performance.md are printed.
"""

import re
import subprocess
import sys

from reference_layers import CHIPS, LAYERS, PAIRS

sys.path.append(sys.argv[1])
import isa_mix  # noqa: E402

TOKENS = {"pairs": (4096,), "product": (16, 4096)}
BYTES = {"bf16": 2, "f16": 2, "f8E4M3FN": 1, "i8": 1}
# Of what the tile allows.
SHARE = 0.9


def emitted(form, model, dtype, tp, chip, tokens):
    command = ["moe-compile", "--model", model, "--dtype", dtype, "--tp", str(tp), "--target", chip, "--tokens", str(tokens),
               "--emit", form]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def shapes(text):
    """By kernel of the tile program: rows, weight rows, parts of each, step, bytes of a row of both operands.

    Of weights that are decoded on their way to LDS, `stored` are the bytes of a row in memory."""
    found = {}
    for kernel in re.split(r"^  moe_tile\.kernel @", text, flags=re.M)[1:]:
        buffers = re.findall(r"moe_tile\.buf_alloc : !moe_tile\.buf<(\d+)x(\d+)x(\w+)", kernel)
        read = re.search(r"acc_read .*-> !moe_tile\.frag<\d+x\d+xf32, #moe_tile\.digits<(.*?)>>", kernel)
        columns = re.search(r"block_list .* columns (\d+) by", kernel)
        # One column, the gate of a shared expert: the products of others are dropped.
        if not buffers or not read or int(columns.group(1)) < 16:
            continue
        (m, k, a), (n, packed, b) = ((int(r), int(c), t) for r, c, t in buffers[:2])
        parts = {"m": 1, "n": 1}
        for dim, extent in re.findall(r"([mn]) \* (\d+)", (re.search(r"warp = \[(.*?)\]", read.group(1)) or [""])[0]):
            parts[dim] *= int(extent)
        unpacked = re.search(r"moe_tile\.dequant .*: !moe_tile\.staged<\d+x(\d+)xi8> ->", kernel)
        stored = int(unpacked.group(1)) if unpacked else packed * BYTES[b]
        found[kernel.split("(")[0]] = dict(m=m, n=n, k=k, a=k * BYTES[a], b=packed * BYTES[b], stored=stored, **{"pm": parts["m"], "pn": parts["n"]})
    return found


def allowed(tile, repeats):
    """Flops per byte of LDS and of memory."""
    m, n = tile["m"] / tile["pm"], tile["n"] / tile["pn"]
    lds = 2 * m * n * tile["k"] / ((m * tile["a"] + n * tile["b"]) * repeats)
    return lds, 2 * tile["m"] * tile["n"] * tile["k"] / (tile["m"] * tile["a"] + tile["n"] * tile["stored"])


def main(group, table):
    problems, loops = [], 0
    for model, dtype, tp in LAYERS:
        for chip in CHIPS if group == "product" else PAIRS[model]:
            for tokens in TOKENS[group]:
                tiles = shapes(emitted("tile", model, dtype, tp, chip, tokens))
                text = emitted("asm", model, dtype, tp, chip, tokens)
                wave = isa_mix.wave_of(text)
                seen = 0
                for name, mix in isa_mix.main_loops(text):
                    if name not in tiles:
                        continue
                    tile = tiles[name]
                    may = allowed(tile, 2 if "gfx11" in chip else 1)
                    operands = [size for size in mix["memory"] if size >= 16]
                    does = (mix["flops"] / (wave * sum(mix["lds"])), mix["flops"] / (wave * max(1, sum(operands))))
                    steps = mix["matrix"] / max(1, mix["steps"])
                    where = f"{model} {chip} {tokens} {name}"
                    row = (f"{model} {dtype} | {chip} | {tokens} | {name} | "
                           f"{tile['m']} x {tile['n']} x {tile['k']}, {tile['pm']} x {tile['pn']} | {steps:g} of {'x'.join(map(str, mix['shape']))} | "
                           + " | ".join(f"{d:.1f} of {a:.1f}" for d, a in zip(does, may))
                           + f" | {len(operands)} + {len(mix['memory']) - len(operands)}")
                    seen, loops = seen + 1, loops + 1
                    print(f"| {row} |" if table else f"{where}: {row}")
                    for what, d, a in zip(("LDS", "memory"), does, may):
                        if d < SHARE * a:
                            problems.append(f"{where}: {d:.1f} flops per byte of {what}, the tile allows {a:.1f}")
                    if steps < 8:
                        problems.append(f"{where}: {steps:g} matrix operations in a step")
                    if 10 * mix["moves"] > mix["matrix"]:
                        problems.append(f"{where}: {mix['moves']} moves of accumulators, {mix['matrix']} matrix operations")
                    if not operands or mix["scratch"]:
                        problems.append(f"{where}: {len(operands)} loads of 16 bytes, {mix['scratch']} of scratch")
                assert seen >= 2, (model, chip, tokens, seen)
    print("\n".join(problems))
    if problems:
        sys.exit(1)
    print(f"{loops} main loops do what their tiles allow")


main(sys.argv[2], "table" in sys.argv[3:])
