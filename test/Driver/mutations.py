# RUN: rm -rf %t && mkdir %t && cp %S/Inputs/layer.mlir %t && cd %t && %python %s
"""Tensor files that are cut anywhere or have one bit of their header flipped.

Whatever is wrong with a file, a run ends with one line that names it, or the file
is as good as before: the result is then finite where x is. All runs of one kind
are one process, which a crash would end early.
"""

import json
import re
import struct
import subprocess
import sys

import numpy as np

SHAPE = (4, 8)
random = np.random.default_rng(5)


def npy(array):
    np.save("good.npy", array)
    with open("good.npy", "rb") as file:
        return file.read()


def safetensors(array, name):
    kind = {np.dtype(np.float32): "F32", np.dtype(np.int32): "I32"}[array.dtype]
    entry = {"dtype": kind, "shape": list(array.shape), "data_offsets": [0, array.nbytes]}
    header = json.dumps({"__metadata__": {"format": "pt"}, name: entry}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + array.tobytes()


def mutations(data, header):
    """Pairs of what was done and the bytes; cut ones first."""
    for length in list(range(header)) + list(range(header, len(data), 5)):
        yield f"cut to {length}", data[:length]
    for place in range(header):
        for bit in (0, 3, 6):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            yield f"bit {bit} of byte {place}", bytes(flipped)
    yield "one byte more", data + b"\0"


def check(kind, data, header, option, suffix):
    lines, what = [], {}
    for i, (name, mutated) in enumerate(mutations(data, header)):
        path = f"{kind}-{i}{suffix}"
        with open(path, "wb") as file:
            file.write(mutated)
        what[path] = name
        lines.append("layer.mlir --reference --tokens 4 " + option + path + "\n")
    with open("batch.txt", "w", encoding="utf-8") as file:
        file.writelines(lines)
    run = subprocess.run(["moe-run", "--batch", "batch.txt"], capture_output=True,
                         text=True, errors="replace", check=False)
    counts = re.search(r"^batch: (\d+) runs, (\d+) failed$", run.stdout, re.M)
    if run.returncode not in (0, 1) or not counts:
        last = re.findall(rf"{kind}-\d+\S*", run.stdout + run.stderr)
        sys.exit(f"{kind}: the process ended with {run.returncode} after "
                 f"{what.get(last[-1]) if last else 'nothing'}:\n{run.stderr[-2000:]}")
    if int(counts.group(1)) != len(lines):
        sys.exit(f"{kind}: {counts.group(0)} of {len(lines)}")
    errors, failed = [], set()
    for line in run.stderr.splitlines():
        if line.startswith("moe-run: error: "):
            errors.append(line)
        elif line.startswith("moe-run: failed: "):
            path = line.split(option, 1)[1].strip()
            failed.add(path)
            if len(errors) != 1 or path not in errors[0]:
                sys.exit(f"{kind}: {what[path]}: not one error that names the file: {errors}")
            errors = []
        else:
            sys.exit(f"{kind}: a line of another kind: {line}")
    if len(failed) != int(counts.group(2)):
        sys.exit(f"{kind}: {len(failed)} told, {counts.group(0)}")
    accepted = [what[path] for path in what if path not in failed]
    wrong = [name for name in accepted if name.startswith("cut")]
    if wrong:
        sys.exit(f"{kind}: accepted files that were {wrong[:5]}")
    print(f"{kind}: {len(what)} files, {len(failed)} refused")
    # A header has few bits without a meaning: the metadata, blanks, digits of a version.
    if len(failed) < len(what) // 2:
        sys.exit(f"{kind}: too few are refused")


x = random.standard_normal(SHAPE, dtype=np.float32)
ids = np.array([[0, 1], [2, 0], [1, 2], [3, 2]], np.int32)
check("x", npy(x), 128, "--input x=", ".npy")
check("ids", npy(ids), 128, "--topk-ids ", ".npy")
data = safetensors(x, "x")
check("xs", data, len(data) - x.nbytes, "--input x=", ".safetensors")
