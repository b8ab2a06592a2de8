"""Compiles and runs a group of layers against the reference.

usage: run_layers.py FOLDER GROUP ISA [--reference]

Writes modules and expert ids into FOLDER and runs all of them in one process
of moe-run. With --reference the interpreter runs in the place of kernels. ISA
is an instruction set or `native`.
"""

import os

import numpy as np

import batch
import dtypes
import layers
import shapes


def write_ids(folder, layer):
    """All styles for all token counts; the paths, joined by commas."""
    experts = layer.global_experts or layer.experts
    paths = []
    for tokens in shapes.TOKENS:
        # Every style at one count; the others alternate.
        styles = layers.STYLES if tokens == 33 else ("any",) if tokens % 2 == 0 else ("one", "any")
        for style in styles:
            path = os.path.join(folder, f"{style}-{tokens}-{layer.topk}-{experts}.npy")
            if not os.path.exists(path):
                np.save(path, layers.expert_ids(style, tokens, layer.topk, experts))
            paths.append(path)
    return ",".join(paths)


GROUPS = {**shapes.GROUPS, "dtypes": lambda: dtypes.layers(dtypes.pairs()),
          "all_dtypes": lambda: dtypes.layers(dtypes.products())}


def generate(folder, group):
    for layer in GROUPS[group]():
        path = batch.write(folder, layer.name, layers.layer_mlir(layer))
        yield f"{path} --topk-ids {write_ids(folder, layer)} --check"


if __name__ == "__main__":
    batch.main(generate)
