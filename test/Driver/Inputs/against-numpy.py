"""Feeds tensors from files to moe-run and compares its result with NumPy's.

usage: against-numpy.py FOLDER (which holds layer.mlir: E = 4, k = 2, H = 8, I = 4, f32)
"""

import json
import os
import struct
import subprocess
import sys

import numpy as np

FOLDER = sys.argv[1]
TOKENS, EXPERTS, TOPK, HIDDEN, INNER = 19, 4, 2, 8, 4
random = np.random.default_rng(7)
tensors = {
    "x": random.standard_normal((TOKENS, HIDDEN)).astype(np.float32),
    "topk_ids": random.integers(-1, EXPERTS, (TOKENS, TOPK)).astype(np.int32),
    "topk_weights": random.random((TOKENS, TOPK)).astype(np.float32),
    "w1": random.standard_normal((EXPERTS, 2 * INNER, HIDDEN)).astype(np.float32),
    "w2": random.standard_normal((EXPERTS, HIDDEN, INNER)).astype(np.float32),
}


def expected():
    y = np.zeros((TOKENS, HIDDEN))
    for t in range(TOKENS):
        for j in range(TOPK):
            e = tensors["topk_ids"][t, j]
            if e < 0:
                continue
            up = tensors["w1"][e].astype(np.float64) @ tensors["x"][t]
            gate = up[:INNER]
            # The first projection is rounded once, after the activation.
            hidden = np.float32(gate / (1 + np.exp(-gate)) * up[INNER:])
            y[t] += tensors["topk_weights"][t, j] * (tensors["w2"][e].astype(np.float64) @ hidden)
    return y


def path(name):
    return os.path.join(FOLDER, name)


def write_safetensors(file):
    kinds = {np.dtype(np.float32): "F32", np.dtype(np.int32): "I32"}
    header, data = {}, b""
    for name, value in tensors.items():
        header[name] = {"dtype": kinds[value.dtype], "shape": value.shape,
                        "data_offsets": [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    text = json.dumps(header).encode()
    with open(file, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


def check(files, what):
    command = ["moe-run", path("layer.mlir"), "--reference", "--tokens", str(TOKENS),
               "--output", path("y.npy")]
    for name, file in files.items():
        command += ["--input", f"{name}={file}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    actual, wanted = np.load(path("y.npy")), expected()
    assert actual.dtype == np.float32 and actual.shape == wanted.shape
    error = np.linalg.norm(actual - wanted) / np.linalg.norm(wanted)
    assert error < 1e-6, error
    print(what, "ok")


for key, tensor in tensors.items():
    np.save(path(key + ".npy"), tensor)
check({key: path(key + ".npy") for key in tensors}, "npy")
write_safetensors(path("all.safetensors"))
check({key: path("all.safetensors") for key in tensors}, "safetensors")

# Global experts 0..5; this rank holds 4 of them in another order.
text = open(path("layer.mlir"), encoding="utf-8").read()
text = text.replace("%out: tensor", "%map: tensor<6xi32>, %out: tensor", 1).replace(
    "activation <swiglu>", "map(%map : tensor<6xi32>) activation <swiglu>")
open(path("layer.mlir"), "w", encoding="utf-8").write(text)
local = np.array([2, -1, 0, 3, -1, 1], np.int32)
global_ids = random.integers(-1, 6, (TOKENS, TOPK)).astype(np.int32)
np.save(path("global.npy"), global_ids)
np.save(path("map.npy"), local)
tensors["topk_ids"] = np.where(global_ids < 0, -1, local[global_ids])
given = {key: path(key + ".npy") for key in tensors}
check({**given, "topk_ids": path("global.npy"), "expert_map": path("map.npy")}, "expert map")
