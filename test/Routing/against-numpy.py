"""The generator and the archetypes against NumPy's own.

RUN: %python %s %moec_bin/bin/unittests/RoutingProbe %t
"""

import os
import subprocess
import sys

import numpy as np

probe, work = sys.argv[1:]
os.makedirs(work, exist_ok=True)
out = os.path.join(work, "out.npy")


def call(*args, code=0):
    done = subprocess.run([probe, *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == code, (args, done)
    return done.stderr


# A new case each time; the seed is printed so that a failure can be repeated.
entropy = int.from_bytes(os.urandom(4), "little")
print("entropy", entropy)
meta = np.random.default_rng(entropy)

# Draws, bit for bit: small, two-word and random seeds.
seeds = [0, 1, 42, 2**31, 2**32 - 1, 2**32, 2**64 - 1]
seeds += [int(s) for s in meta.integers(0, 2**64, 5, dtype=np.uint64)]
for seed in seeds:
    call("raw", seed, 1000, out)
    want = np.random.default_rng(seed).bit_generator.random_raw(1000)
    assert (np.load(out).view(np.uint64) == want).all(), seed
    call("random", seed, 1000, out)
    assert (np.load(out) == np.random.default_rng(seed).random(1000)).all(), seed
    call("gumbel", seed, 20000, out)
    assert (np.load(out) == np.random.default_rng(seed).gumbel(size=20000)).all(), seed


def popularity(name, experts):
    rank = np.arange(1, experts + 1, dtype=np.float64)
    if name == "uniform":
        return np.ones(experts)
    if name == "zipf1":
        return 1 / rank
    if name == "zipf2":
        return 1 / rank**2
    return np.where(rank <= 16, 1.0, 1e-6)


def sample(name, tokens, experts, topk, seed):
    rng = np.random.default_rng(seed)
    if name == "balanced":
        return np.resize(np.arange(experts), tokens * topk).reshape(tokens, topk)
    keys = np.log(popularity(name, experts) + 1e-12) + rng.gumbel(size=(tokens, experts))
    return np.argsort(-keys, axis=1, kind="stable")[:, :topk]


# Archetypes: the same experts in the same order, for any E and k.
shapes = [(1, 1, 1), (100, 8, 2), (64, 256, 8), (33, 17, 17), (50, 128, 4), (0, 64, 8)]
for name in ["balanced", "uniform", "zipf1", "zipf2", "hot16"]:
    for tokens, experts, topk in shapes:
        if name == "hot16" and experts <= 16:
            continue
        for seed in (0, 7, int(meta.integers(0, 2**40))):
            call("sample", name, tokens, experts, topk, seed, out)
            got = np.load(out)
            assert got.dtype == np.int32 and got.shape == (tokens, topk)
            assert (got == sample(name, tokens, experts, topk, seed)).all(), (name, seed)

# moe.align's reference against a plain NumPy construction.
for _ in range(20):
    experts, topk, block = (int(v) for v in meta.integers(1, [40, 9, 40]))
    tokens = int(meta.integers(0, 60))
    ids = meta.integers(-1, experts, (tokens, topk)).astype(meta.choice([np.int32, np.int64]))
    path = os.path.join(work, "ids.npy")
    np.save(path, ids)
    spare = tokens * topk + experts
    call("align", path, experts, block, spare, os.path.join(work, "a.safetensors"))
    with open(os.path.join(work, "a.safetensors"), "rb") as f:
        blob = f.read()
    size = int.from_bytes(blob[:8], "little")
    header = eval(blob[8 : 8 + size].decode(), {})  # JSON of plain dicts and lists

    def get(name):
        info = header[name]
        begin, end = info["data_offsets"]
        kind = {"I32": np.int32, "I64": np.int64}[info["dtype"]]
        return np.frombuffer(blob[8 + size + begin : 8 + size + end], kind)

    flat = ids.ravel()
    order, owners, offsets, padded = [], [], [0], [0]
    for e in range(experts):
        rows = np.flatnonzero(flat == e)
        blocks = -(-len(rows) // block)
        order += list(rows) + [tokens * topk] * (blocks * block - len(rows))
        owners += [e] * blocks
        offsets.append(offsets[-1] + len(rows))
        padded.append(padded[-1] + blocks * block)
    order += [tokens * topk] * (spare * block - len(order))
    owners += [-1] * (spare - len(owners))
    assert (get("sorted_ids") == order).all()
    assert (get("block_experts") == owners).all()
    assert (get("offsets") == offsets).all()
    assert (get("padded_offsets") == padded).all()

# Recorded ids that are wrong.
np.save(path, np.array([[0, 1], [2, 9]]))
assert "ids.npy: topk_ids: token 1, slot 1: expert id 9 is outside [-1, 9)" in call("check", path, 9, code=1)
call("check", path, 10)
np.save(path, np.array([[0.0, 1.0]]))
assert "must be i32 or i64, not f64" in call("check", path, 9, code=1)
np.save(path, np.asfortranarray(np.array([[0, 1, 2], [3, 4, 5]], np.int32)))
call("check", path, 6)
with open(path, "r+b") as f:
    f.truncate(100)
assert "truncated .npy" in call("check", path, 6, code=1)
