# RUN: %python %s | FileCheck %s
# CHECK: {{[0-9]+}} routers agree
"""moe_tile.topk as the tile interpreter runs it against NumPy."""

import re
import subprocess
import sys

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def expected(logits, bias, k, scoring, groups, of, top2, renormalize, scale):
    """Ids and weights, in double precision."""
    x = logits.astype(np.float64)
    scores = {"softmax": softmax, "sigmoid": lambda v: 1 / (1 + np.exp(-v)), "softmax_selected": lambda v: v}[scoring](x)
    choice = scores + (0 if bias is None else bias)
    if groups > 1:
        parts = choice.reshape(len(x), groups, -1)
        best = np.sort(parts, axis=2)[:, :, ::-1]
        group = best[:, :, 0] + (best[:, :, 1] if top2 else 0)
        chosen = np.argsort(-group, axis=1, kind="stable")[:, :of]
        mask = np.full(parts.shape, -np.inf)
        np.put_along_axis(mask, chosen[:, :, None], 0, axis=1)
        choice = (parts + mask).reshape(choice.shape)
    ids = np.argsort(-choice, axis=1, kind="stable")[:, :k]
    weights = np.take_along_axis(scores, ids, 1)
    if scoring == "softmax_selected":
        weights = softmax(weights)
    if renormalize:
        weights = weights / weights.sum(axis=1, keepdims=True)
    return ids, weights * scale


def main():
    rng = np.random.default_rng(3)
    count = 0
    for case in range(18):
        groups = int(rng.choice([1, 2, 4]))
        size, tokens = int(rng.integers(2, 7)), int(rng.integers(1, 5))
        experts, of = groups * size, int(rng.integers(1, groups + 1))
        k = int(rng.integers(1, of * size + 1))
        scoring = ["softmax", "sigmoid", "softmax_selected"][case % 3]
        top2, renormalize, biased = case % 2 == 0 and groups > 1, case % 4 > 1, case % 5 > 2
        scale = 2.5 if case % 3 else 1.0
        # Numbers far enough apart for sums in any order to choose the same.
        logits = rng.permuted(np.tile(np.arange(experts) / 8, (tokens, 1)), axis=1) - 1
        bias = rng.permutation(experts) / 64 + 1 / 512 if biased else None
        ids, weights = expected(logits, bias, k, scoring, groups, of, top2, renormalize, scale)
        clauses = f"scoring({scoring})"
        if groups > 1:
            clauses += f" groups {groups} of {of}"
        clauses += " top2_sum" * top2 + " renormalize" * renormalize + f" scale {scale}"
        given = f"tensor<{tokens}x{experts}xf32>"
        args = [f"%l: memref<?x{experts}xf32> {{moe_tile.test = {{values = dense<{logits.tolist()}> : {given}}}}}"]
        if biased:
            args.append(f"%b: memref<{experts}xf32> {{moe_tile.test = {{values = dense<{bias.tolist()}> : tensor<{experts}xf32>}}}}")
        for name, kind in (("i", "i32"), ("w", "f32")):
            args.append(f"%{name}: memref<?x{k}x{kind}> {{moe_tile.test = {{shape = array<i64: {tokens}, {k}>, init = \"undefined\"}}}}")
        text = (f"moe_tile.kernel @k({', '.join(args)}) {{\n  moe_tile.topk logits(%l : memref<?x{experts}xf32>)"
                + (f" bias(%b : memref<{experts}xf32>)" if biased else "")
                + f" to(%i, %w : memref<?x{k}xi32>, memref<?x{k}xf32>) {clauses}\n  moe_tile.return\n}}\n")
        done = subprocess.run(["moe-opt", "-", "--moe-tile-interpret=functions=k print", "-o", "/dev/null"],
                              input=text, capture_output=True, text=True)
        lists = [np.array([float(v) for v in m.split(", ")]) for m in re.findall(r"= \[(.*)\]", done.stdout)]
        if done.returncode or not np.array_equal(lists[-2], ids.reshape(-1)) or \
                not np.allclose(lists[-1], weights.reshape(-1), rtol=1e-4):
            print(f"{done.stderr}{text}{lists}\n{ids}\n{weights}")
            return 1
        count += 1
    print(f"{count} routers agree")
    return 0


sys.exit(main())
