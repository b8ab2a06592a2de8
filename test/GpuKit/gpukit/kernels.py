# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times single matrix product kernels, alone, beside PyTorch's."""

import json
import math
import os
import statistics
import time

from .tally import Tally

# Launches per burst.
BURST = 10
# A product may be this wrong: both round their results to bf16. Sums of 8-bit floats lose bits in
# the matrix unit, fewer if they are moved to other registers after every scale group.
TOLERANCE = {"bf16": 4e-3, "fp8-block": 1e-2, "fp8-tensor": 2e-2, "w4a16-g128": 5e-3}
# Bytes of an element.
BYTES = {"bf16": 2, "f8E4M3FN": 1, "i8": 1, "f32": 4}
# Rows per expert where the time is that of reading the weights.
FEW = (1, 2, 4, 8, 16, 32)


def add_arguments(parser):
    parser.add_argument("--tokens", help="comma-separated; default: the variants' largest")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    parser.add_argument("--idle", type=float, default=0.2, help="seconds of rest before each")
    parser.add_argument("--no-reference", action="store_true", help="do not check results")
    parser.add_argument("--seed", type=int, default=0)


class Product:
    """An artifact of one grouped product: x [T, K], topk_ids [T, k], w1 [E, N, K], or packed, and
    the scales x_scale and w1_scale."""

    def __init__(self, folder):
        self.folder, self.name = folder, os.path.basename(os.path.abspath(folder))
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
            self.manifest = json.load(file)
        self.arguments = [argument["name"] for argument in self.manifest["arguments"]]
        shapes = {argument["name"]: argument["shape"] for argument in self.manifest["arguments"]}
        if not {"x", "topk_ids", "w1", "out"} <= set(shapes):
            raise ValueError(f"{folder}: its arguments are {', '.join(shapes)}, not x, topk_ids, "
                             "w1 and out")
        self.E, self.N = shapes["w1"][:2]
        self.k, self.K = shapes["topk_ids"][1], shapes["x"][1]
        # Of all tokens together, and of each.
        self.bytes = [0.0, 0.0]
        for argument in self.manifest["arguments"]:
            if argument["name"] == "topk_ids":
                continue
            shape, each = argument["shape"], argument["shape"][0] == "T"
            self.bytes[each] += (math.prod(shape[1:] if each else shape)
                                 * BYTES[argument.get("dtype", "bf16")])
        if "x_scale" in shapes:
            self.dtype = "fp8-tensor" if shapes["x_scale"][1] == 1 else "fp8-block"
        elif "w1_scale" in shapes:
            self.dtype = f"w4a16-g{self.K // shapes['w1_scale'][2]}"
        else:
            self.dtype = "bf16"
        if self.dtype not in TOLERANCE:
            raise ValueError(f"{folder}: {self.dtype} weights are not made here")
        self.variants = [variant for variant in self.manifest["variants"]
                         if variant["target"].startswith("sm_")]

    def tokens(self):
        """The largest count of each variant, which for the last one is in its file's name; from
        one row per expert on if there are at most 32."""
        counts = []
        for variant in self.variants:
            high = variant["tokens"][1]
            if high is None:
                name = variant["code"] or variant["ptx"]
                high = int(name.split("-t")[-1].split("-")[0])
            counts.append(high)
        if self.k == 1 and counts[-1] <= FEW[-1] * self.E:
            return [rows * self.E for rows in FEW]
        return counts

    def variant(self, tokens):
        for variant in self.variants:
            low, high = variant["tokens"]
            if tokens >= low and (high is None or tokens <= high):
                return variant
        return None

    def product_launch(self, tokens):
        """The number of the launch that reads the weights."""
        weights = self.arguments.index("w1")
        for number, launch in enumerate(self.variant(tokens)["launches"]):
            for argument in launch["args"]:
                whole = argument.get("tensor_map", {}).get("of", argument)
                if whole.get("arg") == weights:
                    return number
        raise ValueError(f"{self.name}: no launch reads the weights")

    def out_shape(self, tokens):
        """[T, N], or with several slots per token [T, k, N]."""
        return (tokens, self.N) if self.k == 1 else (tokens, self.k, self.N)

    def flops(self, tokens):
        return 2.0 * tokens * self.k * self.N * self.K

    def moved_bytes(self, tokens):
        """All weights, the input once and the result once, with scales."""
        return self.bytes[0] + tokens * self.bytes[1]


def find(folders):
    """The products in these folders, or in what lies in them."""
    found = []
    for folder in folders:
        inside = [folder] if os.path.exists(os.path.join(folder, "manifest.json")) else sorted(
            os.path.join(folder, name) for name in (
                os.listdir(folder) if os.path.isdir(folder) else ())
            if os.path.exists(os.path.join(folder, name, "manifest.json")))
        found += [Product(path) for path in inside]
    return found


