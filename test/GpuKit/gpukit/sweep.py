# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times both products of a layer in every configuration of a sweep, alone and in the layer."""

import json
import os
import statistics
import time

from . import shapes
from .routing import HOT, KINDS

# Of the layer against float32; see bench.
TOLERANCE = {"bf16": 4e-3, "f16": 2e-3, "fp8-block": 1e-2, "w4a16-g128": 5e-3}
# Every result has these times, in microseconds.
PARTS = ("up", "down", "whole")
# Medians that exceed the least time by more than this are of something else.
UNSTEADY = 1.3


def add_arguments(parser):
    parser.add_argument("--tokens", default=",".join(map(str, shapes.TOKENS)))
    parser.add_argument("--routing", default=",".join(shapes.ROUTINGS), help=", ".join(KINDS))
    parser.add_argument("--rounds", type=int, default=2, help="turns of each configuration")
    parser.add_argument("--replays", type=int, default=7, help="per turn")
    parser.add_argument("--finalists", type=int, default=8,
                        help="fastest of each part that run against one another again")
    parser.add_argument("--seconds", type=float, default=0.02, help="at most, for one turn")
    parser.add_argument("--limit", type=float, default=570.0,
                        help="seconds after which no further cell is begun")
    parser.add_argument("--only", help="artifacts with names that begin so, comma-separated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-reference", action="store_true", help="do not check results")


class Sweep:
    """A folder with a sweep.json."""

    def __init__(self, folder, only=None):
        self.folder = folder
        with open(os.path.join(folder, "sweep.json"), encoding="utf-8") as file:
            self.document = json.load(file)
        self.dtype = self.document["dtype"]
        self.items = self.document["artifacts"] + self.document.get("chosen", [])
        if only:
            prefixes = tuple(only.split(","))
            self.items = [item for item in self.items if item["name"].startswith(prefixes)]

    def cases(self, tokens):
        """The items to time at a token count: those that name their counts only at these."""
        def fits(wanted):
            return tokens in wanted if isinstance(wanted, list) else wanted in (None, tokens)
        return [item for item in self.items if fits(item.get("tokens"))]


def find(folders):
    """The sweeps in these folders or in what lies in them."""
    found = []
    for folder in folders:
        inside = [folder] + [os.path.join(folder, name) for name in
                             (sorted(os.listdir(folder)) if os.path.isdir(folder) else ())]
        found += [path for path in inside if os.path.exists(os.path.join(path, "sweep.json"))]
    return found


def part_launch(manifest, weight):
    """The number of the launch that reads a weight."""
    names = [argument["name"] for argument in manifest["arguments"]]
    number = names.index(weight)
    for index, launch in enumerate(manifest["variants"][0]["launches"]):
        for argument in launch["args"]:
            if argument.get("tensor_map", {}).get("of", argument).get("arg") == number:
                return index
    raise ValueError(f"no launch reads {weight}")


class Journal:
    """What was begun and not ended: a kernel that hangs takes its process with it, and is left
    out by the next one."""

    def __init__(self, path):
        self.path, self.bad = path, {}
        begun = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    word, _, rest = line.strip().partition(" ")
                    if word == "begin":
                        begun = rest
                    elif word == "end":
                        begun = None
                    elif word == "failed":
                        name, _, reason = rest.partition(" ")
                        self.bad[name], begun = reason, None
        if begun:
            self.fail(begun, "did not come back")

    def write(self, line):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def fail(self, name, reason):
        self.bad[name] = reason
        self.write(f"failed {name} {reason}")


