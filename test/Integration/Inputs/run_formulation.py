"""Compiles layers in every other formulation than grouped for a GPU and runs them on the emulated device.

usage: run_formulation.py FOLDER FORM TARGET native

FORM is a value of the fixed field `formulation`. Ids are those of the other execution tests: repeated,
-1, all to one expert, experts without a token, none at all.
"""

from dataclasses import replace

import batch
import layers
import run_layers
import shapes

BF16, F16 = shapes.PLAIN[1:3]
# Extents that no tile divides, experts of one token each, one expert, more choices than experts.
LAYERS = (
    shapes.Layer("odd", BF16, experts=5, topk=3, hidden=72, inner=40),
    shapes.Layer("wide", BF16, experts=3, topk=2, hidden=328, inner=272),
    shapes.Layer("one", BF16, experts=1, topk=1, hidden=64, inner=64),
    shapes.Layer("f16", F16, experts=4, topk=4),
    shapes.Layer("map", BF16, experts=6, topk=2, hidden=96, inner=48, global_experts=17),
    shapes.Layer("relu2", BF16, activation="relu2", gate_up="", experts=7, topk=1),
    shapes.Layer("interleaved", BF16, gate_up="interleaved", hidden=160, inner=96),
)
# Values of one expert behind the sum over experts have no place.
BIAS = shapes.Layer("bias", BF16, activation="swiglu_oai", gate_up="interleaved", bias=True)
COMBINE = shapes.Layer("combine", BF16, hidden=80, inner=48, weight_place="combine")
SHARED = shapes.Layer("shared", BF16, hidden=80, inner=48, shared=48)


def generate(folder, form, target):
    rows = (BIAS, COMBINE, SHARED) if form != "dense_sum" else ()
    shapes.TOKENS = (1, 2, 7, 33, 150)
    for layer in LAYERS + rows:
        layer = replace(layer, name=f"{form}_{layer.name}")
        text = layers.layer_mlir(layer)
        head, body = text[:text.index("func.func")], text[text.index("func.func"):]
        text = f'{head}module attributes {{moe.select = {{fix = "formulation={form}"}}}} {{\n{body}}}\n'
        path = batch.write(folder, layer.name, text)
        ids = run_layers.write_ids(folder, layer)
        yield f"{path} --emulate --target {target} --topk-ids {ids} --check"


if __name__ == "__main__":
    batch.main(generate)
