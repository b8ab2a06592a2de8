# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How good a compiler's choices are, by times of a sweep: regret.py COMPILER SWEEP.json [...]

For each cell the compiler is asked what it takes, and what that took in the sweep is compared with
the fastest configuration: each product alone, and the layer (both products with what stands around
them). Needs no GPU. A choice that is not in the grid is compared by the same block with the nearest
number of slots, a layer whose two products were not timed together by their sum; both are marked
with ~. A product without even that is listed as unknown.
"""

import argparse
import json
import math
import re
import subprocess
import sys

# Fields that make two configurations the same kernel, and what they are when left out.
FIELDS = {"block": None, "stages": "1", "swap": "false", "order": '"block_major"',
          "store": '"vector"', "compute_groups": "1", "compute_split": '"m"'}
CONFIGS = re.compile(r"config \[(#moe\.config<.*?>)\](?= )")
CANDIDATE = re.compile(r"#moe\.config<.*?>(?=, #|$)")


def fields_of(text):
    """{field: value as text} of `#moe.config<...>`."""
    inner = text[text.index("<") + 1:text.rindex(">")]
    return dict(re.findall(r"(\w+) = (\[[^]]*\]|\"[^\"]*\"|[^,]+)", inner))


def key_of(text, without=()):
    fields = fields_of(text)
    return tuple(fields.get(name, default) for name, default in FIELDS.items()
                 if name not in without)


def choices(compiler, model, dtype, tokens, extra):
    """The candidates of both products, best first."""
    done = subprocess.run([compiler, "--model", model, "--dtype", dtype, "--target", "sm_90a",
                           "--tokens", str(tokens), "--emit", "moe", *extra],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"regret: {done.stderr.strip()}")
    found = [CANDIDATE.findall(candidates) for candidates in CONFIGS.findall(done.stdout)]
    if len(found) < 2:
        sys.exit(f"regret: {model} {dtype} has not two products with configurations")
    return found[0], found[-1]


def taken(items, candidates, part):
    """The candidate that a compilation takes: the first, unless the assembler refuses it (it
    spills), as it then did in the sweep too. Later ones count only if they were measured."""
    measured = {key_of(item[part]) for item in items}
    return next((text for text in candidates if key_of(text) in measured), candidates[0])


def find(times, text):
    """(us, mark) of a configuration among {text: us}; None: nothing like it was measured."""
    exact = [us for other, us in times.items() if key_of(other) == key_of(text)]
    if exact:
        return min(exact), ""
    wanted = int(fields_of(text).get("stages", 1))
    near = sorted((abs(int(fields_of(other).get("stages", 1)) - wanted), us)
                  for other, us in times.items()
                  if key_of(other, {"stages"}) == key_of(text, {"stages"}))
    return (near[0][1], "~") if near else None


def measure(document, cell, chosen):
    """{part: (regret, mark)} for a cell; parts that cannot be told are left out."""
    items = {item["name"]: item for item in document["artifacts"] + document.get("chosen", [])}
    run = [items[result["name"]] for result in cell["results"]]
    chosen = [taken(run, texts, part) for part, texts in zip(("up", "down"), chosen)]
    times = {"up": {}, "down": {}}
    rest, together = [], []
    for result in cell["results"]:
        item = items[result["name"]]
        if [key_of(item["up"]), key_of(item["down"])] == [key_of(text) for text in chosen]:
            together.append(result["whole"])
        for part, known in times.items():
            known[item[part]] = min(known.get(item[part], math.inf), result[part])
        rest.append((item["block_m"], result["whole"] - result["up"] - result["down"]))
    found = {part: find(known, text) for (part, known), text in zip(times.items(), chosen)}
    regrets = {part: (hit[0] / min(times[part].values()), hit[1])
               for part, hit in found.items() if hit}
    best = min(result["whole"] for result in cell["results"])
    if together:
        regrets["whole"] = (min(together) / best, "")
    elif len(regrets) == 2:
        # What stands around the products depends on the rows of tiles, about.
        block = int(re.search(r"block = \[(\d+)", chosen[0]).group(1))
        around = sorted(us for rows, us in rest if rows == block)
        if around:
            whole = found["up"][0] + found["down"][0] + around[len(around) // 2]
            regrets["whole"] = (max(whole / best, 1.0), "~")
    return regrets


def summary(name, values):
    if not values:
        return f"{name}: nothing known"
    mean = math.exp(sum(map(math.log, values)) / len(values))
    return f"{name}: {len(values)} cells, geometric mean {mean:.4f}, worst {max(values):.4f}"


def main(arguments):
    parser = argparse.ArgumentParser(prog="regret.py", description=__doc__)
    parser.add_argument("compiler", help="moe-compile")
    parser.add_argument("sweeps", nargs="+")
    parser.add_argument("--with-routing", action="store_true",
                        help="tell the compiler the routing of each cell")
    options = parser.parse_args(arguments)
    all_regrets = {"up": [], "down": [], "whole": []}
    for path in options.sweeps:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        known = {}
        for cell in document["cells"]:
            extra = ["--routing", cell["routing"]] if options.with_routing else []
            asked = (cell["tokens"], *extra)
            if asked not in known:
                known[asked] = choices(options.compiler, document["model"], document["dtype"],
                                       cell["tokens"], extra)
            regrets = measure(document, cell, known[asked])
            parts = []
            for part, values in all_regrets.items():
                if part in regrets:
                    values.append(regrets[part][0])
                    parts.append(f"{part} {regrets[part][1]}{regrets[part][0]:.3f}")
                else:
                    parts.append(f"{part} unknown")
            blocks = " ".join(fields_of(texts[0])["block"] for texts in known[asked])
            print(f"{document['model']} {document['dtype']} T={cell['tokens']} {cell['routing']}: "
                  + ", ".join(parts) + f"; {blocks}")
    for part, values in all_regrets.items():
        print(summary(part, values))


if __name__ == "__main__":
    main(sys.argv[1:])
