# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prints which token counts take which variant: check-variants.py ARTIFACT

Every count must have exactly one variant of a target and instruction set, whose file is there.
"""

import json
import os
import sys


def main(folder):
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
        variants = json.load(file)["variants"]
    files = {}
    for key in sorted({(v["target"], v.get("isa", "")) for v in variants}):
        own = [v for v in variants if (v["target"], v.get("isa", "")) == key]
        following = 0
        for variant in own:
            first, last = variant["tokens"]
            assert following is not None and first == following, (key, variant["tokens"])
            following = None if last is None else last + 1
            name = variant["code"] or variant["ptx"]
            assert os.path.exists(os.path.join(folder, name)), name
            files.setdefault(key, {}).setdefault(name, variant["config"])
            # The same code has the same configurations.
            assert files[key][name] == variant["config"], name
            number = list(files[key]).index(name)
            print(*filter(None, key), f"{first}..{'' if last is None else last}",
                  f"variant {number}", variant["config"][0].split("]")[0] + "]")
        assert following is None, key
        print(*filter(None, key), f"has {len(files[key])} variants")
    extra = {name for name in os.listdir(folder)
             if name.rsplit(".", 1)[-1] in ("so", "ptx", "cubin")}
    named = {v[member] for v in variants for member in ("code", "ptx") if v.get(member)}
    assert extra == named, (extra, named)


main(sys.argv[1])
