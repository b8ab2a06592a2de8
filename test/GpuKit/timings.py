# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the cost model is fitted to and tested with: timings.py OUT SWEEP.json [...]

Of every cell of the sweeps the seven fastest of both products and of the layer, and nine more
configurations from the fastest layer to the slowest. A cell in several files is that of the first.
`FitTraits OUT` (test/CostModel) fits the model's numbers of kernels to the result.
"""

import argparse
import collections
import json
import re
import sys

HEAD = """\
# Products on {machine}: `gpu-kit/run sweep`, medians in microseconds, each product
# alone and the whole layer. Of each cell the fastest and some others; the grids have {grids} configurations.
# model NAME experts topk hidden intermediate
# cell DTYPE MODEL TOKENS ROUTING CONFIGURATIONS: rows per expert as ROWSxEXPERTS
# least: the fastest first product, second product, layer
# time: first product, second product, layer: configurations of both as block_m block_n block_k stages row_side store
#   groups order partial; row_side: w weights (swap), t tokens
"""
FASTEST, SPREAD = 7, 9


def fields_of(text):
    """{field: value without quotes} of `#moe.config<...>`."""
    inner = text[text.index("<") + 1:text.rindex(">")]
    return {key: value.strip('"') for key, value in
            re.findall(r"(\w+) = (\[[^]]*\]|\"[^\"]*\"|[^,]+)", inner)}


def words_of(text):
    """A configuration as the test reads it."""
    fields = fields_of(text)
    return " ".join([*map(str, json.loads(fields["block"])), fields.get("stages", "1"),
                     "w" if fields.get("swap") == "true" else "t", fields.get("store", "vector"),
                     fields.get("compute_groups", "1"), fields.get("order", "block_major"),
                     fields.get("partial", "-")])


def kept(results):
    """Those of a cell that are written, fastest layer first."""
    names = set()
    for part in ("whole", "up", "down"):
        ordered = sorted(results, key=lambda result: result[part])
        names.update(result["name"] for result in ordered[:FASTEST])
    ordered = sorted(results, key=lambda result: result["whole"])
    names.update(ordered[i * (len(ordered) - 1) // (SPREAD - 1)]["name"] for i in range(SPREAD))
    return [result for result in ordered if result["name"] in names]


def lines_of(document, cell):
    artifacts = {item["name"]: item for item in document["artifacts"]}
    results = [result for result in cell["results"] if result["name"] in artifacts]
    counts = collections.Counter(cell["counts"])
    yield (f"cell {document['dtype']} {document['model']} {cell['tokens']} {cell['routing']} "
           f"{len(results)}: " + " ".join(f"{rows}x{counts[rows]}" for rows in sorted(counts)))
    yield "least " + " ".join(f"{min(result[part] for result in results):.1f}"
                              for part in ("up", "down", "whole"))
    for result in kept(results):
        item = artifacts[result["name"]]
        yield (f"time {result['up']:.1f} {result['down']:.1f} {result['whole']:.1f} "
               f"{words_of(item['up'])} {words_of(item['down'])}")


def main(arguments):
    parser = argparse.ArgumentParser(prog="timings.py", description=__doc__)
    parser.add_argument("out")
    parser.add_argument("sweeps", nargs="+")
    options = parser.parse_args(arguments)
    documents = []
    for path in options.sweeps:
        with open(path, encoding="utf-8") as file:
            documents.append(json.load(file))
    lines, models, cells, times = [], set(), set(), 0
    for document in documents:
        if document["model"] not in models:
            sizes = document.get("sizes")
            if not sizes:
                sys.exit(f"timings: the sweep of {document['model']} has no sizes")
            models.add(document["model"])
            lines.append(f"model {document['model']} "
                         + " ".join(str(sizes[name]) for name in ("E", "k", "H", "I")))
        for cell in document["cells"]:
            key = (document["dtype"], document["model"], cell["tokens"], cell["routing"])
            if key not in cells:
                cells.add(key)
                lines.extend(lines_of(document, cell))
    grids = [int(line.split()[5].rstrip(":")) for line in lines if line.startswith("cell")]
    machines = sorted({document.get("machine", {}).get("gpu", "a GPU") for document in documents})
    with open(options.out, "w", encoding="utf-8") as file:
        file.write(HEAD.format(machine=", ".join(machines),
                               grids=f"{min(grids)} to {max(grids)}" if grids else "no"))
        file.writelines(line + "\n" for line in lines)
    times = sum(line.startswith("time") for line in lines)
    print(f"{options.out}: {times} times, {len(cells)} cells")


if __name__ == "__main__":
    main(sys.argv[1:])
