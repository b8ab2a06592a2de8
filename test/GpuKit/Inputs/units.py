"""The parts of the kit that need no PyTorch: units.py GPUKIT-PARENT TINY"""

import json
import os
import sys
import tempfile

sys.path.insert(0, sys.argv[1])
from gpukit import artifacts, bench, check, kernels, report, shapes  # noqa: E402


class Options:
    """What the command line leaves open."""

    dtypes = None


# The floors of the recorded table, which is rounded to four digits.
recorded = shapes.recorded_peers()
assert len(recorded) == 42
for (model, tokens, routing), cell in recorded.items():
    floor = shapes.floor(shapes.MODELS[model], tokens, cell["active"], 3.11e12, 7.94e14)
    assert abs(floor.microseconds / cell["floor_us"] - 1) < 1e-3, cell
    assert floor.bound == ("arithmetic" if (model, tokens) in (
        ("qwen3-30b-a3b", 16384), ("qwen3.5-35b-a3b", 16384), ("mixtral-8x7b", 4096),
        ("mixtral-8x7b", 16384)) else "memory"), cell

# Weights of one byte and their scales; arithmetic of 8 bits.
recorded = shapes.recorded_peers("fp8-block")
assert len(recorded) == 28
for (model, tokens, routing), cell in recorded.items():
    floor = shapes.floor(shapes.MODELS[model], tokens, cell["active"], 3.11e12, 1.518e15,
                         "fp8-block")
    assert abs(floor.microseconds / cell["floor_us"] - 1) < 2e-3, (cell, floor)

# Weights of half a byte and their scales.
recorded = shapes.recorded_peers("w4a16-g128")
assert len(recorded) == 14
for (model, tokens, routing), cell in recorded.items():
    floor = shapes.floor(shapes.MODELS[model], tokens, cell["active"], 3.11e12, 7.94e14,
                         "w4a16-g128")
    assert abs(floor.microseconds / cell["floor_us"] - 1) < 2e-3, (cell, floor)

qwen, mixtral = shapes.MODELS["qwen3-30b-a3b"], shapes.MODELS["mixtral-8x7b"]
for shape, tokens, routing, floor, peer, limit in [
        (qwen, 1, "zipf1", 97.0, None, 112.0), (qwen, 16, "zipf1", 97.0, None, 110.0),
        (qwen, 16, "zipf1", 970.0, None, 1028.2), (qwen, 256, "zipf1", 970.0, None, 1057.3),
        (qwen, 1024, "zipf1", 100.0, None, 115.0), (mixtral, 1024, "zipf1", 100.0, None, 145.0),
        (mixtral, 1024, "balanced", 100.0, None, 130.0), (qwen, 4096, "zipf1", 100.0, None, 160.0),
        (qwen, 4096, "balanced", 100.0, None, 145.0), (qwen, 16384, "zipf1", 100.0, None, 125.0),
        (qwen, 16384, "zipf1", 100.0, 119.0, 119.0), (qwen, 16384, "zipf1", 100.0, 130.0, 125.0)]:
    found = shapes.limit(shape, tokens, routing, floor, peer)
    assert abs(found - limit) < 1e-6, (shape.name, tokens, routing, found, limit)

deepseek = shapes.MODELS["deepseek-v3-tp8"]
for shape, tokens, limit in [(qwen, 1, 112.0), (qwen, 16, 113.0928), (qwen, 256, 1100.0),
                             (qwen, 1024, 135.0), (qwen, 4096, 170.0), (qwen, 16384, 150.0),
                             (deepseek, 16384, 220.0)]:
    floor = 97.0 if tokens == 1 else 1000.0 if tokens == 256 else 100.0
    found = shapes.limit(shape, tokens, "zipf1", floor, None, "fp8-block")
    assert abs(found - limit) < 1e-3, (shape.name, tokens, found, limit)

for tokens, limit in [(1, 112.0), (16, 120.0), (256, 120.0), (1024, 160.0), (4096, 180.0),
                      (16384, 160.0)]:
    found = shapes.limit(qwen, tokens, "zipf1", 97.0 if tokens == 1 else 100.0, None, "w4a16-g128")
    assert abs(found - limit) < 1e-3, (tokens, found, limit)

assert shapes.padded_rows([0, 1, 64, 65], 64) == 64 + 64 + 128
assert shapes.flops(qwen, 8) == 8 * 6 * 2048 * 768

found, refused = artifacts.find([sys.argv[2]])
tiny = found[0]
assert refused == [] and tiny.shape == shapes.Shape("tiny", 8, 2, 64, 48), (refused, tiny.shape)
assert tiny.problem() is None and not tiny.deterministic()
assert [tiny.block_rows(tokens) for tokens in (1, 16, 17, 301)] == [16, 16, 64, 1]
assert [tiny.covers(tokens) for tokens in (0, 1, 300, 301)] == [False, True, True, False]
assert check.huge_tokens(tiny) is None
assert bench.work_groups(Options, [(tiny.shape, 1, "one"), (qwen, 1, "one")],
                         {tiny.shape: [tiny]}) == [(tiny.shape, "bf16"), (qwen, "bf16")]
