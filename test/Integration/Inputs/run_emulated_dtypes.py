"""Compiles layers of every dtype for every GPU and runs them on the emulated device against the reference.

usage: run_emulated_dtypes.py FOLDER GROUP native

Of the groups `product` gives every kind of layer in every dtype to every target; `pairs` every dtype to every target
once, with the kinds in turn. Expert ids have repetitions, -1, experts without a token and all tokens at one expert;
token counts fill no tile.
"""

import batch
import layers
import run_layers
import shapes
from shapes import Format, Layer

TARGETS = ("sm_80", "sm_89", "sm_90a", "gfx942", "gfx950", "gfx1100", "gfx1151", "gfx1201")


def fp8(name, weight, act, scale="f32"):
    quant = "f8E4M3FN, granule = [{}, {}], scale = " + scale
    extents = tuple(0 if v == "*" else v for v in weight)
    return Format(name, "bf16", "f8E4M3FN", quant.format(*weight), quant.format(1, act), 1, extents, scale)


def w4(name, granule, zero="8", packing="low_even"):
    words = packing == "exllama"
    return Format(name, "bf16", "i32" if words else "i8",
                  f"i4, granule = [1, {granule}], scale = bf16, zero = {zero}, packing = {packing}", "",
                  8 if words else 2, (1, granule), "bf16", zero == "operand")


def fp4(name, granule, scale, factor=False):
    return Format(name, "bf16", "i8", f"f4E2M1FN, granule = [1, {granule}], scale = {scale}, packing = mx", "", 2,
                  (1, granule), scale, factor=factor)


# The list of --dtype.
FORMATS = (
    shapes.PLAIN[0], shapes.PLAIN[1], shapes.PLAIN[2], fp8("fp8_block", (128, 128), 128), fp8("fp8_token", (1, "*"), "*"),
    fp8("fp8_tensor", ("*", "*"), "*"), w4("w4a16_g128", 128), w4("w4a16_g128_exllama", 128, packing="exllama"),
    w4("w4a16_g64", 64), w4("w4a16_g32", 32), w4("w4a16_g128_zp", 128, zero="operand"),
    fp4("mxfp4", 32, "f8E8M0FNU"), fp8("mxfp8", (1, 32), 32, "f8E8M0FNU"), fp4("nvfp4", 16, "f8E4M3FN", factor=True),
    Format("w8a8", "bf16", "i8", "i8, granule = [1, *], scale = f32", "i8, granule = [1, *], scale = f32", 1, (1, 0),
           "f32"),
    Format("w8a16", "bf16", "i8", "i8, granule = [1, *], scale = bf16", "", 1, (1, 0), "bf16"))

KINDS = {
    "even": {},
    "wide": {"experts": 9, "topk": 4, "hidden": 384, "inner": 256},
    "interleaved": {"gate_up": "interleaved"},
    "blocks": {"gate_up": "blocks 64, up_first"},
    "ungated": {"gate_up": "", "activation": "relu2"},
    "bias": {"activation": "swiglu_oai", "bias": True},
    "map": {"global_experts": 17},
    "combine": {"weight_place": "combine"},
    "input": {"topk": 1, "weight_place": "input"},
}


def refused(fmt, kind, target):
    """What the compiler refuses: by a rule that other tests hold."""
    nvidia = target.startswith("sm_")
    packed = not fmt.act_quant and fmt.weight
    if fmt.name == "f32":
        return target not in ("gfx942", "gfx950")
    # No instruction multiplies 8-bit floats; those with powers of two are decoded.
    if target == "sm_80" and fmt.name in ("fp8_block", "fp8_token", "fp8_tensor"):
        return True
    # Weights that stand in registers there have gate and up rows in halves or alternate.
    return nvidia and kind == "blocks" and (packed or fmt.name == "mxfp8")


def group_layers(group):
    turn = 0
    for fmt in FORMATS:
        for target in TARGETS:
            kinds = [kind for kind in KINDS if not refused(fmt, kind, target)]
            if group == "pairs" and kinds:
                kinds = [kinds[turn % len(kinds)]]
                turn += 1
            for kind in kinds:
                yield Layer(f"{fmt.name}_{kind}_{target}", fmt, **KINDS[kind]), target
    # One token of it has the largest error where scaled weights are rounded.
    for target in TARGETS:
        yield Layer("w4a16_zero", shapes.W4A16_ZERO), target


def token_counts(group, fmt, target):
    # sm_90a rounds scaled weights of one token and two, for longer steps: at the edge of the tolerance.
    rounds = target == "sm_90a" and fmt.name.startswith("w4a16")
    if group == "pairs":
        return (33,) if rounds else (1, 33)
    return (0, 7, 33) if rounds else (0, 1, 2, 7, 33)


def generate(folder, group):
    for layer, target in group_layers(group):
        shapes.TOKENS = token_counts(group, layer.format, target)
        path = batch.write(folder, layer.name, layers.layer_mlir(layer))
        ids = run_layers.write_ids(folder, layer)
        yield f"{path} --emulate --target {target} --topk-ids {ids} --check"


if __name__ == "__main__":
    batch.main(generate)