class Runner:
    """One sweep on one GPU."""

    def __init__(self, torch, sweep, options):
        from .timing import Clock
        self.torch, self.sweep, self.options = torch, sweep, options
        self.clock = Clock(torch)
        self.journal = Journal(os.path.join(options.out, f"{label(sweep)}.journal"))
        self.layers, self.packed = {}, {}

    def open(self, item, weights):
        """(layer, tensors, launch of the first product, launch of the second)."""
        if item["name"] in self.layers:
            return self.layers[item["name"]]
        import moec
        folder = os.path.join(self.sweep.folder, item["name"])
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        layer = moec.load(folder, target="cuda")
        tensors = dict(weights.tensors)
        for argument in manifest["arguments"]:
            name, how = argument["name"], argument.get("packed_by")
            if name in tensors and how:
                # Configurations that want the same layout share it.
                key = (name, json.dumps(how))
                if key not in self.packed:
                    self.packed[key] = layer.pack(name, tensors[name])
                tensors[name] = self.packed[key]
        opened = (layer, tensors, part_launch(manifest, "w1"), part_launch(manifest, "w2"))
        self.layers[item["name"]] = opened
        return opened

    def works(self, item, weights, inputs, out, workspace):
        """{part: callable}."""
        layer, tensors, first, second = self.open(item, weights)

        def run(launches=None):
            return layer(x=inputs.x, topk_ids=inputs.ids, topk_weights=inputs.router, out=out,
                         workspace=workspace, launches=launches, **tensors)
        return {"up": lambda: run(range(first, first + 1)),
                "down": lambda: run(range(second, second + 1)), "whole": run}

    def sample(self, graph, count):
        """Some times in us; the first after a pause is not among them."""
        once = max(self.clock.sample(graph.replay, 1)[0], 1.0) * 1e-6 + 1.2e-4
        count = max(3, min(count, int(self.options.seconds / once)))
        return self.clock.sample(graph.replay, count)

    def cell(self, weights, inputs):
        torch, options = self.torch, self.options
        from .inputs import reference, relative_error
        shape = weights.shape
        items = [item for item in self.sweep.cases(inputs.tokens)
                 if item["name"] not in self.journal.bad]
        size = 1
        for item in items:
            size = max(size, self.open(item, weights)[0].workspace_size(inputs.tokens))
        workspace = torch.empty(size, dtype=torch.uint8, device="cuda")
        out = torch.empty(inputs.tokens, shape.H, dtype=inputs.x.dtype, device="cuda")
        expected = None if options.no_reference else reference(torch, weights, inputs)
        times = {item["name"]: {part: [] for part in PARTS} for item in items}
        errors = {}

        def turn(item, parts, count):
            name = item["name"]
            works = self.works(item, weights, inputs, out, workspace)
            # Fills the workspace that the products alone read.
            out.fill_(float("nan"))
            works["whole"]()
            torch.cuda.synchronize()
            if name not in errors and expected is not None:
                errors[name] = relative_error(torch, out, expected)
            for part in parts:
                graph = self.clock.capture(works[part], warm_ups=1)
                times[name][part] += self.sample(graph, count)
                del graph

        for number in range(options.rounds):
            for item in items if number % 2 == 0 else list(reversed(items)):
                if item["name"] in self.journal.bad:
                    continue
                self.journal.write(f"begin {item['name']}")
                try:
                    turn(item, PARTS, options.replays)
                except Exception as error:
                    self.journal.fail(item["name"], f"{type(error).__name__}: {str(error)[:200]}")
                    if "CUDA" in str(error) or "cuda" in str(error):
                        # Nothing that follows in this process would be of worth.
                        raise SystemExit(f"{item['name']} failed; run again to go on without it: "
                                         f"{error}") from error
                    continue
                self.journal.write(f"end {item['name']}")
        fine = [item for item in items if item["name"] not in self.journal.bad]
        # A GPU that was busy with something else is asked again.
        for item in fine:
            for part, values in times[item["name"]].items():
                if statistics.median(values) > UNSTEADY * min(values):
                    values.clear()
                    turn(item, [part], 3 * options.replays)
        for part in PARTS:
            best = sorted(fine, key=lambda item: statistics.median(times[item["name"]][part]))
            for number in range(2):
                finalists = best[:options.finalists]
                for item in finalists if number % 2 == 0 else list(reversed(finalists)):
                    turn(item, [part], 3 * options.replays)
        results = []
        for item in fine:
            name = item["name"]
            error = errors.get(name)
            results.append({"name": name, "relative_error": error, **{
                part: round(statistics.median(values), 3) for part, values in times[name].items()},
                **{part + "_min": round(min(values), 3) for part, values in times[name].items()}})
        return {"tokens": inputs.tokens, "routing": inputs.kind, "seed": options.seed,
                "active": inputs.active, "rows": inputs.rows,
                "counts": [int(count) for count in inputs.counts], "results": results}


