"""Artifacts for the Python tests: manifests around the hand-written kernels of test/Runtime."""

import contextlib
import json
import os
import shutil
import struct
import tempfile

import numpy as np

SOURCE = os.environ["MOEC_TEST_SOURCE"]
KERNELS = os.environ["MOEC_TEST_KERNELS"]


@contextlib.contextmanager
def artifact(manifest, files=()):
    """A directory with this manifest (dict or text), the kernels as toy.so, and `files` (bytes)."""
    folder = tempfile.mkdtemp(prefix="moec-python-")
    try:
        with open(os.path.join(folder, "manifest.json"), "w", encoding="utf-8") as file:
            file.write(manifest if isinstance(manifest, str) else json.dumps(manifest))
        shutil.copy(KERNELS, os.path.join(folder, "toy.so"))
        for name in files:
            with open(os.path.join(folder, name), "wb") as file:
                file.write(files[name])
        yield folder
    finally:
        shutil.rmtree(folder)


def cubin(text):
    """What the run time takes for a whole cubin, around this text."""
    return code_object(text, 190)


def code_object(text, machine):
    """An ELF file for this machine."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, machine, 1, 0, 0, 64, 0, 64, 0,
                         0, 64, 2, 0)
    section = struct.pack("<IIQQQQIIQQ", 0, 1, 0, 0, 64 + 128, len(text), 0, 0, 1, 0)
    return header + bytes(64) + section + text.encode()


def toy():
    """The manifest of test/Runtime/Inputs: y = 2 * (reversed x + 1) + bias."""
    with open(os.path.join(SOURCE, "test/Runtime/Inputs/toy.json"), encoding="utf-8") as file:
        return json.load(file)


def toy_result(x, bias=None):
    return 2 * (x[::-1] + 1) + (0 if bias is None else bias)


def cpu(kernel, args, tokens=(1, None), workspace=()):
    """A variant of one launch."""
    return {"target": "cpu", "isa": "x86-64", "tokens": list(tokens), "code": "toy.so",
            "workspace": list(workspace), "launches": [{"kernel": kernel, "args": args}]}


def tensor(name, dtype, shape, role="input", **more):
    return {"name": name, "dtype": dtype, "shape": shape, "role": role, **more}


def manifest(name, arguments, variants, **layer):
    return {"moec": "0.1.0", "format": 1, "layer": {"name": name, **layer},
            "arguments": arguments, "variants": variants}


def moe(experts=4, topk=2, hidden=8, inner=6, name="moe", **layer):
    """A whole layer in f32."""
    args = [{"arg": i} for i in range(6)] + [{"workspace": 0}, {"dim": "T"}] + [
        {"dim": n} for n in (experts, topk, hidden, inner)]
    return manifest(
        name,
        [tensor("x", "f32", ["T", hidden]), tensor("topk_ids", "i32", ["T", topk]),
         tensor("topk_weights", "f32", ["T", topk]),
         tensor("w1", "f32", [experts, 2 * inner, hidden]),
         tensor("w2", "f32", [experts, hidden, inner]),
         tensor("y", "f32", ["T", hidden], "output")],
        [cpu("toy_moe", args, workspace=[{"per_worker": 4 * inner, "align": 8}])],
        dims={"E": experts, "k": topk, "H": hidden, "I": inner}, **layer)


def moe_inputs(tokens, experts=4, topk=2, hidden=8, inner=6, seed=0):
    """hidden_states, w1, w2, topk_weights, topk_ids; some ids are -1."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((tokens, hidden), np.float32),
            rng.standard_normal((experts, 2 * inner, hidden), np.float32),
            rng.standard_normal((experts, hidden, inner), np.float32),
            rng.random((tokens, topk), np.float32),
            rng.integers(-1, experts, (tokens, topk), np.int32))


def moe_reference(x, w1, w2, weights, ids):
    """In float64."""
    x, w1, w2 = (a.astype(np.float64) for a in (x, w1, w2))
    inner = w2.shape[2]
    y = np.zeros(x.shape)
    for t in range(x.shape[0]):
        for weight, e in zip(weights[t], ids[t]):
            if e >= 0:
                both = w1[e] @ x[t]
                gate, up = both[:inner], both[inner:]
                y[t] += weight * (w2[e] @ (gate / (1 + np.exp(-gate)) * up))
    return y
