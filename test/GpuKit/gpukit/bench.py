# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times compiled layers beside other kernels, in one process and in turn."""

import json
import os
import time

from . import artifacts, report, shapes
from .routing import KINDS

TOLERANCE = {"bf16": 4e-3, "f16": 2e-3, "f32": 1e-5, "fp8-block": 1e-2,
             "w4a16-g128": 5e-3, "w4a16-g128-exllama": 5e-3, "w4a16-g128-zp": 5e-3,
             "w4a16-g64": 5e-3, "w4a16-g32": 5e-3}


def add_arguments(parser):
    parser.add_argument("--models", help="comma-separated; default: what the artifacts are for")
    parser.add_argument("--dtypes", help="comma-separated; default: what the artifacts have")
    parser.add_argument("--tokens", default=",".join(map(str, shapes.TOKENS)))
    parser.add_argument("--routing", default=",".join(shapes.ROUTINGS), help=", ".join(KINDS))
    parser.add_argument("--peers", default="all", help="all, none, or names, comma-separated")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--replays", type=int, default=10, help="per turn")
    parser.add_argument("--seconds", type=float, default=1.0,
                        help="at most, for one contender in one cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-reference", action="store_true", help="do not check results")
    parser.add_argument("--no-ceilings", action="store_true",
                        help="take the recorded machine's ceilings")


def plan(options, found):
    """[(shape, tokens, routing)] and the artifacts by shape."""
    by_shape = {}
    for artifact in found:
        by_shape.setdefault(artifact.shape, []).append(artifact)
    names = options.models.split(",") if options.models else None
    wanted = []
    if names is None:
        wanted = list(by_shape)
    else:
        for name in names:
            known = [shape for shape in [*by_shape, *shapes.MODELS.values()] if shape.name == name]
            if not known:
                raise SystemExit(f"unknown model '{name}'; known are "
                                 + ", ".join([*shapes.MODELS]))
            wanted.append(known[0])
    for kind in options.routing.split(","):
        if kind not in KINDS:
            raise SystemExit(f"unknown routing '{kind}'; known are {', '.join(KINDS)}")
    cells = [(shape, int(tokens), routing) for shape in dict.fromkeys(wanted)
             for tokens in options.tokens.split(",") for routing in options.routing.split(",")]
    return cells, by_shape


def work_groups(options, cells, by_shape):
    """[(shape, dtype)] to time; bf16 for a shape without artifacts."""
    wanted = options.dtypes.split(",") if options.dtypes else None
    groups = []
    for shape in dict.fromkeys(shape for shape, _, _ in cells):
        own = list(dict.fromkeys(artifact.dtype for artifact in by_shape.get(shape, ())))
        groups += [(shape, dtype) for dtype in own or ["bf16"] if not wanted or dtype in wanted]
    return groups