def shape_of(sweep):
    """The layer: a known one, or what the sweep says of its sizes."""
    model = sweep.document["model"]
    return shapes.MODELS.get(model) or shapes.Shape(model, **sweep.document["sizes"])


def label(sweep):
    return f"sweep-{sweep.document['model']}-{sweep.dtype}"


def line(cell, dtype):
    """A cell on one line: the fastest, the slowest, what the selector took."""
    right = [result for result in cell["results"]
             if result["relative_error"] is None or result["relative_error"] <= TOLERANCE[dtype]]
    text = f"T={cell['tokens']} {cell['routing']}: {len(right)} of {len(cell['results'])} right"
    chosen = [result for result in right if result["name"].startswith("chosen")]
    for part in PARTS:
        ordered = sorted(right, key=lambda result: result[part])
        if ordered:
            text += (f"; {part} {ordered[0]['name']} {ordered[0][part]:.1f} us, worst "
                     f"x{ordered[-1][part] / ordered[0][part]:.1f}")
            if chosen:
                text += f", chosen x{chosen[0][part] / ordered[0][part]:.3f}"
    return text


def save(path, document):
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(document, file)
        file.write("\n")
    os.replace(path + ".part", path)


def run(options):
    """Exit status: 0 if every cell is there."""
    cells = [(int(tokens), routing) for tokens in options.tokens.split(",")
             for routing in options.routing.split(",")]
    for _, routing in cells:
        if routing not in KINDS:
            raise SystemExit(f"unknown routing '{routing}'; known are {', '.join(KINDS)}")
    found = [Sweep(folder, options.only) for folder in find(options.artifacts)]
    if options.dry_run:
        for sweep in found:
            for tokens, routing in cells:
                print(f"{label(sweep)} T={tokens} {routing}: {len(sweep.cases(tokens))} artifacts")
        print(f"{len(found) * len(cells)} cells")
        return 0
    if not found:
        print("no sweep.json in " + ", ".join(options.artifacts))
        return 1
    import torch
    from .bench import machine
    from .inputs import Inputs
    from .timing import ceilings
    from .weights import STORAGE
    os.makedirs(options.out, exist_ok=True)
    begin, left = time.monotonic(), 0
    for sweep in found:
        path = os.path.join(options.out, label(sweep) + ".json")
        runner = Runner(torch, sweep, options)
        document = {"format": 1, **sweep.document, "machine": machine(torch), "cells": []}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                document["cells"] = json.load(file)["cells"]
        document["ceilings"] = ceilings(torch, runner.clock)
        weights = STORAGE[sweep.dtype](torch, shape_of(sweep), options.seed)
        known = {(cell["tokens"], cell["routing"]) for cell in document["cells"]}
        for tokens, routing in cells:
            if (tokens, routing) in known:
                continue
            if routing == "hot16" and weights.shape.E <= HOT:
                print(f"T={tokens} {routing}: for more than {HOT} experts, left out")
                continue
            if time.monotonic() - begin > options.limit:
                left += 1
                continue
            started = time.monotonic()
            cell = runner.cell(weights, Inputs(torch, weights, tokens, routing, options.seed))
            cell["spent_seconds"] = round(time.monotonic() - started, 1)
            document["cells"].append(cell)
            document["failed"] = runner.journal.bad
            print(line(cell, sweep.dtype) + f"; {cell['spent_seconds']} s", flush=True)
            save(path, document)
            torch.cuda.empty_cache()
        print(f"{path}: {len(document['cells'])} cells, {len(runner.journal.bad)} failed "
              "configurations", flush=True)
    if left:
        print(f"{left} cells are left; run again to go on")
    return 2 if left else 0
