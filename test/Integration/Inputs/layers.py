"""Writes a layer of shapes.py as MLIR, and expert ids of every style."""

import math

import numpy as np


def _tensor(*parts):
    return "tensor<" + "x".join(str(part) for part in parts) + ">"


class _Text:
    """Arguments and clauses of one moe.fused_experts."""

    def __init__(self, layer):
        self.layer = layer
        self.arguments = []
        self.clauses = []

    def argument(self, name, kind):
        self.arguments.append(f"%{name}: {kind}")
        return f"%{name}"

    def weight(self, name, rows, cols):
        layer, fmt = self.layer, self.layer.format
        stored = fmt.weight or fmt.x
        kind = _tensor(layer.experts, rows, cols // fmt.per_stored, stored)
        text = f"{name}({self.argument(name, kind)} : {kind}"
        if fmt.quant:
            per_row, per_col = fmt.granule
            extents = [math.ceil(rows / (per_row or rows)), math.ceil(cols / (per_col or cols))]
            if fmt.group_major:
                extents.reverse()
            kind = _tensor(layer.experts, *extents, fmt.scale)
            text += f" scale {self.argument(name + '_scale', kind)} : {kind}"
            if fmt.zero:
                kind = kind.replace(fmt.scale, "i8")
                text += f" zero {self.argument(name + '_zero', kind)} : {kind}"
            if fmt.factor:
                kind = _tensor(layer.experts, "f32")
                text += f" global {self.argument(name + '_global', kind)} : {kind}"
            text += " quant #w"
        self.clauses.append(text + ")")


def layer_mlir(layer):
    """The module's text."""
    fmt, text = layer.format, _Text(layer)
    gated = bool(layer.gate_up)
    rows = layer.inner * (2 if gated else 1)
    x = _tensor("?", layer.hidden, fmt.x)
    ids, weights = _tensor("?", layer.topk, "i32"), _tensor("?", layer.topk, "f32")
    text.clauses += [
        f"x({text.argument('x', x)} : {x})",
        f"topk({text.argument('ids', ids)}, {text.argument('tw', weights)} : {ids}, {weights})"]
    text.weight("w1", rows, layer.hidden)
    text.weight("w2", layer.hidden, layer.inner)
    if layer.bias:
        for name, extent in (("b1", rows), ("b2", layer.hidden)):
            kind = _tensor(layer.experts, extent, "f32")
            text.clauses.append(f"{name}({text.argument(name, kind)} : {kind})")
    if layer.global_experts:
        kind = _tensor(layer.global_experts, "i32")
        text.clauses.append(f"map({text.argument('map', kind)} : {kind})")
    if layer.shared:
        up = _tensor(layer.shared * (2 if gated else 1), layer.hidden, fmt.x)
        down = _tensor(layer.hidden, layer.shared, fmt.x)
        gate = _tensor(layer.hidden, fmt.x)
        text.clauses.append(
            f"shared({text.argument('s1', up)} : {up}, {text.argument('s2', down)} : {down} "
            f"gate {text.argument('sg', gate)} : {gate})")
    text.clauses.append(f"activation <{layer.activation}>")
    if gated:
        text.clauses.append(f"gate_up <{layer.gate_up}>")
    if fmt.act_quant:
        text.clauses.append("act_quant #a")
    if layer.weight_place:
        text.clauses.append(f"weight_place = {layer.weight_place}")
    if layer.formulation:
        text.clauses.append(f"formulation = {layer.formulation}")
    text.clauses.append(f"outs({text.argument('out', x)} : {x}) -> {x}")
    aliases = f"#w = #moe.quant<{fmt.quant}>\n" if fmt.quant else ""
    aliases += f"#a = #moe.quant<{fmt.act_quant}>\n" if fmt.act_quant else ""
    clauses = "\n    ".join(text.clauses)
    return (f"{aliases}func.func @{layer.name}({', '.join(text.arguments)}) -> {x} {{\n"
            f"  %y = moe.fused_experts {clauses}\n  return %y : {x}\n}}\n")


# Styles: `any` = with repetitions and -1, `skewed` = few experts, the others
# empty, `one` = all to the last expert, `none` = all -1.
STYLES = ("any", "skewed", "one", "none")


def expert_ids(style, tokens, topk, experts, seed=0):
    random = np.random.default_rng([seed, tokens, topk, experts])
    if style == "any":
        ids = random.integers(0, experts, (tokens, topk))
        ids[random.random(ids.shape) < 0.1] = -1
    elif style == "skewed":
        ids = random.integers(0, max(1, experts // 3), (tokens, topk)) * 2 % experts
    elif style == "one":
        ids = np.full((tokens, topk), experts - 1)
    else:
        ids = np.full((tokens, topk), -1)
    return ids.astype(np.int32)
