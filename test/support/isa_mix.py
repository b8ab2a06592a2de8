"""Counts what the main loop of each kernel of an AMD assembly text is made of.

usage: isa_mix.py < ASSEMBLY

The main loop is the innermost one with the most matrix operations. A line per kernel that has one:
matrix operations of a step of the reduction on average, their kind, loads of LDS and of memory with the
bytes per lane of the narrowest, flops per byte of each, scratch accesses.
"""

import re
import sys

MATRIX = re.compile(r"v_(?:mfma|wmma|mfma_scale)\w*?_(\d+)x(\d+)x(\d+)")
WIDTHS = {"b32": 4, "b64": 8, "b96": 12, "b128": 16, "dword": 4, "dwordx2": 8, "dwordx3": 12, "dwordx4": 16,
          "u16": 2, "ushort": 2, "u8": 1, "ubyte": 1, "d16": 2}


def kernels(text):
    """(name, lines) of each function."""
    name, lines = None, []
    for line in text.splitlines():
        begin = re.match(r"([A-Za-z_]\w*):", line)
        if begin:
            name, lines = begin.group(1), []
        elif name and re.match(r"\.Lfunc_end", line):
            yield name, lines
            name = None
        elif name:
            lines.append(line.split(";")[0].strip())


def loops(lines):
    """[first, last] of each backward branch."""
    labels = {line[:-1]: i for i, line in enumerate(lines) if line.endswith(":")}
    for i, line in enumerate(lines):
        target = re.match(r"s_c?branch\w*\s+(\S+)", line)
        if target and labels.get(target.group(1), i + 1) <= i:
            yield labels[target.group(1)], i


def width(word):
    return next((WIDTHS[part] for part in reversed(word.split("_")) if part in WIDTHS), 0)


def count(lines):
    mix = {"matrix": 0, "flops": 0, "kind": "", "barriers": 0, "steps": 0, "lds": [], "memory": [], "scratch": 0, "moves": 0}
    deposits = False
    for line in lines:
        word = line.split()[0] if line else ""
        shape = MATRIX.match(word)
        if shape:
            mix["matrix"] += 1
            mix["kind"] = word.removesuffix("_e64")
            m, n, k = mix["shape"] = tuple(map(int, shape.groups()))
            mix["flops"] += 2 * m * n * k
        elif word in ("s_barrier", "s_barrier_wait"):
            mix["barriers"] += 1
            deposits = False
        elif re.match(r"ds_(write|store)|global_load_lds", word):
            # A run of deposits in LDS behind a barrier is a step of the reduction.
            mix["steps"] += not deposits
            deposits = True
            if word.startswith("global"):
                mix["memory"].append(width(word))
        elif re.match(r"ds_(read|load)", word):
            # Two places of half the width each.
            mix["lds"].append(width(word) * (2 if re.match(r"ds_(read2|load_2addr)", word) else 1))
        elif re.match(r"(global|buffer|flat)_load_", word):
            mix["memory"].append(width(word))
        elif word.startswith("v_accvgpr_"):
            mix["moves"] += 1
        elif word.startswith("scratch_"):
            mix["scratch"] += 1
    return mix


def main_loops(text):
    """(kernel, what its main loop is made of, of its body)"""
    for name, lines in kernels(text):
        found = []
        for first, last in loops(lines):
            mix = count(lines[first:last + 1])
            if mix["matrix"]:
                # Of loops within each other the inner one.
                inner = not any(first <= a and b <= last and (a, b) != (first, last)
                                and count(lines[a:b + 1])["matrix"] for a, b in loops(lines))
                found.append((inner, mix["matrix"], mix))
        if not found:
            continue
        mix = max(found, key=lambda entry: entry[:2])[2]
        mix["scratch"] = count(lines)["scratch"]
        yield name, mix


def wave_of(text):
    return 64 if re.search(r"\.wavefront_size: 64", text) else 32


def main(text):
    wave = wave_of(text)
    for name, mix in main_loops(text):
        per_step = mix["matrix"] / max(1, mix["steps"])
        print(f"{name} {mix['kind']} {per_step:g} per step;", f"LDS {len(mix['lds'])} loads of {min(mix['lds'], default=0)} bytes,",
              f"{mix['flops'] / max(1, wave * sum(mix['lds'])):.1f} flops/byte;",
              f"memory {len(mix['memory'])} loads of {min(mix['memory'], default=0)} bytes;",
              f"scratch {mix['scratch']}")


if __name__ == "__main__":
    main(sys.stdin.read())
