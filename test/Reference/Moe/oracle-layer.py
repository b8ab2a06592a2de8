# fused_experts against NumPy: every activation, arrangement, dtype, option.
# RUN: rm -rf %t && mkdir -p %t
# RUN: %python %s %t | FileCheck %s
# RUN: %python %s %t accumulate=f32 threads=1 | FileCheck %s
# CHECK: results agree
import sys

import numpy as np

import moec_oracle as oracle
from moec_cases import Function, make_ids, run
from moec_oracle import Quant, Tensor

E, H, I, S = 5, 32, 24, 48  # experts, hidden, intermediate, shared intermediate
BLOCK_FP8 = Quant("f8E4M3FN", (8, 8))
TOKEN_FP8 = Quant("f8E4M3FN", (1, 8))
W4 = Quant("i4", (1, 8), "bf16", zero=8, packing="low_even")
W4_EX = Quant("i4", (1, 8), "bf16", zero="operand", packing="exllama")
MX = Quant("f4E2M1FN", (1, 8), "f8E8M0FNU", packing="mx")
NV = Quant("f4E2M1FN", (1, 8), "f8E4M3FN", packing="mx")
INT8 = Quant("i8", (1, None))

# One dictionary per layer; what is absent has its default. In f32 nothing is
# rounded on the way, so small errors of an activation show.
F32 = dict(x="f32", w="f32", out="f32")
LAYERS = [dict(act=kind, gate_up=gate_up, **F32) for kind, gate_up in [
    ("identity", None), ("silu", None), ("gelu", None), ("gelu_tanh", None), ("relu", None),
    ("relu2", None), ("swiglu", ("halves",)), ("geglu", ("interleaved",)),
    ("geglu_tanh", ("blocks", 4)), ("reglu", ("halves", 1, True)),
    ("swiglu_oai", ("interleaved", 1, True)), ("swiglu", ("blocks", 8, True))]]
LAYERS += [
    dict(options=dict(limit=0.5), **F32),
    dict(act="swiglu_oai", options=dict(alpha=1.25, limit=0.75), **F32),
    dict(act="geglu", options=dict(limit=0.25), **F32), dict(biases=True, map=True, **F32),
    dict(shared=True, gate=True, place="none", **F32), dict(globals=True, place="combine", **F32),
    dict(place="input", k=1, biases=True, **F32),
    dict(x="f16", w="f16", out="f16"), dict(F32), dict(out="f32"),
    dict(x="f32", w="bf16", out="bf16"), dict(ids="one"), dict(ids="none"), dict(ids="unique"),
    dict(ids="skewed", map=True), dict(map=True), dict(biases=True), dict(globals=True),
    dict(place="none"), dict(place="combine", biases=True), dict(place="input", k=1, biases=True),
    dict(place="input", k=1, map=True), dict(k=8),
    dict(w=BLOCK_FP8, act_quant=TOKEN_FP8), dict(w=BLOCK_FP8),
    dict(w=Quant("f8E4M3FN", (1, None)), act_quant=Quant("f8E4M3FN", (1, None))),
    dict(w=Quant("f8E4M3FN", (8, 8), layout="group_major"),
         act_quant=Quant("f8E4M3FN", (1, 8), layout="group_major")),
    dict(w=Quant("f8E4M3FNUZ", (8, 8)), act_quant=Quant("f8E4M3FNUZ", (1, 8))),
    dict(w=Quant("f8E5M2", (None, None))),
    dict(w=INT8, act_quant=Quant("i8", (1, None)), place="combine"),
    dict(w=W4), dict(w=W4_EX, biases=True), dict(w=W4, out="f32", map=True),
    dict(w=MX, biases=True, act="swiglu_oai", gate_up=("interleaved",)),
    dict(w=MX, act_quant=Quant("f8E4M3FN", (1, 8), "f8E8M0FNU")),
    dict(w=NV, globals=True), dict(w=NV, globals=True, act_quant=Quant(
        "f4E2M1FN", (1, 8), "f8E4M3FN", packing="mx")),
    dict(shared=True), dict(shared=True, gate=True, biases=True),
    dict(shared=True, gate=True, w=BLOCK_FP8, shared_quant=BLOCK_FP8, act_quant=TOKEN_FP8),
    dict(shared=True, act="relu2", gate_up=None, **F32),
    dict(shared=True, shared_quant=INT8, ids="none", place="none", gate=True),
]


def make_weight(rng, kind, shape):
    """Storage, scale, zero and values of a weight [..., rows, cols]."""
    if isinstance(kind, Quant):
        stored, scale, zero = kind.random(rng, shape[:-2], *shape[-2:])
        return stored, scale, zero, kind.dequantise(stored, scale, zero)
    tensor = Tensor.of(kind, rng.standard_normal(shape) / np.sqrt(shape[-1]))
    return tensor, None, None, tensor.values()


