"""Random layers that are valid by construction: text of one `moe.fused_experts`.

Part of moec, under the Apache License v2.0 with LLVM Exceptions.
See LICENSE for licence information.
SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""

from dataclasses import dataclass


@dataclass
class Quant:
    """What `#moe.quant` says; 0 rows or columns stand for the whole extent."""
    element: str
    rows: int
    cols: int
    scale: str
    unit: int = 1
    storage: str = ""
    zero: str = ""
    packing: str = ""

    def text(self):
        granule = ", ".join(str(g) if g else "*" for g in (self.rows, self.cols))
        zero = f", zero = {self.zero}" if self.zero else ""
        packing = f", packing = {self.packing}" if self.packing else ""
        return (f"#moe.quant<{self.element}, granule = [{granule}], "
                f"scale = {self.scale}{zero}{packing}>")

    def stored(self):
        return self.storage or self.element

    def scales(self, rows, cols):
        def count(extent, granule):
            return -(-extent // granule) if granule else 1
        return count(rows, self.rows), count(cols, self.cols)


FP8 = "f8E4M3FN"
FP8_ROW = Quant(FP8, 1, 0, "f32")
I8_ROW = Quant("i8", 1, 0, "f32")


def int4(group, packing="low_even", zero="8"):
    unit, storage = (8, "i32") if packing == "exllama" else (2, "i8")
    return Quant("i4", 1, group, "bf16", unit, storage, zero, packing)


# Weights and activations; the smallest sizes that every scale group divides.
DTYPES = {
    "f32": (None, None, 1),
    "bf16": (None, None, 1),
    "f16": (None, None, 1),
    "fp8-block": (Quant(FP8, 128, 128, "f32"), Quant(FP8, 1, 128, "f32"), 128),
    "fp8-token": (FP8_ROW, FP8_ROW, 1),
    "fp8-tensor": (Quant(FP8, 0, 0, "f32"), FP8_ROW, 1),
    "w4a16-g128": (int4(128), None, 128),
    "w4a16-g128-exllama": (int4(128, "exllama"), None, 128),
    "w4a16-g64": (int4(64), None, 64),
    "w4a16-g32": (int4(32), None, 32),
    "w4a16-g128-zp": (int4(128, zero="operand"), None, 128),
    "mxfp4": (Quant("f4E2M1FN", 1, 32, "f8E8M0FNU", 2, "i8", "", "mx"), None, 32),
    "mxfp8": (Quant(FP8, 1, 32, "f8E8M0FNU"), Quant(FP8, 1, 32, "f8E8M0FNU"), 32),
    "nvfp4": (Quant("f4E2M1FN", 1, 16, FP8, 2, "i8", "", "mx"), None, 16),
    "w8a8": (I8_ROW, I8_ROW, 1),
    "w8a16": (Quant("i8", 1, 0, "bf16"), None, 1),
}
GATED = ["swiglu", "geglu", "geglu_tanh", "reglu", "swiglu_oai"]
PLAIN = ["silu", "gelu", "gelu_tanh", "relu", "relu2", "identity"]


class Builder:
    """Collects arguments of the function while the op's text is put together."""

    def __init__(self):
        self.args = []

    def arg(self, name, shape, element):
        dims = "".join(f"{'?' if d is None else d}x" for d in shape)
        kind = f"tensor<{dims}{element}>"
        self.args.append(f'%{name}: {kind} {{moe.name = "{name}"}}')
        return f"%{name}", kind

    def weight(self, name, batch, rows, cols, quant, plain, global_scale=False):
        """The text inside `w1(...)`: values, scale, zero, global, quant."""
        if not quant:
            return " : ".join(self.arg(name, [*batch, rows, cols], plain))
        text = " : ".join(self.arg(name, [*batch, rows, cols // quant.unit], quant.stored()))
        scales = [*batch, *quant.scales(rows, cols)]
        text += " scale " + " : ".join(self.arg(name + "_scale", scales, quant.scale))
        if quant.zero == "operand":
            text += " zero " + " : ".join(self.arg(name + "_zero", scales, "i8"))
        if global_scale:
            text += " global " + " : ".join(self.arg(name + "_global", batch, "f32"))
        return text

    def shared(self, hidden, width, wide, quant, plain, gate):
        """The text inside `shared(...)`."""
        parts = []
        for name, rows, cols in (("s1", wide * width, hidden), ("s2", hidden, width)):
            parts.append(self.weight(name, [], rows, cols, quant, plain))
        text = ", ".join(parts)
        if gate:
            text += " gate " + " : ".join(self.arg("gate", [hidden], plain))
        return text + (f" quant {quant.text()}" if quant else "")


def size(rng, step):
    """A size that `step` divides; odd ones where that is legal."""
    return step * rng.randint(1, 3) if step > 1 else rng.randint(1, 160)


def fits_cpu(blocks, act):
    """Whether tiles of whole quads of columns can be cut along gate_up blocks, and
    along the granule of 128 columns that is quantised."""
    if act and act.cols:
        return blocks in (4, 8, 16, 32, 64, 128)
    return blocks % 4 == 0


def random_layer(rng, cpu=False):
    """One module's text; `cpu` keeps to what the CPU lowering says it can do."""
    b = Builder()
    dtype = rng.choice(list(DTYPES))
    quant, act, step = DTYPES[dtype]
    x = dtype if dtype in ("f32", "f16") else "bf16"
    experts = rng.choice([1, 2, 3, 8, 17])
    topk = rng.randint(1, min(experts, 6))
    hidden, inter = size(rng, step), size(rng, step)
    if cpu:
        inter = max(inter, 4)
    tokens = rng.choice([None, None, 1, 7])
    gated = rng.random() < 0.7
    wide = 2 if gated else 1
    activation = rng.choice(GATED if gated else PLAIN)
    quant_text = f" quant {quant.text()}" if quant else ""

    x_arg = " : ".join(b.arg("x", [tokens, hidden], x))
    ids, ids_type = b.arg("topk_ids", [tokens, topk], "i32")
    tw, tw_type = b.arg("topk_weights", [tokens, topk], "f32")
    nvfp4 = dtype == "nvfp4"
    w1 = b.weight("w1", [experts], wide * inter, hidden, quant, x, nvfp4)
    w2 = b.weight("w2", [experts], hidden, inter, quant, x, nvfp4)
    text = (f"moe.fused_experts x({x_arg}) topk({ids}, {tw} : {ids_type}, {tw_type}) "
            f"w1({w1}{quant_text}) w2({w2}{quant_text})")
    if rng.random() < 0.3:
        text += " b1(" + " : ".join(b.arg("b1", [experts, wide * inter], x)) + ")"
    if rng.random() < 0.3:
        text += " b2(" + " : ".join(b.arg("b2", [experts, hidden], x)) + ")"
    if rng.random() < 0.3:
        text += " map(" + " : ".join(b.arg("map", [experts * 2], "i32")) + ")"
    blocks = 0
    if gated and rng.random() < 0.3:
        fit = [n for n in range(1, inter + 1)
               if inter % n == 0 and (not cpu or fits_cpu(n, act))]
        blocks = rng.choice(fit or [0])
    if rng.random() < 0.3 and dtype != "w4a16-g128-zp":
        width = size(rng, step)
        if cpu and gated:
            width = max(width, 4)
        if blocks:
            width = inter
        shared_quant = None if nvfp4 else quant
        text += f" shared({b.shared(hidden, width, wide, shared_quant, x, rng.random() < 0.5)})"
    text += f" activation <{activation}>"
    if gated:
        kind = f"blocks {blocks}" if blocks else rng.choice(["halves", "interleaved"])
        text += f" gate_up <{kind}{rng.choice(['', ', up_first'])}>"
    if act:
        text += f" act_quant {act.text()}"
    places = ["none", "epilogue", "combine"] + (["input"] if topk == 1 else [])
    if rng.random() < 0.6:
        text += f" weight_place = {rng.choice(places)}"
    out, out_type = b.arg("out", [tokens, hidden], rng.choice([x, "f32", "bf16"]))
    return (f"// {dtype}\nfunc.func @layer({', '.join(b.args)}) -> {out_type} {{\n"
            f"  %y = {text} outs({out} : {out_type}) -> {out_type}\n"
            f"  return %y : {out_type}\n}}\n")