tiny.dtype = "fp8-block"
assert tiny.problem() == "its inputs are x, topk_ids, topk_weights, w1, w2"
tiny.inputs += ["w1_scale", "w2_scale"]
assert tiny.problem() is None
assert bench.work_groups(Options, [(tiny.shape, 1, "one")],
                         {tiny.shape: [tiny]}) == [(tiny.shape, "fp8-block")]
Options.dtypes = "bf16"
assert bench.work_groups(Options, [(tiny.shape, 1, "one")], {tiny.shape: [tiny]}) == []
i4 = "#moe.quant<i4, granule = [1, 64], scale = bf16, zero = 8, packing = low_even>"
assert artifacts.dtype_of({"dtype": "f16"}) == "f16"
assert artifacts.dtype_of({"dtype": "bf16", "w1_quant": i4, "w2_quant": i4}) == "w4a16-g64"
assert artifacts.dtype_of({"dtype": "bf16", "w1_quant": i4}) == i4
tiny.dtype = "int7"
assert tiny.problem() == "int7 weights are not made by this kit"
tiny.dtype, tiny.inputs = "bf16", tiny.inputs[:-1]
assert tiny.problem() == "its inputs are x, topk_ids, topk_weights, w1, w2, w1_scale"
assert artifacts.find(["/nowhere"]) == ([], [("/nowhere", "no manifest.json in it or below it")])

# Products for `run kernels`: by expert, spread over slots, few rows.
sizes = {"tokens": [0, 256], "target": "sm_90a", "code": "few-sm_90a-t256-0.cubin", "config": [],
         "launches": [{"kernel": "align", "args": [{"arg": 1}]},
                      {"kernel": "gemm", "args": [{"arg": 0}, {"tensor_map": {"of": {"arg": 2}}}]}]}
for k, E, expected in ((1, 8, [8, 16, 32, 64, 128, 256]), (1, 1, [256, 4096]), (2, 8, [256, 4096])):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "manifest.json"), "w", encoding="utf-8") as file:
            last = {**sizes, "tokens": [257, None], "code": "few-sm_90a-t4096-0.cubin"}
            json.dump({"arguments": [
                {"name": name, "shape": shape} for name, shape in (
                    ("x", ["T", 64]), ("topk_ids", ["T", k]), ("w1", [E, 32, 64]),
                    ("out", ["T", 32] if k == 1 else ["T", k, 32]))],
                "variants": [sizes] if E == 8 and k == 1 else [sizes, last]}, file)
        product = kernels.find([folder])[0]
        assert product.tokens() == expected, product.tokens()
        assert product.product_launch(10) == 1
        assert product.flops(10) == 2 * 10 * k * 32 * 64
        assert product.moved_bytes(10) == 2 * (E * 32 * 64 + 10 * 64 + 10 * k * 32)
        assert product.out_shape(10) == ((10, 32) if k == 1 else (10, 2, 32))
assert kernels.find(["/nowhere"]) == []

# What they are made of follows from their scales; every byte counts once.
for scales, dtype, weight, row in (
        ({"x_scale": ["T", 2], "w1_scale": [3, 4, 2]}, "fp8-block", 256 + 4 / 64, 256 + 8),
        ({"x_scale": [1, 1], "w1_scale": [3, 1, 1]}, "fp8-tensor", 256 + 4 / 512, 256),
        ({"w1_scale": [3, 512, 2]}, "w4a16-g128", 128 + 4, 512)):
    with tempfile.TemporaryDirectory() as folder:
        eight = dtype.startswith("fp8")
        element = {"x": "f8E4M3FN" if eight else "bf16", "w1": "f8E4M3FN" if eight else "i8",
                   "w1_scale": "f32" if eight else "bf16", "x_scale": "f32"}
        with open(os.path.join(folder, "manifest.json"), "w", encoding="utf-8") as file:
            json.dump({"arguments": [
                {"name": name, "shape": shape, "dtype": element.get(name, "bf16")}
                for name, shape in {"x": ["T", 256], "topk_ids": ["T", 1], "out": ["T", 512],
                                    "w1": [3, 512, 256 if eight else 128], **scales}.items()],
                       "variants": [sizes]}, file)
        product = kernels.find([folder])[0]
        assert (product.dtype, product.K, product.N) == (dtype, 256, 512), product.dtype
        weights = 3 * 512 * weight
        assert abs(product.moved_bytes(10) - weights - 10 * (row + 2 * 512)) <= 4, product.bytes

assert report.verdict({"results": [], "limit_us": 1.0}) == "-"
assert report.title({"model": "a"}) == "a"
assert report.title({"model": "a", "dtype": "fp8-block"}) == "a fp8-block"
print("all right")