class Case:
    """One product with tensors: rows in expert order, or spread over the tokens by k slots."""

    def __init__(self, torch, product, tokens, seed):
        import moec
        from .weights import STORAGE, Float8Tensor, Single
        self.torch, self.product, self.tokens = torch, product, tokens
        stream = torch.Generator(device="cuda").manual_seed(seed)
        E, k = product.E, product.k
        self.x = torch.empty(tokens, product.K, dtype=torch.bfloat16, device="cuda")
        for part in self.x.split(max(1, tokens // 128)):
            part.copy_(torch.randn(part.shape, generator=stream, device="cuda"))
        storage = {**STORAGE, "fp8-tensor": Float8Tensor}[product.dtype]
        self.weights = storage(torch, Single(E, product.N, product.K), seed + 1)
        self.given = {**self.weights.codes(self.x), **self.weights.tensors}
        rows = torch.arange(tokens * k, device="cuda")
        if k == 1:
            self.ids = (rows * E // tokens).to(torch.int32).view(tokens, 1)
        else:
            # Neighbouring slots go to different experts, all experts get the same.
            order = torch.randperm(tokens, generator=stream, device="cuda")
            self.ids = (rows % E).to(torch.int32).view(tokens, k)[order].contiguous()
        self.out = torch.empty(product.out_shape(tokens), dtype=torch.bfloat16, device="cuda")
        self.layer = moec.load(product.folder, target="cuda")
        self.workspace = torch.empty(max(self.layer.workspace_size(tokens), 1), dtype=torch.uint8,
                                     device="cuda")
        self.launch = product.product_launch(tokens)

    def run(self, launches=None):
        return self.layer(**self.given, topk_ids=self.ids, out=self.out,
                          workspace=self.workspace, launches=launches)

    def alone(self):
        return self.run(range(self.launch, self.launch + 1))

    def error(self):
        """Relative error of a complete run, then of the kernel alone, into poisoned memory."""
        torch, product = self.torch, self.product
        results = []
        for work in (self.run, self.alone):
            self.out.fill_(float("nan"))
            work()
            torch.cuda.synchronize()
            results.append(self.out.view(-1, product.N).clone())
        flat = self.ids.view(-1).long()
        wrong, size = 0.0, 0.0
        for expert in range(product.E):
            slots = (flat == expert).nonzero().view(-1)
            if not len(slots):
                continue
            # A part of the rows at a time: they are in f32 here.
            weights = self.weights.matrix("w1", expert).t()
            for part in slots.split(8192):
                expected = self.weights.rows(self.x[part // product.k]) @ weights
                size += float(expected.square().sum())
                wrong += float((results[0][part].float() - expected).square().sum())
        same = bool((results[0].view(torch.int16) == results[1].view(torch.int16)).all())
        return (wrong / size) ** 0.5, same

    def peers(self):
        """{name: callable} of PyTorch's products of the same tensors."""
        torch, product, found = self.torch, self.product, {}
        if product.k != 1:
            return found
        x, weights = self.given["x"], self.given["w1"].transpose(1, 2)
        if product.E == 1 and product.dtype == "bf16":
            out = torch.empty_like(self.out).view(-1, product.N)
            found["torch.mm (cuBLAS)"] = lambda: torch.mm(x, weights[0], out=out)
        elif product.E == 1 and product.dtype.startswith("fp8"):
            one = torch.ones((), device="cuda")
            for fast in (True, False):
                name = f"torch._scaled_mm, one scale, {'fast' if fast else 'exact'} sums"
                found[name] = lambda fast=fast: torch._scaled_mm(
                    x, weights[0], one, one, out_dtype=torch.bfloat16, use_fast_accum=fast)
            if product.dtype == "fp8-block":
                # Scales of rows: those of one k group side by side.
                of_x = self.given["x_scale"].t().contiguous().t()
                of_w = self.given["w1_scale"][0].t()
                found["torch._scaled_mm, scales of 128 and 128 x 128"] = lambda: torch._scaled_mm(
                    x, weights[0], of_x, of_w, out_dtype=torch.bfloat16)
        elif product.E > 1 and product.dtype in ("bf16", "fp8-block"):
            counts = torch.bincount(self.ids.view(-1).long(), minlength=product.E)
            ends = counts.cumsum(0).to(torch.int32)
            if product.dtype == "bf16":
                found["torch._grouped_mm"] = lambda: torch._grouped_mm(x, weights, offs=ends)
            else:
                of_x = torch.ones(self.tokens, device="cuda")
                of_w = torch.ones(product.E, product.N, device="cuda")
                found["torch._scaled_grouped_mm, a scale per row"] = lambda: (
                    torch._scaled_grouped_mm(x, weights, of_x, of_w, offs=ends,
                                             out_dtype=torch.bfloat16, use_fast_accum=True))
        return found


class Burst:
    """Bursts of launches, contenders in turn, rested before each."""

    def __init__(self, torch):
        self.torch = torch
        self.side = torch.cuda.Stream()

    def capture(self, work, count=BURST):
        torch = self.torch
        self.side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.side):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(self.side)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(count):
                work()
        torch.cuda.synchronize()
        return graph

    def once(self, graph):
        """Microseconds per launch."""
        begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        self.torch.cuda.synchronize()
        return begin.elapsed_time(end) * 1e3 / BURST

    def compare(self, graphs, rounds, idle):
        """{name: medians in us}."""
        samples = {name: [] for name in graphs}
        for graph in graphs.values():
            self.once(graph)
        names = list(graphs)
        for turn in range(rounds):
            for name in names if turn % 2 == 0 else reversed(names):
                time.sleep(idle)
                samples[name].append(self.once(graphs[name]))
        return {name: statistics.median(times) for name, times in samples.items()}


def copy_work(torch, size=1 << 28):
    """A copy that moves 2 * size bytes. On one H100 PyTorch copied 256 MiB at 2.93 TB/s and 1 GiB at
    2.42, where an addition moved 3.0: the larger one is no ceiling."""
    source = torch.ones(size // 4, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)
    return (lambda: target.copy_(source)), 2.0 * size


def line(row):
    text = (f"{row['kernel']} T={row['tokens']}: {row['us']:.1f} us, {row['tflops']:.1f} TFLOP/s, "
            f"{row['gigabytes_per_second']:.0f} GB/s = {row['of_copy']:.3f} of copy")
    if row["relative_error"] is not None:
        text += f", err {row['relative_error']:.1e}"
    for name, microseconds in row["peers"].items():
        text += f"; {name} {microseconds:.1f} us, x{microseconds / row['us']:.3f}"
    for name, reason in row["failed_peers"].items():
        text += f"; {name} failed: {reason}"
    return text + f"; with routing {row['whole_us']:.1f} us; {' '.join(row['config'])}"


def measure(torch, product, tokens, options, burst, copied):
    case = Case(torch, product, tokens, options.seed)
    error, same = None, True
    case.run()
    if not options.no_reference:
        error, same = case.error()
    graphs = {"alone": burst.capture(case.alone), "whole": burst.capture(case.run)}
    graphs["copy"] = burst.capture(copied[0])
    failed, peers = {}, case.peers()
    for name, work in peers.items():
        try:
            graphs[name] = burst.capture(work)
        except (RuntimeError, AttributeError, NotImplementedError) as reason:
            failed[name] = str(reason).split("\n")[0][:120]
    times = burst.compare(graphs, options.rounds, options.idle)
    rate = product.moved_bytes(tokens) / times["alone"] * 1e6
    row = {"kernel": product.name, "tokens": tokens, "rows_per_expert": tokens * product.k // product.E,
           "us": times["alone"], "whole_us": times["whole"],
           "tflops": product.flops(tokens) / times["alone"] * 1e-6,
           "gigabytes_per_second": rate * 1e-9, "of_copy": rate / (copied[1] / times["copy"] * 1e6),
           "copy_bytes_per_second": copied[1] / times["copy"] * 1e6,
           "peers": {name: times[name] for name in peers if name in times},
           "failed_peers": failed, "relative_error": error,
           "same_alone": same, "config": product.variant(tokens)["config"]}
    case.layer.close()
    return row


def run(options):
    """Exit status: 0 if nothing failed."""
    found = find(options.artifacts)
    wanted = [int(tokens) for tokens in options.tokens.split(",")] if options.tokens else None
    cases = [(product, tokens) for product in found for tokens in wanted or product.tokens()
             if product.variant(tokens)]
    if options.dry_run:
        for product, tokens in cases:
            launch = product.variant(tokens)["launches"][product.product_launch(tokens)]
            print(f"{product.name} T={tokens}: E={product.E} k={product.k} N={product.N} "
                  f"K={product.K} {launch['kernel']}")
        print(f"{len(cases)} cases")
        return 0
    if not cases:
        print("no kernel to time")
        return 1
    import torch
    torch.backends.cuda.matmul.allow_tf32 = False
    tally, burst, rows = Tally(), Burst(torch), []
    copied = copy_work(torch)
    for product, tokens in cases:
        try:
            row = measure(torch, product, tokens, options, burst, copied)
        except Exception as error:
            tally.add(product.name, "time", "failed", tokens=tokens,
                      reason=f"{type(error).__name__}: {error}")
            continue
        rows.append(row)
        print(line(row), flush=True)
        error = row["relative_error"]
        tally.check(product.name, "result", (error is None or error <= TOLERANCE[product.dtype])
                    and row["same_alone"], tokens=tokens)
        torch.cuda.empty_cache()
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "kernels.json"), "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
    return tally.finish(options.out, "kernels-check.json")
