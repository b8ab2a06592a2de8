# RUN: %python %s %moec_src
"""The scripts behind ./dev bench and ./dev demo: rows, goals, tables, the peer."""

import io
import os
import sys
from contextlib import redirect_stdout

import numpy as np

sys.path.insert(0, os.path.join(sys.argv[1], "test", "support"))

import bench  # pylint: disable=wrong-import-position
import demo  # pylint: disable=wrong-import-position
import numpy_layer  # pylint: disable=wrong-import-position


def case(tokens, cold, share, passed=True):
    return {"tokens": tokens, "variant": "cpu avx2", "workers": 2, "peak_memory_bytes": 2e9,
            "check": {"rel_err": 1.3e-3, "tolerance": 4e-3, "rows": 1, "passed": passed},
            "bench": {"cold_seconds": cold, "warm_seconds": cold, "tokens_per_second": tokens / cold,
                      "bytes_per_second": 1e10, "read_bandwidth": 2e10, "of_read_bandwidth": share,
                      "flops_per_second": 5e9}}


# Goals: bandwidth at one token, the peer elsewhere, nothing where nothing is promised.
row = bench.make_row("bf16", case(1, 0.01, 0.9), {"gemm_seconds": 0.02, "layer_seconds": 0.03})
assert row["reached"] is True and row["goal"] == 0.85 and abs(row["speed_up"] - 2) < 1e-12
assert bench.make_row("bf16", case(1, 0.01, 0.8), None)["reached"] is False
peer = {"gemm_seconds": 0.07, "layer_seconds": 0.08}
assert bench.make_row("bf16", case(64, 0.01, 0.1), peer)["reached"] is True
assert bench.make_row("bf16", case(64, 0.02, 0.1), peer)["reached"] is False
assert bench.make_row("fp8-block", case(64, 0.01, 0.1), peer)["reached"] is None
assert bench.make_row("f32", case(1024, 0.01, 0.1), None)["goal"] is None

text = bench.table([row, bench.make_row("f32", case(64, 0.02, 0.1, passed=False), peer)])
lines = text.splitlines()
assert len({len(line) for line in lines}) == 1, text
assert "85% reached" in lines[2] and "4.0x missed" in lines[3] and "FAILED" in lines[3], text

out = io.StringIO()
with redirect_stdout(out):
    demo.print_table([demo.make_cells("bf16", case(16, 0.01, 0.5)),
                      demo.make_cells("fp8-block", {**case(1, 0.01, 0.5), "check": {
                          "rel_err": None, "tolerance": 1e-2, "rows": 1, "passed": False}})])
text = out.getvalue()
assert "rel_err=1.3e-03 " in text and "rel_err=nan FAILED" in text, text

# The peer computes the layer: against a plain loop over tokens.
random = np.random.default_rng(0)
w1 = random.standard_normal((4, 12, 8)).astype(np.float32)
w2 = random.standard_normal((4, 8, 6)).astype(np.float32)
x = random.standard_normal((9, 8)).astype(np.float32)
ids = numpy_layer.sample_ids("zipf1", 9, 4, 2, 3)
weights = random.random((9, 2)).astype(np.float32)
y, seconds = numpy_layer.run_layer(x, ids, weights, w1, w2)
assert seconds > 0
for t in range(9):
    wanted = np.zeros(8)
    for j in range(2):
        both = w1[ids[t, j]].astype(np.float64) @ x[t]
        hidden = both[:6] / (1 + np.exp(-both[:6])) * both[6:]
        wanted += weights[t, j] * (w2[ids[t, j]] @ hidden)
    assert np.allclose(y[t], wanted, rtol=1e-4, atol=1e-4), t
for name in ("balanced", "uniform", "zipf1", "zipf2", "hot16"):
    ids = numpy_layer.sample_ids(name, 50, 64, 4, 1)
    assert ids.shape == (50, 4) and ids.min() >= 0 and ids.max() < 64
    assert all(len(set(token)) == 4 for token in ids), name
