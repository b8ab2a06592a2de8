# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The runner of a sweep with a GPU that is made up: sweep-units.py GPUKIT-PARENT SCRATCH"""

import json
import os
import sys
import types

sys.path.insert(0, sys.argv[1])
os.makedirs(sys.argv[2], exist_ok=True)


class Tensor:
    def fill_(self, value):
        assert value != value  # Outputs are poisoned.


class Cuda:
    @staticmethod
    def synchronize():
        pass


fake = types.ModuleType("torch")
fake.cuda, fake.uint8 = Cuda, "uint8"
fake.empty = lambda *sizes, **rest: Tensor()
fake.empty_like = fake.empty
fake.ones = fake.empty
fake.float32 = "float32"
Cuda.Stream = staticmethod(lambda: None)
sys.modules["torch"] = fake

from gpukit import sweep, timing  # noqa: E402

# A layer by name: microseconds of its launches, or what it raises.
LAYERS = {"m8-000": (1, 20, 30, 1), "m8-001": (1, 10, 60, 1), "m64-002": (1, 40, 25, 1),
          "bad": ValueError("odd"), "chosen-t16": (1, 12, 26, 1), "chosen-t64": (1, 1, 1, 1)}


class Layer:
    def __init__(self, name):
        self.name = name

    def workspace_size(self, tokens):
        return 100 * tokens

    def __call__(self, launches=None, **rest):
        assert {"x", "topk_ids", "topk_weights", "out", "workspace", "w1"} <= set(rest)
        found = LAYERS[self.name]
        if isinstance(found, Exception):
            raise found
        Layer.last = sum(found if launches is None else found[launches.start:launches.stop])


class Clock:
    def __init__(self, torch):
        self.noise = 0

    def capture(self, work, warm_ups):
        work()
        took = Layer.last
        graph = types.SimpleNamespace()
        graph.replay = lambda: took
        return graph

    def sample(self, replay, count):
        self.noise += 1
        if self.noise in (2, 3, 4):
            # Something else runs there.
            return [replay() * 9 for i in range(count)]
        return [replay() + 0.001 * ((self.noise + i) % 3) for i in range(count)]


timing.Clock = Clock
folder = os.path.join(sys.argv[2], "tiny")
os.makedirs(folder, exist_ok=True)
items = [{"name": name, "block_m": 8, "up": "u", "down": "d"} for name in LAYERS
         if not name.startswith("chosen")]
chosen = [{"name": name, "block_m": 8, "up": "u", "down": "d", "tokens": int(name[8:])}
          for name in LAYERS if name.startswith("chosen")]
with open(os.path.join(folder, "sweep.json"), "w", encoding="utf-8") as file:
    json.dump({"format": 1, "model": "tiny", "dtype": "bf16", "artifacts": items,
               "chosen": chosen, "refused": []}, file)
assert sweep.find([sys.argv[2]]) == [folder] == sweep.find([folder])
assert sweep.find(["/nowhere"]) == []
found = sweep.Sweep(folder)
assert [item["name"] for item in found.cases(16)][-1] == "chosen-t16"
assert len(found.cases(16)) == 5 and len(found.cases(64)) == 5 and len(found.cases(1)) == 4
assert [item["name"] for item in sweep.Sweep(folder, "m8,bad").items] == ["m8-000", "m8-001", "bad"]

found.document["sizes"] = {"E": 4, "k": 2, "H": 64, "I": 32}
assert sweep.shape_of(found) == ("tiny", 4, 2, 64, 32)
found.document["model"] = "mixtral-8x7b"
assert sweep.shape_of(found).I == 14336
found.document["model"] = "tiny"
options = types.SimpleNamespace(out=sys.argv[2], rounds=2, replays=4, finalists=2, seconds=1.0,
                                no_reference=True, seed=0)
journal = os.path.join(sys.argv[2], "sweep-tiny-bf16.journal")
if os.path.exists(journal):
    os.remove(journal)
runner = sweep.Runner(fake, found, options)
opened = []


def open_layer(item, weights):
    opened.append(item["name"])
    return Layer(item["name"]), {"w1": 1, "w2": 2}, 1, 2


runner.open = open_layer
weights = types.SimpleNamespace(shape=types.SimpleNamespace(H=64))
inputs = types.SimpleNamespace(tokens=16, kind="zipf1", x=types.SimpleNamespace(dtype="bf16"),
                               ids=0, router=0, active=3, rows=32, counts=[30, 1, 1, 0])
cell = runner.cell(weights, inputs)
json.dumps(cell)
assert (cell["tokens"], cell["routing"], cell["counts"]) == (16, "zipf1", [30, 1, 1, 0])
results = {result["name"]: result for result in cell["results"]}
# What cannot run is left out and said.
assert set(results) == {"m8-000", "m8-001", "m64-002", "chosen-t16"}
assert runner.journal.bad == {"bad": "ValueError: odd"}
for name, result in results.items():
    for part, expected in zip(sweep.PARTS, (LAYERS[name][1], LAYERS[name][2], sum(LAYERS[name]))):
        assert abs(result[part] - expected) < 0.01, (name, part, result)
text = sweep.line(cell, "bf16")
assert "T=16 zipf1: 4 of 4 right" in text and "up m8-001 10.0 us, worst x4.0, chosen x1.200" in text
assert "down m64-002 25.0 us, worst x2.4, chosen x1.040" in text
cell["results"][0]["relative_error"] = 0.5
assert "3 of 4 right" in sweep.line(cell, "bf16")

# The next process leaves out what failed, and what the last one did not come back from.
runner.journal.write("begin m8-001")
again = sweep.Journal(journal)
assert again.bad == {"bad": "ValueError: odd", "m8-001": "did not come back"}
assert sweep.Journal(journal).bad == again.bad

# A GPU that is out of order ends the process.
LAYERS["m8-000"] = RuntimeError("CUDA error: an illegal memory access was encountered")
try:
    runner.cell(weights, inputs)
    raise AssertionError("went on")
except SystemExit as error:
    assert str(error).startswith("m8-000 failed; run again to go on without it"), error
assert "m8-000" in sweep.Journal(journal).bad

manifest = {"arguments": [{"name": "x"}, {"name": "w1"}, {"name": "w2"}],
            "variants": [{"launches": [{"args": [{"arg": 0}]},
                                       {"args": [{"tensor_map": {"of": {"arg": 1}}}]},
                                       {"args": [{"workspace": 1}, {"arg": 2}]}]}]}
assert (sweep.part_launch(manifest, "w1"), sweep.part_launch(manifest, "w2")) == (1, 2)
manifest["variants"][0]["launches"].pop()
try:
    sweep.part_launch(manifest, "w2")
    raise AssertionError("found one")
except ValueError as error:
    assert str(error) == "no launch reads w2"
print("all right")
