# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks the predicted times of a sweep: sweep-predicted.py FOLDER"""

import json
import sys

with open(sys.argv[1] + "/sweep.json", encoding="utf-8") as file:
    sweep = json.load(file)
for item in sweep["artifacts"] + sweep["chosen"]:
    for times in item["predicted_us"].values():
        # Something stands around the products.
        assert 0 < times["up"] and 0 < times["down"], item
        assert times["up"] + times["down"] < times["whole"] < 1000, item
counts = {tuple(item["predicted_us"]) for item in sweep["artifacts"]}
assert len(counts) == 1, counts
# They are of the configurations, not of the layer alone.
assert len({json.dumps(item["predicted_us"]) for item in sweep["artifacts"]}) > 1
print(f"{len(sweep['artifacts'])} artifacts for {', '.join(counts.pop())} tokens; "
      f"chosen for {', '.join(sweep['chosen'][0]['predicted_us'])}")