def weight_text(f, stored, scale, zero, kind, factor=None):
    text = f.typed(stored)
    for word, tensor in (("scale", scale), ("zero", zero), ("global", factor)):
        if tensor is not None:
            text += f" {word} {f.typed(tensor)}"
    return text + (f" quant {kind.text()}" if isinstance(kind, Quant) else "")


def layer_case(rng, tokens, number, layer):
    f = Function(f"layer_{number}")
    kind = layer.get("act", "swiglu")
    gate_up = layer.get("gate_up", ("halves",))
    options = layer.get("options", {})
    width = 2 if gate_up else 1
    k, w_kind = layer.get("k", 3), layer.get("w", "bf16")
    place, out_elem = layer.get("place", "epilogue"), layer.get("out", "bf16")

    x = Tensor.of(layer.get("x", "bf16"), rng.standard_normal((tokens, H)))
    ranks = 12 if layer.get("map") else E
    ids = make_ids(rng, tokens, k, ranks, layer.get("ids", "mixed"))
    weights = Tensor.of("f32", rng.random((tokens, k)))
    w1 = make_weight(rng, w_kind, (E, width * I, H))
    w2 = make_weight(rng, w_kind, (E, H, I))
    extras, expert_map = {}, None
    g1 = g2 = None
    if layer.get("globals"):
        g1, g2 = (Tensor.of("f32", rng.random(E) + 0.5) for _ in range(2))
        extras.update(g1=g1.values(), g2=g2.values())

    text = f"moe.fused_experts x({f.typed(x)})"
    (i, it), (t, tt) = f.arg(Tensor("i32", ids)), f.arg(weights)
    text += f" topk({i}, {t} : {it}, {tt})"
    text += f" w1({weight_text(f, *w1[:3], w_kind, g1)}) w2({weight_text(f, *w2[:3], w_kind, g2)})"
    if layer.get("biases"):
        b1 = Tensor.of("bf16", rng.standard_normal((E, width * I)))
        b2 = Tensor.of("f32", rng.standard_normal((E, H)))
        text += f" b1({f.typed(b1)}) b2({f.typed(b2)})"
        extras.update(b1=b1.values(), b2=b2.values())
    if layer.get("map"):
        expert_map = np.full(ranks, -1, np.int32)
        expert_map[rng.permutation(ranks)[:E]] = np.arange(E)
        text += f" map({f.typed(Tensor('i32', expert_map))})"
    shared = None
    if layer.get("shared"):
        s_kind = layer.get("shared_quant", "bf16")
        s1 = make_weight(rng, s_kind, (width * S, H))
        s2 = make_weight(rng, s_kind, (H, S))
        text += f" shared({f.typed(s1[0])}" + (f" scale {f.typed(s1[1])}" if s1[1] else "")
        text += f", {f.typed(s2[0])}" + (f" scale {f.typed(s2[1])}" if s2[1] else "")
        gate = None
        if layer.get("gate"):
            gate = Tensor.of("bf16", rng.standard_normal(H))
            text += f" gate {f.typed(gate)}"
        text += (f" quant {s_kind.text()}" if isinstance(s_kind, Quant) else "") + ")"
        shared = (s1[3], s2[3], gate.values() if gate else None)
    text += f" activation <{kind}" + "".join(f", {n} = {v:e}" for n, v in options.items()) + ">"
    if gate_up:
        word = gate_up[0] + (f" {gate_up[1]}" if gate_up[0] == "blocks" else "")
        text += f" gate_up <{word}{', up_first' if len(gate_up) > 2 else ''}>"
    act_quant = layer.get("act_quant")
    if act_quant:
        text += f" act_quant {act_quant.text()}"
    text += f" weight_place = {place}"
    out, out_type = f.out(out_elem, (tokens, H))
    f.line(f"%y = {text} outs({out} : {out_type}) -> {out_type}")
    wanted = oracle.fused_experts(
        x, oracle.local_experts(ids, expert_map), weights.values(), w1[3], w2[3],
        (kind, options), gate_up, act_quant, place, shared, **extras)
    # The middle is rounded in between, where sums in another order may fall on
    # the other side of a tie.
    tolerance = {"bf16": 4e-3, "f16": 1e-3, "f32": 1e-4 if act_quant is None else 3e-3}[out_elem]
    if x.elem == "f32" and act_quant is None and out_elem == "f32":
        tolerance = 2e-6
    if act_quant is not None and out_elem == "bf16":
        tolerance = 6e-3
    f.result("%y", out_elem, (tokens, H), wanted, tolerance)
    return f


def build(rng, tokens):
    return [layer_case(rng, tokens, n, layer) for n, layer in enumerate(LAYERS)]


if __name__ == "__main__":
    run(build, sys.argv[1], " ".join(sys.argv[2:]))
