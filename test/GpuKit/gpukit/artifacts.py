# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The compiled layers of the kit."""

import json
import os
import re

from .shapes import MODELS, Shape
from .weights import STORAGE


# How weights are stored, as the compiler's attribute says, by the name of the dtype.
QUANT = {
    "fp8-block": "f8E4M3FN, granule = [128, 128], scale = f32",
    "w4a16-g128": "i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even",
    "w4a16-g64": "i4, granule = [1, 64], scale = bf16, zero = 8, packing = low_even",
    "w4a16-g32": "i4, granule = [1, 32], scale = bf16, zero = 8, packing = low_even",
    "w4a16-g128-exllama": "i4, granule = [1, 128], scale = bf16, zero = 8, packing = exllama",
    "w4a16-g128-zp": "i4, granule = [1, 128], scale = bf16, zero = operand, packing = low_even",
}


def dtype_of(dims):
    """The name of a layer's dtype from its dims; the attribute itself if it has none here."""
    quant = dims.get("w1_quant")
    if quant is None:
        return str(dims.get("dtype", "bf16"))
    names = [name for name, text in QUANT.items() if f"#moe.quant<{text}>" == quant]
    return names[0] if names and dims.get("w2_quant") == quant else str(quant)


class Artifact:
    """A folder with a manifest.json, and what the kit needs to know of it."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
            self.manifest = json.load(file)
        facts = self.manifest["layer"]
        dims = facts.get("dims") or {}
        self.name = os.path.basename(self.folder)
        self.dtype = dtype_of(dims)
        sizes = [dims.get(key) for key in ("E", "k", "H", "I")]
        self.shape = None
        if all(isinstance(size, int) for size in sizes):
            known = [shape for shape in MODELS.values() if list(shape[1:]) == sizes]
            self.shape = known[0] if known else Shape(facts["name"], *sizes)
        self.variants = [variant for variant in self.manifest["variants"]
                         if variant["target"].startswith("sm_")]
        self.inputs = [argument["name"] for argument in self.manifest["arguments"]
                       if argument["role"] == "input"]

    def problem(self):
        """Why the kit cannot run it; None if it can."""
        if not self.variants:
            return "no code for NVIDIA GPUs"
        if self.shape is None:
            return "its dims do not name E, k, H and I"
        if self.dtype not in STORAGE:
            return f"{self.dtype} weights are not made by this kit"
        wanted = {"x", "topk_ids", "topk_weights", *STORAGE[self.dtype].arguments}
        missing = wanted - set(self.inputs)
        optional = {argument["name"] for argument in self.manifest["arguments"]
                    if argument.get("optional")}
        extra = set(self.inputs) - wanted - optional
        if missing or extra:
            return "its inputs are " + ", ".join(self.inputs)
        return None

    def variant(self, tokens):
        for variant in self.variants:
            low, high = variant["tokens"]
            if tokens >= low and (high is None or tokens <= high):
                return variant
        return None

    def covers(self, tokens):
        return self.variant(tokens) is not None

    def block_rows(self, tokens):
        """Rows of a tile: the first number of the config's block; 1 if it does not say."""
        variant = self.variant(tokens)
        text = " ".join((variant or {}).get("config") or ())
        found = re.search(r"block = \[(\d+)", text)
        return int(found.group(1)) if found else 1

    def deterministic(self):
        return bool(self.manifest["layer"].get("deterministic"))


def find(folders):
    """(artifacts, [(folder, reason)]) of these folders and what lies in them."""
    found, refused = [], []
    for folder in folders:
        inside = [folder] if os.path.exists(os.path.join(folder, "manifest.json")) else sorted(
            os.path.join(folder, name) for name in (
                os.listdir(folder) if os.path.isdir(folder) else ())
            if os.path.exists(os.path.join(folder, name, "manifest.json")))
        if not inside:
            refused.append((folder, "no manifest.json in it or below it"))
        for path in inside:
            artifact = Artifact(path)
            reason = artifact.problem()
            if reason:
                refused.append((path, reason))
            else:
                found.append(artifact)
    return found, refused


def open_layer(artifact, weights):
    """(moec.Layer, {name: tensor}), the weights in the layout its kernels want."""
    import moec
    layer = moec.load(artifact.folder, target="cuda")
    packed = dict(weights.tensors)
    for argument in artifact.manifest["arguments"]:
        name = argument["name"]
        if name in packed and argument.get("packed_by"):
            packed[name] = layer.pack(name, packed[name])
    return layer, packed
