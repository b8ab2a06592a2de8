# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs compiled layers on awkward inputs and compares with PyTorch in float32."""

import os
import shutil
import subprocess
import sys

from . import artifacts, probe
from .bench import TOLERANCE
from .tally import Tally

KINDS = ("balanced", "zipf1", "ragged", "one", "few", "missing")
# Beside the borders of the variants.
TOKENS = (1, 2, 7, 16, 33, 64, 128, 257, 1000, 4096)
SMALL = (1, 5, 64)
GUARD = 64


def add_arguments(parser):
    parser.add_argument("--tokens", help="comma-separated; default: borders of the variants "
                        "and some between them, up to 4096")
    parser.add_argument("--routing", default=",".join(KINDS))
    parser.add_argument("--small", action="store_true", help="few and small cases")
    parser.add_argument("--no-huge", action="store_true",
                        help="leave out shapes of more than 2^31 elements")
    parser.add_argument("--sanitizer", action="store_true",
                        help="the small cases again under compute-sanitizer")
    parser.add_argument("--no-probe", action="store_true",
                        help="leave out the tests of the run time itself")
    parser.add_argument("--seed", type=int, default=0)


def token_counts(options, artifact):
    if options.tokens:
        wanted = {int(tokens) for tokens in options.tokens.split(",")}
    elif options.small:
        wanted = set(SMALL)
    else:
        wanted = set(TOKENS)
        for variant in artifact.variants:
            wanted |= {border for border in variant["tokens"] if border and border <= 4096}
    return sorted(tokens for tokens in wanted if artifact.covers(tokens))


def huge_tokens(artifact):
    """A token count at which flat rows have more than 2^31 elements; None if none is covered."""
    shape = artifact.shape
    tokens = (1 << 31) // (shape.k * max(shape.H, 2 * shape.I)) + 77
    return tokens if artifact.covers(tokens) else None


