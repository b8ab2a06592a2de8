"""Writes sweeps of 40 configurations: the slower the first product, the faster the second."""

import json
import os
import sys


def config(n, stages, **fields):
    inner = {"block": [8, n, 64], "stages": stages, "swap": "true", "order": '"expert_major"',
             "source": '"user"', **fields}
    return "#moe.config<" + ", ".join(f"{key} = {value}" for key, value in inner.items()) + ">"


COUNT = 40
sweep = {"model": "qwen3-30b-a3b", "dtype": "bf16", "machine": {"gpu": "NVIDIA test"},
         "sizes": {"E": 128, "k": 8, "H": 2048, "I": 768},
         "artifacts": [{"name": f"a{i}", "up": config(64, 3 + i),
                        "down": config(128, 3 + i, partial='"bf16"')} for i in range(COUNT)],
         "chosen": [{"name": "chosen-t16"}],
         "cells": [{"tokens": tokens, "routing": "zipf1", "counts": [tokens // 2] * 2 + [0] * 126,
                    "results": [{"name": f"a{i}", "up": 10.0 + i, "down": 44.0 - i,
                                 "whole": 18.0 + i} for i in range(COUNT)]
                    + [{"name": "chosen-t16", "up": 1.0, "down": 1.0, "whole": 2.0}]}
                   for tokens in (16, 64)]}


def write(name, document):
    with open(os.path.join(sys.argv[1], name), "w", encoding="utf-8") as file:
        json.dump(document, file)


write("sweep.json", sweep)
write("again.json", {**sweep, "cells": sweep["cells"][:1]})
write("sizes.json", {**sweep, "sizes": None})
