# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small files of all kinds for moec.pictures: make-tuned.py FOLDER"""

import copy
import json
import sys


def write(name, document):
    with open(f"{sys.argv[1]}/{name}.json", "w", encoding="utf-8") as file:
        json.dump(document, file)


def cell(tokens, rows, times):
    return {"tokens": tokens, "routing": "zipf1", "tokens_per_expert": rows, "bytes": 1e6,
            "flops": 1e6 * rows, "best": 0,
            "tune_configs": [{"block_m": 16 << i, "us": us, "predicted_us": us * (1 + 0.1 * i)}
                             for i, us in enumerate(times)]}


table = {"moec_tuned": 1, "device": "D", "layer": {"name": "layer", "dtype": "bf16"},
         "cells": [cell(4, 2.0, [10.0, 8.0, 0]), cell(64, 16.0, [30.0, 36.0])]}
sweep = {"format": 1, "model": "m", "dtype": "fp8-block", "sizes": {"H": 64, "I": 32},
         "machine": {"gpu": "G"},
         "ceilings": {"read_bytes_per_second": 3e12, "cublas_8192_flops_per_second": 8e14},
         "artifacts": [{"name": "a", "block_m": 8,
                        "predicted_us": {"16": {"up": 1.5, "whole": 30.0}, "32": {"whole": 20.0}}},
                       {"name": "b", "block_m": 256}],
         "chosen": [{"name": "chosen-t16", "block_m": 8, "tokens": 16}],
         "ranks": {"32": ["a", "b"]},
         "cells": [{"tokens": tokens, "routing": "zipf1", "rows": 2 * tokens, "active": 8,
                    "results": [{"name": name, "up": up, "down": 1.0, "whole": whole}
                                for name, up, whole in results]}
                   for tokens, results in (
                       (16, [("a", 1.0, 25.0), ("b", 2.0, 20.0), ("chosen-t16", 3.0, 22.0)]),
                       (32, [("a", 1.0, 25.0), ("b", 2.0, 50.0)]))]}
write("table", table)
write("sweep", sweep)
bare = copy.deepcopy(sweep)
del bare["sizes"], bare["artifacts"][0]["predicted_us"]
write("bare", bare)
write("other", {"a": 1})
missing = copy.deepcopy(table)
del missing["cells"][1]["tune_configs"]
write("missing", missing)
with open(f"{sys.argv[1]}/broken.json", "w", encoding="utf-8") as file:
    file.write("{")
