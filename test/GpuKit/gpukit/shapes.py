# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers, their traffic and arithmetic, and the times that others need. No PyTorch."""

import json
import os
from typing import NamedTuple


class Shape(NamedTuple):
    """A layer: experts, top-k, hidden and intermediate size."""

    name: str
    E: int
    k: int
    H: int
    I: int  # noqa: E741


MODELS = {shape.name: shape for shape in (
    Shape("qwen3-30b-a3b", 128, 8, 2048, 768),
    Shape("mixtral-8x7b", 8, 2, 4096, 14336),
    Shape("qwen3.5-35b-a3b", 256, 8, 2048, 512),
    Shape("deepseek-v3-tp8", 256, 8, 7168, 256),
)}
TOKENS = (1, 16, 64, 256, 1024, 4096, 16384)
ROUTINGS = ("balanced", "zipf1")
# Bytes of a weight, its part of a scale among them, and of an element of input and output.
ELEMENT = {"bf16": (2, 2), "f16": (2, 2), "f32": (4, 4), "fp8-block": (1 + 4 / 128 ** 2, 2),
           "w4a16-g128": (0.5 + 2 / 128, 2), "w4a16-g128-exllama": (0.5 + 2 / 128, 2),
           "w4a16-g128-zp": (0.5 + 3 / 128, 2), "w4a16-g64": (0.5 + 2 / 64, 2),
           "w4a16-g32": (0.5 + 2 / 32, 2)}


def flops(shape, rows):
    """Of both products for this many (token, expert) pairs."""
    return 6 * shape.H * shape.I * rows


def moved_bytes(shape, tokens, active, dtype="bf16"):
    """What must be read or written at least: the weights of active experts once, input, output."""
    weight, element = ELEMENT[dtype]
    return (weight * 3 * shape.H * shape.I * active + element * 2 * tokens * shape.H
            + 8 * tokens * shape.k)


class Floor(NamedTuple):
    """Microseconds that no kernel can undercut, and what binds: 'memory' or 'arithmetic'."""

    microseconds: float
    bound: str


def floor(shape, tokens, active, bytes_per_second, flops_per_second, dtype="bf16"):
    memory = moved_bytes(shape, tokens, active, dtype) / bytes_per_second * 1e6
    arithmetic = flops(shape, tokens * shape.k) / flops_per_second * 1e6
    return Floor(memory, "memory") if memory >= arithmetic else Floor(arithmetic, "arithmetic")


def padded_rows(counts, block):
    """Rows that tiles of `block` rows compute for experts with these counts."""
    return sum((int(count) + block - 1) // block * block for count in counts)


def limit(shape, tokens, routing, microseconds, peer=None, dtype="bf16"):
    """The time in us that a layer should not exceed, given its floor; see peers-h100.json.

    Where the best peer is faster than that, the peer's time is the limit.
    """
    if tokens == 1:
        bound = microseconds / 0.97 + 12
    elif dtype.startswith("fp8"):
        if tokens <= 256:
            bound = max(1.10 * microseconds, microseconds / 0.97 + 10)
        elif tokens <= 4096:
            bound = microseconds * (1.35 if tokens <= 1024 else 1.70)
        else:
            bound = microseconds * (2.2 if shape.name == "deepseek-v3-tp8" else 1.5)
    elif dtype.startswith("w4a16"):
        if tokens <= 256:
            bound = max(1.20 * microseconds, microseconds / 0.97 + 10)
        else:
            bound = microseconds * (1.80 if 1024 < tokens <= 4096 else 1.60)
    elif tokens <= 256:
        ratio = 1.09 if tokens == 256 else 1.06
        bound = max(ratio * microseconds, microseconds / 0.97 + 10)
    elif shape.name == "mixtral-8x7b" and tokens == 1024:
        bound = microseconds * (1.45 if routing == "zipf1" else 1.30)
    elif tokens == 1024:
        bound = microseconds * 1.15
    elif tokens == 4096:
        bound = microseconds * (1.60 if routing == "zipf1" else 1.45)
    else:
        bound = microseconds * 1.25
    return bound if peer is None else min(bound, peer)


def recorded_peers(dtype="bf16"):
    """{(model, tokens, routing): {"peer", "us"}} of the recorded table."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers-h100.json")
    with open(path, encoding="utf-8") as file:
        table = json.load(file)
    return {(cell["model"], cell["tokens"], cell["routing"]): cell for cell in table["cells"]
            if cell.get("dtype", "bf16") == dtype}
