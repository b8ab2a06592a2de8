"""Compiles layers for NVIDIA GPUs and runs them on the emulated device against the reference.

usage: run_emulated.py FOLDER GROUP TARGET native

The targets are sm_90a, sm_80, ... The groups are `features`, all that a layer of 16-bit types or of packed weights
can have, and `some` of them. Token counts and expert ids are those of the CPU's execution tests up to
33 tokens: none, one, all to one expert, ids of -1, experts without a token.
"""

from dataclasses import replace

import batch
import layers
import run_layers
import shapes

SOME = ("interleaved", "swiglu_oai", "relu2", "bias", "map", "input")
PACKED = ("w4a16_g128_bias", "w4a16_g128_interleaved")
MORE_PACKED = ("w4a16_g128_even", "w4a16_g128_wide", "w4a16_g128_exllama_even",
               "w4a16_g128_exllama_wide", "w4a16_g128_exllama_interleaved",
               "w4a16_g128_exllama_bias")


def group_layers(group):
    for layer in shapes.feature_layers():
        feature = layer.name.split("_", 1)[1]
        # f32 has no products.
        if layer.format.name != "bf16":
            continue
        if group == "features" or feature in SOME:
            yield layer
        if group == "features" and feature in SOME:
            yield replace(layer, name=f"f16_{feature}", format=shapes.PLAIN[2])
    for layer in shapes.quantised_layers():
        if layer.name in PACKED or (group == "features" and layer.name in MORE_PACKED):
            yield layer


def generate(folder, group, target):
    shapes.TOKENS = (0, 1, 2, 7, 33)
    for layer in group_layers(group):
        path = batch.write(folder, layer.name, layers.layer_mlir(layer))
        ids = run_layers.write_ids(folder, layer)
        yield f"{path} --emulate --target {target} --topk-ids {ids} --check"


if __name__ == "__main__":
    batch.main(generate)