class Checker:
    """One artifact with weights, and the tally."""

    def __init__(self, torch, artifact, options, tally):
        from .timing import Clock
        from .weights import STORAGE
        self.torch, self.artifact, self.options, self.tally = torch, artifact, options, tally
        self.weights = STORAGE[artifact.dtype](torch, artifact.shape, options.seed)
        self.dtype = getattr(torch, self.weights.activations)
        self.tolerance = TOLERANCE[artifact.dtype]
        self.layer, self.tensors = artifacts.open_layer(artifact, self.weights)
        self.clock = Clock(torch)
        self.pair = [torch.cuda.Stream(), torch.cuda.Stream()]

    def note(self, test, passed, **facts):
        self.tally.check(self.artifact.name, test, passed, **facts)

    def skip(self, test, reason):
        self.tally.skip(self.artifact.name, test, reason)

    def inputs(self, tokens, kind, seed=0):
        from .inputs import Inputs
        return Inputs(self.torch, self.weights, tokens, kind, self.options.seed + seed)

    def guarded(self, tokens):
        """(all rows, the rows of the output): poisoned, with rows around that are nobody's."""
        rows = self.torch.full((tokens + 2 * GUARD, self.weights.shape.H), float("nan"),
                               dtype=self.dtype, device="cuda")
        return rows, rows[GUARD:GUARD + tokens]

    def run(self, inputs, out, **more):
        return self.layer(x=inputs.x, topk_ids=inputs.ids, topk_weights=inputs.router, out=out,
                          **self.tensors, **more)

    def poison_workspace(self, tokens):
        """PyTorch hands freed memory of a size to the next who asks for it on this stream."""
        size = self.layer.workspace_size(tokens)
        if size:
            self.torch.full((size,), 0xFF, dtype=self.torch.uint8, device="cuda")

    def error(self, actual, inputs):
        from .inputs import reference, relative_error
        return relative_error(self.torch, actual, reference(self.torch, self.weights, inputs))

    def guards_hold(self, rows, tokens):
        around = self.torch.cat([rows[:GUARD], rows[GUARD + tokens:]])
        return bool(around.isnan().all())

    def values(self, tokens, kind):
        """Poisoned output and workspace, twice, so that the second run finds the first one's."""
        inputs = self.inputs(tokens, kind)
        rows, out = self.guarded(tokens)
        self.run(inputs, out)
        out.fill_(float("nan"))
        self.poison_workspace(tokens)
        self.run(inputs, out)
        self.torch.cuda.synchronize()
        error = self.error(out, inputs)
        self.note("values", error <= self.tolerance and self.guards_hold(rows, tokens),
                  tokens=tokens, routing=kind, relative_error=f"{error:.2e}",
                  variant=self.layer.stats.variant, guards=self.guards_hold(rows, tokens))

    def graph(self, tokens, kind):
        """Replays with inputs that change beneath the graph."""
        torch = self.torch
        inputs = self.inputs(tokens, kind)
        rows, out = self.guarded(tokens)
        graph = self.clock.capture(lambda: self.run(inputs, out))
        errors = []
        for seed in (1, 2, 3):
            other = self.inputs(tokens, kind, seed)
            for name in ("x", "ids", "router"):
                getattr(inputs, name).copy_(getattr(other, name))
            out.fill_(float("nan"))
            graph.replay()
            torch.cuda.synchronize()
            errors.append(self.error(out, other))
        self.note("graph", max(errors) <= self.tolerance and self.guards_hold(rows, tokens),
                  tokens=tokens, routing=kind, relative_error=f"{max(errors):.2e}")

    def streams(self, tokens, kind, repeats=20):
        """Two streams at once, each with its own inputs."""
        torch = self.torch
        work = []
        for seed, stream in enumerate(self.pair):
            inputs = self.inputs(tokens, kind, seed)
            rows, out = self.guarded(tokens)
            work.append((stream, inputs, rows, out))
        torch.cuda.synchronize()
        for _ in range(repeats):
            for stream, inputs, _, out in work:
                with torch.cuda.stream(stream):
                    self.run(inputs, out)
        torch.cuda.synchronize()
        errors = [self.error(out, inputs) for _, inputs, _, out in work]
        self.note("two streams", max(errors) <= self.tolerance
                  and all(self.guards_hold(rows, tokens) for _, _, rows, _ in work),
                  tokens=tokens, routing=kind, relative_error=f"{max(errors):.2e}")

    def deterministic(self, tokens, kind):
        """Five runs, bit by bit."""
        if not self.artifact.deterministic():
            self.skip("deterministic", "the artifact does not say that it is")
            return
        inputs = self.inputs(tokens, kind)
        bits = {2: self.torch.int16, 4: self.torch.int32}[inputs.x.element_size()]
        results = [self.run(inputs, self.guarded(tokens)[1]).view(bits).clone() for _ in range(5)]
        same = all(bool((result == results[0]).all()) for result in results)
        self.note("deterministic", same, tokens=tokens, routing=kind)

    def device_tokens(self, tokens, kind):
        """Fewer tokens than the arrays have rows, known to the GPU alone."""
        if self.layer.device_tokens(tokens) is None or tokens < 2:
            self.skip("device tokens", "the kernels do not read a token count"
                      if tokens >= 2 else "too few tokens")
            return
        kind_of = {"i32": self.torch.int32, "i64": self.torch.int64}
        real = self.torch.tensor([tokens // 2], device="cuda",
                                 dtype=kind_of[self.layer.device_tokens(tokens)])
        inputs = self.inputs(tokens, kind)
        rows, out = self.guarded(tokens)

        def work():
            self.run(inputs, out, device_tokens=real)
        work()
        self.note_existing("device tokens", inputs, rows, out, tokens // 2)
        # One graph for all counts, those below zero and above the rows included.
        graph = self.clock.capture(work)
        for count in sorted({0, 1, tokens // 3, tokens - 1, tokens}) + [-3, tokens + 5]:
            real.fill_(count)
            out.fill_(float("nan"))
            graph.replay()
            self.note_existing("device tokens, graph", inputs, rows, out, count)

    def note_existing(self, test, inputs, rows, out, count):
        """The rows of existing tokens are right, the others zeros."""
        self.torch.cuda.synchronize()
        tokens = inputs.tokens
        existing = min(max(count, 0), tokens)
        error = (self.error(out[:existing], self.part(inputs, slice(0, existing)))
                 if existing else 0.0)
        rest = out[existing:]
        zero = bool((rest == 0).all())
        self.note(test, error <= self.tolerance and zero and self.guards_hold(rows, tokens),
                  tokens=tokens, real=count, relative_error=f"{error:.2e}", rest_is_zero=zero)

    def part(self, inputs, rows):
        """The inputs of some tokens, for the reference."""
        class Part:
            x, ids, router = inputs.x[rows], inputs.ids[rows], inputs.router[rows]
            tokens = x.shape[0]
        return Part

    def huge(self):
        """More than 2^31 elements: a sample of tokens, the last ones among them."""
        tokens = huge_tokens(self.artifact)
        if tokens is None:
            self.skip("huge", "no variant covers so many tokens")
            return
        torch = self.torch
        try:
            inputs = self.inputs(tokens, "balanced")
            rows, out = self.guarded(tokens)
            self.run(inputs, out)
            torch.cuda.synchronize()
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            self.skip("huge", "the GPU's memory does not hold it")
            return
        sample = torch.randint(tokens, (160,), device="cuda")
        sample[-64:] = torch.arange(tokens - 64, tokens, device="cuda")
        error = self.error(out[sample], self.part(inputs, sample))
        finite = bool(torch.isfinite(out[::17]).all())
        self.note("huge", error <= self.tolerance and finite and self.guards_hold(rows, tokens),
                  tokens=tokens, relative_error=f"{error:.2e}")

    def everything(self):
        kinds = self.options.routing.split(",")
        tokens = token_counts(self.options, self.artifact)
        for count in tokens:
            for kind in kinds:
                self.values(count, kind)
        for count in tokens if self.options.small else tokens[::2]:
            self.graph(count, kinds[-1])
            self.streams(count, kinds[0])
            self.deterministic(count, kinds[-1])
            self.device_tokens(count, kinds[0])
        if not self.options.no_huge and not self.options.small:
            self.huge()


def sanitize(options, tally):
    """The small cases under compute-sanitizer, a process for each tool."""
    program = shutil.which("compute-sanitizer") or next(
        (path for path in ("/usr/local/cuda/bin/compute-sanitizer",
                           "/usr/local/cuda/compute-sanitizer/compute-sanitizer")
         if os.path.exists(path)), None)
    for tool in ("memcheck", "synccheck"):
        if program is None:
            tally.skip("sanitizer", tool, "no compute-sanitizer")
            continue
        # A refused call of the driver's interface is no error of a kernel: the run time asks for a
        # parameter behind the last one to learn how many there are.
        api = ["--report-api-errors", "no"] if tool == "memcheck" else []
        command = [program, "--tool", tool, *api, "--error-exitcode", "9", sys.executable, "-m",
                   "gpukit", "check", "--small", "--no-probe", "--tokens", "5", "--routing", "missing", "--out",
                   os.path.join(options.out, tool), "--artifacts", *options.artifacts]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("=========")]
        passed = done.returncode == 0 and any("ERROR SUMMARY: 0 errors" in line for line in lines)
        summary = lines[-1] if lines else f"exit status {done.returncode}: {done.stderr[-500:]}"
        tally.check("sanitizer", tool, passed, summary=summary, output=lines[:60])


def run(options):
    """Exit status: 0 if nothing failed."""
    found, refused = artifacts.find(options.artifacts)
    for folder, reason in refused:
        print(f"left out {folder}: {reason}")
    if options.dry_run:
        for artifact in found:
            tokens = token_counts(options, artifact)
            print(f"{artifact.name}: {artifact.shape.name} {artifact.dtype}, T = "
                  + ", ".join(map(str, tokens)) + f", {options.routing}"
                  + (f", huge T = {huge_tokens(artifact)}" if huge_tokens(artifact) else ""))
        print(f"{len(found)} artifacts")
        return 0
    if not found and options.no_probe:
        print("no artifact to check")
        return 1
    import torch
    tally = Tally()
    if not options.no_probe:
        probe.run(torch, tally)
    for artifact in found:
        try:
            checker = Checker(torch, artifact, options, tally)
            checker.everything()
            checker.layer.close()
            del checker
        except Exception as error:
            tally.add(artifact.name, "run", "failed", reason=f"{type(error).__name__}: {error}")
        torch.cuda.empty_cache()
    if options.sanitizer:
        sanitize(options, tally)
    return tally.finish(options.out, "check.json")
