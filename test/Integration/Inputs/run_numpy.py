"""Compiles and runs layers, compares with NumPy code that shares nothing with moec.

usage: run_numpy.py FOLDER ISA

The reference interpreter takes no part: tensors are made and results are
checked here.
"""

import os
import subprocess
import sys

import numpy as np

import layers
import moec_cases
import moec_oracle as oracle
import shapes
from moec_oracle import Quant, Tensor

TOKENS = (1, 33)
# Bounds for a result rounded once to the type; with quantised activations the
# middle may fall on the other side of a tie.
TOLERANCE = {"f32": 2e-6, "bf16": 4e-3, "f16": 1e-3}
FP8 = Quant("f8E4M3FN", (128, 128))
FP8_ACT = Quant("f8E4M3FN", (1, 128))
QUANTS = {"fp8_block": FP8, "w4a16_g128": Quant("i4", (1, 128), "bf16", 8, "low_even"),
          "w4a16_g128_exllama": Quant("i4", (1, 128), "bf16", 8, "exllama"),
          "w4a16_zero": Quant("i4", (1, 128), "bf16", "operand", "low_even")}


def all_layers():
    f32, bf16, f16 = shapes.PLAIN
    for fmt in shapes.PLAIN:
        yield shapes.Layer(f"{fmt.name}_odd", fmt, experts=5, topk=3, hidden=67, inner=45)
    yield shapes.Layer("f32_map_bias", f32, global_experts=17, bias=True)
    yield shapes.Layer("f32_shared", f32, hidden=80, inner=48, shared=112)
    yield shapes.Layer("f32_oai", f32, hidden=80, inner=48, activation="swiglu_oai",
                       gate_up="interleaved", bias=True)
    yield shapes.Layer("f32_relu2", f32, hidden=80, inner=48, activation="relu2", gate_up="")
    yield shapes.Layer("f32_dense", f32, hidden=80, inner=48, formulation="dense")
    yield shapes.Layer("f32_blocks", f32, hidden=80, inner=48, gate_up="blocks 8, up_first")
    for fmt in shapes.QUANTISED + (shapes.W4A16_ZERO,):
        yield shapes.Layer(fmt.name, fmt, hidden=384, inner=256)


class Case:
    """Tensors of a layer; those that depend on the token count are made anew."""

    def __init__(self, folder, layer):
        self.layer, self.rng = layer, np.random.default_rng(len(layer.name))
        self.folder = os.path.join(folder, layer.name)
        self.files, self.values = {}, {}
        os.makedirs(self.folder, exist_ok=True)
        rows = layer.inner * (2 if layer.gate_up else 1)
        self.weight("w1", rows, layer.hidden)
        self.weight("w2", layer.hidden, layer.inner)
        if layer.bias:
            self.plain("b1", "f32", (layer.experts, rows))
            self.plain("b2", "f32", (layer.experts, layer.hidden))
        if layer.shared:
            self.plain("s1", layer.format.x, (2 * layer.shared, layer.hidden))
            self.plain("s2", layer.format.x, (layer.hidden, layer.shared))
            self.plain("sg", layer.format.x, (layer.hidden,))
        self.map = None
        if layer.global_experts:
            self.map = np.full(layer.global_experts, -1, np.int32)
            places = self.rng.permutation(layer.global_experts)[:layer.experts]
            self.map[places] = np.arange(layer.experts)
            self.save("map", Tensor("i32", self.map))

    def save(self, name, tensor):
        path = os.path.join(self.folder, name + ".npy")
        np.save(path, tensor.codes)
        self.files[name] = path
        return tensor.values()

    def plain(self, name, elem, shape):
        values = self.rng.standard_normal(shape) / np.sqrt(shape[-1])
        self.values[name] = self.save(name, Tensor.of(elem, values))

    def weight(self, name, rows, cols):
        quant = QUANTS.get(self.layer.format.name)
        if not quant:
            self.plain(name, self.layer.format.x, (self.layer.experts, rows, cols))
            return
        stored, scale, zero = quant.random(self.rng, (self.layer.experts,), rows, cols)
        self.save(name, stored)
        self.save(name + "_scale", scale)
        if zero:
            self.save(name + "_zero", zero)
        self.values[name] = quant.dequantise(stored, scale, zero)

    def line(self, tokens, isa):
        """Makes the rest for `tokens`; the command line and the wanted result."""
        layer = self.layer
        x = Tensor.of(layer.format.x, self.rng.standard_normal((tokens, layer.hidden)))
        ids = moec_cases.make_ids(self.rng, tokens, layer.topk,
                                  layer.global_experts or layer.experts, "mixed")
        local = oracle.local_experts(ids, self.map)
        # A slot of no expert of this rank contributes nothing, whatever its weight.
        weights = Tensor.of("f32", np.where(local < 0, np.nan, self.rng.random(ids.shape)))
        self.save("x", x)
        self.save("tw", weights)
        self.save("ids", Tensor("i32", ids))
        gate_up = None
        if layer.gate_up:
            words = layer.gate_up.replace(",", "").split()
            gate_up = (words[0], int(words[1]) if words[0] == "blocks" else 1,
                       "up_first" in words)
        v = self.values
        wanted = oracle.fused_experts(
            x, local, weights.values(), v["w1"], v["w2"],
            (layer.activation, {}), gate_up,
            FP8_ACT if layer.format.act_quant else None, "epilogue",
            (v["s1"], v["s2"], v["sg"]) if layer.shared else None,
            b1=v.get("b1"), b2=v.get("b2"))
        names = {"ids": "topk_ids", "tw": "topk_weights", "map": "expert_map", "s1": "shared_w1",
                 "s2": "shared_w2", "sg": "shared_gate"}
        inputs = [f"--input {names.get(name, name)}={path}" for name, path in self.files.items()
                  if name != "ids"]
        output = os.path.join(self.folder, "y.npy")
        return (f"{os.path.join(self.folder, 'layer.mlir')} --topk-ids {self.files['ids']} "
                f"{' '.join(inputs)} --output {output} --workers {1 + tokens % 3}"
                + (f" --isa {isa}" if isa != "native" else "")), output, wanted


def main(folder, isa):
    count = 0
    for layer in all_layers():
        case = Case(folder, layer)
        with open(os.path.join(case.folder, "layer.mlir"), "w", encoding="utf-8") as file:
            file.write(layers.layer_mlir(layer))
        tolerance = TOLERANCE[layer.format.x] * (1.5 if layer.format.act_quant else 1)
        for tokens in TOKENS:
            line, output, wanted = case.line(tokens, isa)
            done = subprocess.run(["moe-run", *line.split()], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode:
                sys.exit(f"{layer.name} T={tokens}: {line}\n{done.stdout}")
            problem = moec_cases.compare(layer.format.x, np.load(output), wanted, tolerance, None)
            if problem:
                sys.exit(f"{layer.name} T={tokens}: {problem}")
            count += 1
    print(f"{count} results agree with NumPy")


if __name__ == "__main__":
    main(*sys.argv[1:])
