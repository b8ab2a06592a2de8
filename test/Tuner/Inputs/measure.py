# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a GPU might have measured of a sweep: measure.py FOLDER OUT"""

import json
import sys

with open(sys.argv[1] + "/sweep.json", encoding="utf-8") as file:
    document = json.load(file)
document["machine"], document["cells"] = {"gpu": "Some GPU"}, []
made = {item["name"] for item in document["artifacts"]}
for tokens, names in document["ranks"].items():
    names = [name for name in names if name in made]
    for routing in ("balanced", "zipf1"):
        results = [{"name": name, "up": 1, "down": 1,
                    "whole": 50.0 if tokens == "4" and place == len(names) - 1 else 100.0 + place}
                   for place, name in enumerate(names)]
        document["cells"].append({"tokens": int(tokens), "routing": routing, "active": 8,
                                  "rows": 2 * int(tokens), "results": results})
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump(document, file)
