# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Regret from a made-up sweep: regret-units.py GPUKIT SCRATCH"""

import json
import os
import sys

sys.path.insert(0, sys.argv[1])
import regret  # noqa: E402


def config(rows, columns, stages, **more):
    extra = "".join(f', {key} = {value}' for key, value in more.items())
    return (f"#moe.config<block = [{rows}, {columns}, 64], stages = {stages}{extra}, "
            'a = "gather", order = "expert_major", source = "user">')


# Where a field stands does not matter, nor who chose.
assert regret.key_of(config(8, 64, 3, swap="true")) == regret.key_of(
    '#moe.config<order = "expert_major", swap = true, stages = 3, block = [8, 64, 64], '
    'partial = "bf16", source = "rule">')
assert regret.key_of(config(8, 64, 3)) != regret.key_of(config(8, 64, 3, swap="true"))
assert regret.key_of(config(8, 64, 3), {"stages"}) == regret.key_of(config(8, 64, 9), {"stages"})

names = [("a", config(8, 64, 3), config(8, 128, 3)), ("b", config(8, 64, 6), config(8, 128, 6)),
         ("c", config(64, 64, 3), config(64, 128, 3))]
times = {"a": (10.0, 6.0, 20.0), "b": (12.0, 5.0, 21.0), "c": (20.0, 10.0, 40.0)}
document = {"model": "m", "dtype": "bf16", "artifacts": [
    {"name": name, "block_m": 64 if name == "c" else 8, "up": up, "down": down}
    for name, up, down in names]}
cell = {"tokens": 16, "routing": "zipf1", "results": [
    {"name": name, "up": up, "down": down, "whole": whole}
    for name, (up, down, whole) in times.items()]}
# Timed together.
assert regret.measure(document, cell, [[text] for text in names[1][1:]]) == {
    "up": (1.2, ""), "down": (1.0, ""), "whole": (1.05, "")}
# One from each: their sum and what stands around them.
found = regret.measure(document, cell, ([names[0][1]], [names[1][2]]))
assert found["up"] == (1.0, "") and found["whole"] == (1.0, "~"), found
# Other slots: the nearest.
found = regret.measure(document, cell, ([config(8, 64, 5)], [names[0][2]]))
assert found["up"] == (1.2, "~") and found["down"] == (1.2, ""), found
# The first candidate was refused by the assembler in the sweep too.
assert regret.measure(document, cell, ([config(16, 64, 5), names[1][1]],
                                       [config(16, 128, 5), names[1][2]])) == {
    "up": (1.2, ""), "down": (1.0, ""), "whole": (1.05, "")}
# Another block: unknown.
assert regret.measure(document, cell, ([config(16, 64, 5)], [config(16, 128, 5)])) == {}
assert regret.summary("up", []) == "up: nothing known"
assert regret.summary("up", [1.0, 1.21]) == ("up: 2 cells, geometric mean 1.1000, worst 1.2100")
os.makedirs(sys.argv[2], exist_ok=True)
with open(os.path.join(sys.argv[2], "sweep.json"), "w", encoding="utf-8") as file:
    json.dump({**document, "model": "qwen3-30b-a3b", "cells": [cell, {**cell, "tokens": 4096}]},
              file)
print("all right")
