"""Compiles and runs a group of layers against the reference.

usage: run_layers.py FOLDER GROUP ISA [--reference]

Writes modules and expert ids into FOLDER and runs all of them in one process
of moe-run. With --reference the interpreter runs in the place of kernels.
"""

import os
import subprocess
import sys

import numpy as np

import layers
import shapes


def write_ids(folder, layer):
    """All styles for all token counts; the paths, joined by commas."""
    experts = layer.global_experts or layer.experts
    paths = []
    for tokens in shapes.TOKENS:
        # Every style at the largest count; the smaller ones alternate.
        styles = layers.STYLES if tokens == max(shapes.TOKENS) else ("any", "one")
        for style in styles:
            path = os.path.join(folder, f"{style}-{tokens}-{layer.topk}-{experts}.npy")
            if not os.path.exists(path):
                np.save(path, layers.expert_ids(style, tokens, layer.topk, experts))
            paths.append(path)
    return ",".join(paths)


def main(folder, group, isa, *rest):
    os.makedirs(folder, exist_ok=True)
    lines = []
    for layer in shapes.GROUPS[group]():
        path = os.path.join(folder, layer.name + ".mlir")
        with open(path, "w", encoding="utf-8") as file:
            file.write(layers.layer_mlir(layer))
        lines.append(f"{path} --topk-ids {write_ids(folder, layer)} --check --check-rows 0 "
                     f"--workers 2 --isa {isa} {' '.join(rest)}")
    batch = os.path.join(folder, "batch.txt")
    with open(batch, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return subprocess.run(["moe-run", "--batch", batch], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
