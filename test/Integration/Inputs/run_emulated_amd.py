"""Compiles layers for AMD GPUs and runs them on the emulated device against the reference.

usage: run_emulated_amd.py FOLDER GROUP native

Of the groups `pairs` gives every feature of a layer of 16-bit types to one chip per type, in turn, and
layers of 8-bit floats and of packed weights to one chip each; `product` gives all to every chip. Token counts and expert ids are those
of the CPU's execution tests up to 33 tokens: none, one, all to one expert, ids of -1, experts without a token.
`roles` has layers of packed weights for RDNA3 whose operands a role of their own brings and decodes.
"""

import os
import subprocess
import sys
from dataclasses import replace

import batch
import layers
import run_layers
import shapes

QUANTISED = tuple(f"{kind}_{form}" for kind in ("fp8_block", "w4a16_g128") for form in ("even", "wide", "interleaved", "bias"))
CHIPS = ("gfx942", "gfx950", "gfx1100", "gfx1151", "gfx1201")


def group_layers(group):
    """(layer, chip)"""
    number = 0

    def on_chips(layer):
        nonlocal number
        number += 1
        for chip in CHIPS if group == "product" else (CHIPS[number % len(CHIPS)],):
            yield replace(layer, name=f"{layer.name}_{chip}"), chip

    for layer in shapes.feature_layers():
        feature = layer.name.split("_", 1)[1]
        # A dense formulation has no kernels for GPUs; f32 no products. Of blocks of 8 gate and 8 up rows a
        # wave's 16 columns hold both, which meet in no lane: refused when compiled.
        if layer.format.name != "bf16" or feature in ("dense", "blocks_8_up_first"):
            continue
        for fmt in shapes.PLAIN[1:3]:
            yield from on_chips(replace(layer, name=f"{fmt.name}_{feature}", format=fmt))
    for layer in shapes.quantised_layers():
        if layer.name in QUANTISED:
            yield from on_chips(layer)


def with_roles(path, chip, load_threads):
    """Chooses configurations for the module and gives those that decode on the way a load role; the new path."""
    done = subprocess.run(["moe-compile", path, "--target", chip, "--tokens", "256", "--emit", "moe"],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    text = done.stdout.replace('b_place = "transform"', f'b_place = "transform", load_threads = {load_threads}')
    assert text != done.stdout, path
    text = text.replace("stages = 1", "stages = 2")
    return batch.write(os.path.dirname(path), f"{os.path.basename(path)[:-5]}_roles", text)


def role_layers():
    """(layer, chip, threads of the role)"""
    layers_of = [layer for layer in shapes.quantised_layers() if layer.name.startswith("w4a16_g128_") and "exllama" not in layer.name]
    for number, layer in enumerate(layers_of):
        for chip in ("gfx1100", "gfx1151"):
            yield replace(layer, name=f"{layer.name}_{chip}"), chip, (64, 32)[number % 2]


def generate(folder, group):
    shapes.TOKENS = (0, 1, 2, 7, 33)
    for layer, chip, threads in role_layers() if group == "roles" else ():
        path = with_roles(batch.write(folder, layer.name, layers.layer_mlir(layer)), chip, threads)
        # The module has lost its dtype, and ids for arguments of their own.
        yield f"{path} --emulate --target {chip} --tokens 0,1,2,7,33,100 --check --tolerance 1e-2"
    for layer, chip in group_layers(group) if group != "roles" else ():
        path = batch.write(folder, layer.name, layers.layer_mlir(layer))
        ids = run_layers.write_ids(folder, layer)
        yield f"{path} --emulate --target {chip} --topk-ids {ids} --check"


if __name__ == "__main__":
    batch.main(generate)
