"""Compiles layers for AMD GPUs and runs them on the emulated device against the reference.

usage: run_emulated_amd.py FOLDER GROUP native

Of the groups `pairs` gives every feature of a layer of 16-bit types to one chip per type, in turn, and
layers of 8-bit floats and of packed weights to one chip each; `product` gives all to every chip. Token counts and expert ids are those of the CPU's execution
tests up to 33 tokens: none, one, all to one expert, ids of -1, experts without a token.
"""

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


def generate(folder, group):
    shapes.TOKENS = (0, 1, 2, 7, 33)
    for layer, chip in group_layers(group):
        path = batch.write(folder, layer.name, layers.layer_mlir(layer))
        ids = run_layers.write_ids(folder, layer)
        yield f"{path} --emulate --target {chip} --topk-ids {ids} --check"


if __name__ == "__main__":
    batch.main(generate)
