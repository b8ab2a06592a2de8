"""The shapes, formats and token counts of all execution tests, in one place."""

import itertools
from dataclasses import dataclass, field, replace

# No tokens, one, two, less and more than a row block, many blocks.
TOKENS = (0, 1, 2, 7, 33, 257)
ISAS = ("x86-64", "avx2", "avx512", "avx512bf16")


@dataclass(frozen=True)
class Format:
    """How weights and activations are stored."""

    name: str
    x: str  # element type of x and of the result
    weight: str = ""  # element type of a stored weight; "" = that of x
    quant: str = ""  # #moe.quant of the weights
    act_quant: str = ""
    per_stored: int = 1  # columns held by one stored element
    granule: tuple = ()  # rows, columns that share a scale; 0 = all
    scale: str = ""
    zero: bool = False  # zero points are an operand
    step: int = 1  # H and I must be multiples of it
    group_major: bool = False  # scales [groups][rows]
    factor: bool = False  # one more scale per expert


PLAIN = (Format("f32", "f32"), Format("bf16", "bf16"), Format("f16", "f16"))
FP8_BLOCK = Format(
    "fp8_block", "bf16", "f8E4M3FN", "f8E4M3FN, granule = [128, 128], scale = f32",
    "f8E4M3FN, granule = [1, 128], scale = f32", 1, (128, 128), "f32", step=128)
W4A16 = Format(
    "w4a16_g128", "bf16", "i8",
    "i4, granule = [1, 128], scale = bf16, zero = 8, packing = low_even",
    "", 2, (1, 128), "bf16", step=128)
W4A16_EXLLAMA = replace(
    W4A16, name="w4a16_g128_exllama", weight="i32", per_stored=8,
    quant="i4, granule = [1, 128], scale = bf16, zero = 8, packing = exllama")
W4A16_ZERO = replace(
    W4A16, name="w4a16_zero", quant=W4A16.quant.replace("zero = 8", "zero = operand"), zero=True)
QUANTISED = (FP8_BLOCK, W4A16, W4A16_EXLLAMA)


@dataclass(frozen=True)
class Layer:
    """One moe.fused_experts."""

    name: str
    format: Format
    experts: int = 6
    topk: int = 2
    hidden: int = 256
    inner: int = 128
    activation: str = "swiglu"
    gate_up: str = "halves"  # "" = an activation without gate
    bias: bool = False
    global_experts: int = 0  # more than `experts`: with an expert map
    shared: int = 0  # width of a shared expert
    weight_place: str = ""
    formulation: str = ""


def plain_layers():
    """Every plain format, with extents that no vector width divides, and even ones."""
    for fmt in PLAIN:
        yield Layer(f"{fmt.name}_even", fmt)
        yield Layer(f"{fmt.name}_odd", fmt, experts=5, topk=3, hidden=67, inner=45)
        yield Layer(f"{fmt.name}_tiny", fmt, experts=3, topk=1, hidden=1, inner=3)
        yield Layer(f"{fmt.name}_many", fmt, experts=40, topk=8, hidden=96, inner=80)


def quantised_layers():
    for fmt in QUANTISED:
        yield Layer(f"{fmt.name}_even", fmt)
        yield Layer(f"{fmt.name}_wide", fmt, experts=9, topk=4, hidden=384, inner=256)
        yield Layer(f"{fmt.name}_interleaved", fmt, gate_up="interleaved")
        yield Layer(f"{fmt.name}_bias", fmt, activation="swiglu_oai", bias=True)
    yield Layer("w4a16_zero", W4A16_ZERO)
    yield Layer("w4a16_zero_blocks", W4A16_ZERO, gate_up="blocks 64, up_first")
    # Activations that stay bf16, columns that are no multiple of a block: the
    # last block is short.
    yield Layer("fp8_block_weights", replace(FP8_BLOCK, act_quant=""))
    yield Layer("fp8_block_short", replace(FP8_BLOCK, act_quant=""), hidden=320, inner=256)
    yield Layer("fp8_block_shard", replace(FP8_BLOCK, act_quant=""), gate_up="interleaved",
                inner=192)


def feature_layers():
    """What a layer can have, in f32 (every difference shows) and in bf16."""
    for fmt in PLAIN[:2]:
        def make(name, fmt=fmt, **rest):
            return Layer(f"{fmt.name}_{name}", fmt, hidden=80, inner=48, **rest)

        for order in ("interleaved", "blocks 16", "halves, up_first", "blocks 8, up_first"):
            yield make(order.replace(" ", "_").replace(",", ""), gate_up=order)
        for kind in ("geglu", "geglu_tanh", "reglu", "swiglu_oai"):
            yield make(kind, activation=kind)
        for kind in ("silu", "gelu", "gelu_tanh", "relu", "relu2", "identity"):
            yield make(kind, activation=kind, gate_up="")
        yield make("bias", bias=True)
        yield make("oai_bias", activation="swiglu_oai", gate_up="interleaved", bias=True)
        yield make("map", global_experts=17)
        yield make("shared", shared=48)
        yield make("shared_wide", shared=112)
        yield make("combine", weight_place="combine")
        yield make("unweighted", weight_place="none")
        yield make("input", topk=1, weight_place="input")
        yield make("dense", formulation="dense")


def some_layers():
    """A few that together touch all that an instruction set does differently."""
    for fmt in PLAIN:
        yield Layer(f"{fmt.name}_odd", fmt, experts=5, topk=3, hidden=67, inner=45)
    yield Layer("bf16_even", PLAIN[1])
    for fmt in QUANTISED:
        yield Layer(f"{fmt.name}_even", fmt)


GROUPS = {"plain": plain_layers, "quantised": quantised_layers, "features": feature_layers,
          "some": some_layers}