class Bench:
    """One run of the benchmark: the machine, its ceilings, the cells so far."""

    def __init__(self, torch, options):
        from .timing import Clock
        self.torch, self.options = torch, options
        self.clock = Clock(torch)
        self.document = {"machine": machine(torch), "cells": []}

    def measure_ceilings(self):
        if self.options.no_ceilings:
            recorded = report.recorded_ceilings()
            self.document["ceilings"] = {
                "read_bytes_per_second": recorded["read_bytes_per_second"],
                "cublas_8192_flops_per_second": recorded["bf16_flops_per_second"],
                "empty_event_pair_us": self.clock.empty_pair(), "recorded": True}
            return
        from .timing import ceilings, triton_read
        found = ceilings(self.torch, self.clock)
        try:
            found["triton_read_bytes_per_second"] = triton_read(self.torch, self.clock)
        except Exception as error:  # A missing or broken Triton stops nothing else.
            found["triton_read_failed"] = str(error)
        self.document["ceilings"] = found
        print("ceilings: " + ", ".join(f"{name} {value:.4g}" for name, value in found.items()
                                       if isinstance(value, float)), flush=True)

    def read_rate(self):
        found = self.document["ceilings"]
        return max(found["read_bytes_per_second"], found.get("triton_read_bytes_per_second", 0.0))

    def multiply_rate(self, dtype):
        """Of dense products. That of 8 bits is a recorded one."""
        if dtype.startswith("fp8"):
            return report.recorded_ceilings()["fp8_flops_per_second"]
        return self.document["ceilings"]["cublas_8192_flops_per_second"]

    def contenders(self, weights, inputs, layers, dtype):
        """{name: callable}, {name: why not}."""
        from .peers import PEERS, Unavailable
        work, refused = {}, {}
        for artifact, (layer, tensors) in layers.items():
            if not artifact.covers(inputs.tokens):
                refused[artifact.name] = f"no variant covers {inputs.tokens} tokens"
                continue
            out = self.torch.empty(inputs.tokens, weights.shape.H, dtype=inputs.x.dtype,
                                   device="cuda")

            def run(layer=layer, tensors=tensors, out=out):
                return layer(x=inputs.x, topk_ids=inputs.ids, topk_weights=inputs.router, out=out,
                             **tensors)
            work[artifact.name] = run
        chosen = PEERS if self.options.peers == "all" else [
            name for name in PEERS if name in self.options.peers.split(",")]
        for name in chosen:
            try:
                if dtype != "bf16":
                    raise Unavailable("for bf16 only")
                work[name] = PEERS[name](self.torch, weights, inputs)
            except Unavailable as error:
                refused[name] = str(error)
            except Exception as error:  # A peer that breaks is a peer that is missing.
                refused[name] = f"{type(error).__name__}: {str(error)[:200]}"
        return work, refused

    def prove(self, work, refused, weights, inputs):
        """Runs each once into poisoned memory; {name: relative error}."""
        from .inputs import reference, relative_error
        torch = self.torch
        expected = None if self.options.no_reference else reference(torch, weights, inputs)
        errors = {}
        for name in list(work):
            try:
                out = work[name]()
                out.fill_(float("nan"))
                out = work[name]()
                torch.cuda.synchronize()
                if expected is not None:
                    errors[name] = relative_error(torch, out, expected)
            except Exception as error:
                refused[name] = f"{type(error).__name__}: {str(error)[:200]}"
                del work[name]
        return errors

    def cell(self, weights, inputs, layers, dtype):
        from .timing import summary
        work, refused = self.contenders(weights, inputs, layers, dtype)
        errors = self.prove(work, refused, weights, inputs)
        replays = {}
        for name in list(work):
            try:
                replays[name] = self.clock.capture(work[name]).replay
            except Exception as error:
                refused[name] = f"not captured: {type(error).__name__}: {str(error)[:200]}"
        samples = self.clock.compare(dict(replays), self.options.rounds, self.options.replays,
                                     seconds=self.options.seconds)
        shape = weights.shape
        bound = shapes.floor(shape, inputs.tokens, inputs.active, self.read_rate(),
                             self.multiply_rate(dtype), dtype)
        peer = shapes.recorded_peers(dtype).get((shape.name, inputs.tokens, inputs.kind))
        cell = {"model": shape.name, "dtype": dtype, "tokens": inputs.tokens, "routing": inputs.kind,
                "active": inputs.active, "rows": inputs.rows, "floor_us": bound.microseconds,
                "bound": bound.bound,
                "limit_us": shapes.limit(shape, inputs.tokens, inputs.kind, bound.microseconds,
                                         peer["us"] if peer else None, dtype),
                "recorded_peer": peer and {"name": peer["peer"], "us": peer["us"]},
                "results": [], "unavailable": refused}
        blocks = {artifact.name: artifact.block_rows(inputs.tokens) for artifact in layers}
        for name, times in samples.items():
            result = {"name": name, "ours": name in blocks, **summary(times)}
            seconds = result["us"] * 1e-6
            padded = shapes.padded_rows(inputs.counts, blocks.get(name, 1))
            result.update(
                useful_tflops=shapes.flops(shape, inputs.rows) / seconds * 1e-12,
                padded_tflops=shapes.flops(shape, padded) / seconds * 1e-12,
                gigabytes_per_second=shapes.moved_bytes(shape, inputs.tokens, inputs.active,
                                                        dtype) / seconds * 1e-9,
                ratio=result["us"] / bound.microseconds, relative_error=errors.get(name))
            cell["results"].append(result)
        return cell


def machine(torch):
    properties = torch.cuda.get_device_properties(0)
    facts = {"gpu": properties.name, "multiprocessors": properties.multi_processor_count,
             "capability": list(torch.cuda.get_device_capability(0)),
             "memory_bytes": properties.total_memory, "torch": torch.__version__,
             "cuda": torch.version.cuda, "date": time.strftime("%Y-%m-%d", time.gmtime())}
    for name in ("triton", "transformers"):
        try:
            facts[name] = __import__(name).__version__
        except Exception:
            facts[name] = None
    return facts


def save(document, folder):
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "bench.json")
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
    os.replace(path + ".part", path)
    with open(os.path.join(folder, "bench.md"), "w", encoding="utf-8") as file:
        file.write(report.markdown(document))


def run(options):
    """Exit status: 0 if every result of ours is right."""
    found, refused = artifacts.find(options.artifacts)
    for folder, reason in refused:
        print(f"left out {folder}: {reason}")
    cells, by_shape = plan(options, found)
    if options.dry_run:
        for shape, tokens, routing in cells:
            print(f"{shape.name} T={tokens} {routing}: "
                  + (", ".join(a.name for a in by_shape.get(shape, ()) if a.covers(tokens))
                     or "peers only"))
        print(f"{len(cells)} cells")
        return 0
    import torch
    from .inputs import Inputs
    from .weights import STORAGE
    bench = Bench(torch, options)
    bench.measure_ceilings()
    wrong = 0
    for shape, dtype in work_groups(options, cells, by_shape):
        weights = STORAGE[dtype](torch, shape, options.seed)
        layers = {artifact: artifacts.open_layer(artifact, weights)
                  for artifact in by_shape.get(shape, ()) if artifact.dtype == dtype}
        for tokens, routing in [(t, r) for s, t, r in cells if s == shape]:
            begin = time.monotonic()
            inputs = Inputs(torch, weights, tokens, routing, options.seed)
            cell = bench.cell(weights, inputs, layers, dtype)
            cell["spent_seconds"] = time.monotonic() - begin
            bench.document["cells"].append(cell)
            wrong += sum(1 for result in cell["results"] if result["ours"]
                         and result["relative_error"] is not None
                         and not result["relative_error"] <= TOLERANCE[dtype])
            print(report.line(cell), flush=True)
            save(bench.document, options.out)
            del inputs
            torch.cuda.empty_cache()
        del weights, layers
        torch.cuda.empty_cache()
    save(bench.document, options.out)
    for path in report.plots(bench.document, options.out):
        print(f"wrote {path}")
    print(f"wrote {os.path.join(options.out, 'bench.json')} and bench.md; {wrong} wrong results")
    return 1 if wrong else 0
