# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A token's result must not depend on who comes with it, bit by bit.

batch-invariant.py ARTIFACT FOLDER TOKENS [moe-run option...]: runs TOKENS tokens, then some of them
alone and in batches of 7, and compares rows of the first result.
"""

import json
import os
import subprocess
import sys

import numpy as np

ROWS = ("x", "topk_ids", "topk_weights")


def read(path):
    """{name: (dtype, shape, bytes)} of a .safetensors file."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        data = file.read()
    return {name: (facts["dtype"], facts["shape"], data[slice(*facts["data_offsets"])])
            for name, facts in header.items() if name != "__metadata__"}


def write(path, tensors):
    header, data = {}, b""
    for name, (dtype, shape, text) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(text)]}
        data += text
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + data)


def take(tensor, tokens):
    dtype, shape, data = tensor
    size = len(data) // shape[0]
    return dtype, [len(tokens), *shape[1:]], b"".join(data[t * size:(t + 1) * size]
                                                      for t in tokens)


def rows_of(path, count):
    """The bytes of each row."""
    values = np.load(path)
    assert values.shape[0] == count, values.shape
    return [row.tobytes() for row in values]


def main(artifact, folder, tokens, *options):
    tokens = int(tokens)
    os.makedirs(folder, exist_ok=True)

    def run(count, *more):
        output = os.path.join(folder, "out.npy")
        subprocess.run(["moe-run", artifact, "--tokens", str(count), "--output", output, *options,
                        *more], check=True, stdout=subprocess.DEVNULL)
        return rows_of(output, count)

    inputs = os.path.join(folder, "all.safetensors")
    whole = run(tokens, "--routing", "zipf1", "--save-inputs", inputs)
    assert len(set(whole)) > tokens // 2, "the rows are all alike"
    tensors = read(inputs)
    some = os.path.join(folder, "some.safetensors")
    batches = [[0], [tokens - 1], [tokens // 3], [2, 3, 5, 7, 11, 13, tokens - 1],
               list(range(tokens - 7, tokens)), list(range(tokens // 2))]
    differ = 0
    for batch in batches:
        write(some, {name: take(tensor, batch) if name in ROWS else tensor
                     for name, tensor in tensors.items()})
        got = run(len(batch), *[word for name in tensors for word in ("--input", f"{name}={some}")])
        wrong = [token for row, token in zip(got, batch) if row != whole[token]]
        differ += len(wrong)
        if wrong:
            print(f"batch of {len(batch)}: tokens {wrong[:8]} differ")
    print(f"{sum(map(len, batches))} rows of {len(batches)} batches, {differ} differ")


main(*sys.argv[1:])
