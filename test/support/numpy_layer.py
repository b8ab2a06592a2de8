"""A Mixture-of-Experts layer by NumPy alone: per-expert GEMMs in f32.

The peer of the CPU benchmarks. Prints one JSON object per token count.

usage: numpy_layer.py E K H I T[,T...] ROUTING SEED
"""

import json
import sys
import time

import numpy as np


def popularity(name, experts):
    rank = np.arange(1, experts + 1, dtype=np.float64)
    return {"uniform": np.ones(experts), "zipf1": 1 / rank, "zipf2": 1 / rank**2,
            "hot16": np.where(rank <= 16, 1, 1e-6)}[name]


def sample_ids(name, tokens, experts, topk, seed):
    """Expert ids of a routing archetype, as moe-run draws them."""
    if name == "balanced":
        return np.resize(np.arange(experts), tokens * topk).reshape(tokens, topk)
    logits = np.log(popularity(name, experts) + 1e-12)
    sums = np.random.default_rng(seed).gumbel(size=(tokens, experts)) + logits
    return np.argsort(-sums, axis=1, kind="stable")[:, :topk]


def blas_name():
    """What NumPy multiplies matrices with."""
    np.ones((2, 2), np.float32) @ np.ones((2, 2), np.float32)
    try:
        loaded = open("/proc/self/maps", encoding="utf-8").read()
    except OSError:
        return "unknown"
    for name in ("openblas", "mkl", "blis", "atlas"):
        if name in loaded:
            return name
    return "reference BLAS"


def run_layer(x, ids, weights, w1, w2):
    """The layer; returns the result and the seconds of the GEMMs alone."""
    gemm_seconds = 0.0
    y = np.zeros_like(x)
    inner = w2.shape[2]
    for expert in np.unique(ids):
        rows, slots = np.nonzero(ids == expert)
        gathered = x[rows]
        start = time.perf_counter()
        up = gathered @ w1[expert].T
        gemm_seconds += time.perf_counter() - start
        gate = up[:, :inner]
        hidden = gate / (1 + np.exp(-gate)) * up[:, inner:]
        start = time.perf_counter()
        down = hidden @ w2[expert].T
        gemm_seconds += time.perf_counter() - start
        y[rows] += down * weights[rows, slots][:, None]
    return y, gemm_seconds


def main(experts, topk, hidden, inner, tokens, routing, seed):
    random = np.random.default_rng(seed)
    w1 = random.standard_normal((experts, 2 * inner, hidden), np.float32)
    w1 *= np.float32(hidden**-0.5)
    w2 = random.standard_normal((experts, hidden, inner), np.float32)
    w2 *= np.float32(inner**-0.5)
    for count in tokens:
        x = random.standard_normal((count, hidden), np.float32)
        ids = sample_ids(routing, count, experts, topk, seed)
        weights = np.full(ids.shape, 1 / topk, np.float32)
        layer, gemms, start = [], [], time.perf_counter()
        while len(layer) < 3 or (time.perf_counter() - start < 1 and len(layer) < 200):
            begin = time.perf_counter()
            gemms.append(run_layer(x, ids, weights, w1, w2)[1])
            layer.append(time.perf_counter() - begin)
        print(json.dumps({"tokens": count, "gemm_seconds": float(np.median(gemms)),
                          "layer_seconds": float(np.median(layer)), "repetitions": len(layer),
                          "numpy": np.__version__, "blas": blas_name()}), flush=True)


if __name__ == "__main__":
    e, k, h, i, t, name, number = sys.argv[1:]
    main(int(e), int(k), int(h), int(i), [int(c) for c in t.split(",")], name, int(number))
