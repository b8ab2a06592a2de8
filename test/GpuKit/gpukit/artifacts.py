# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The compiled layers of the kit."""

import json
import os
import re

from .shapes import MODELS, Shape


class Artifact:
    """A folder with a manifest.json, and what the kit needs to know of it."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
            self.manifest = json.load(file)
        facts = self.manifest["layer"]
        dims = facts.get("dims") or {}
        self.name = os.path.basename(self.folder)
        self.dtype = str(dims.get("dtype", "bf16"))
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
        if self.dtype not in ("bf16", "f16", "f32"):
            return f"{self.dtype} weights are not made by this kit"
        missing = {"x", "topk_ids", "topk_weights", "w1", "w2"} - set(self.inputs)
        optional = {argument["name"] for argument in self.manifest["arguments"]
                    if argument.get("optional")}
        extra = set(self.inputs) - {"x", "topk_ids", "topk_weights", "w1", "w2"} - optional
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
    """(moec.Layer, w1, w2), the weights in the layout its kernels want."""
    import moec
    layer = moec.load(artifact.folder, target="cuda")
    packed = [getattr(weights, name) for name in ("w1", "w2")]
    for i, name in enumerate(("w1", "w2")):
        raw = next(a for a in artifact.manifest["arguments"] if a["name"] == name)
        if raw.get("packed_by"):
            packed[i] = layer.pack(name, packed[i])
    return layer, packed[0], packed[1]
