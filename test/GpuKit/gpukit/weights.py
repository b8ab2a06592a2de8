# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Weights as layers store them, and what their products see. By the dtype of an artifact.

A class has `arguments` (the names that a layer wants beside x, topk_ids and topk_weights),
`activations` (the name of the dtype of x and out) and, made with (torch, shape, seed), `shape`,
`tensors` (the arguments), `matrix(name, expert)` in float32 and `rows(x)`: the rows of a product
in float32 as they are multiplied, rounded if the layer rounds them. `codes(x)`: those rows as a single product is given them,
{argument: tensor}.
"""

from typing import NamedTuple


def normal(torch, stream, sizes, scale):
    """(expert number, its random matrix in float32), one expert after the other."""
    for expert in range(sizes[0]):
        yield expert, torch.randn(*sizes[1:], generator=stream, device="cuda") * scale


class Single(NamedTuple):
    """The weights of one product, w1 [E, N, K], in place of a layer's shape."""

    E: int
    N: int
    K: int


def sizes_of(shape):
    """{name: (sizes, scale)}: w1 [E, 2I, H] (gate above up) and w2 [E, H, I], random normal,
    scaled to keep variance."""
    if isinstance(shape, Single):
        return {"w1": (tuple(shape), shape.K ** -0.5)}
    return {"w1": ((shape.E, 2 * shape.I, shape.H), shape.H ** -0.5),
            "w2": ((shape.E, shape.H, shape.I), shape.I ** -0.5)}


class Plain:
    """One number per weight."""

    arguments = ("w1", "w2")
    activations = ""

    def __init__(self, torch, shape, seed=0):
        stream = torch.Generator(device="cuda").manual_seed(seed)
        self.shape, self.tensors = shape, {}
        for name, (sizes, scale) in sizes_of(shape).items():
            whole = torch.empty(*sizes, dtype=getattr(torch, self.activations), device="cuda")
            for expert, part in normal(torch, stream, sizes, scale):
                whole[expert].copy_(part)
            self.tensors[name] = whole
        self.w1, self.w2 = self.tensors["w1"], self.tensors.get("w2")

    def matrix(self, name, expert):
        return self.tensors[name][expert].float()

    def rows(self, x):
        return x.float()

    def codes(self, x):
        return {"x": x}


class BFloat16(Plain):
    activations = "bfloat16"


class Float16(Plain):
    activations = "float16"


class Float32(Plain):
    activations = "float32"


class Float8Block:
    """e4m3 with a scale per 128 x 128 weights; rows are rounded to e4m3 with one per 128."""

    arguments = ("w1", "w1_scale", "w2", "w2_scale")
    activations = "bfloat16"
    BLOCK, TOP = 128, 448.0

    def __init__(self, torch, shape, seed=0):
        stream = torch.Generator(device="cuda").manual_seed(seed)
        self.torch, self.shape, self.tensors = torch, shape, {}
        for name, (sizes, scale) in sizes_of(shape).items():
            blocks = [(size + self.BLOCK - 1) // self.BLOCK for size in sizes[1:]]
            whole = torch.empty(*sizes, dtype=torch.float8_e4m3fn, device="cuda")
            scales = torch.empty(sizes[0], *blocks, dtype=torch.float32, device="cuda")
            for expert, part in normal(torch, stream, sizes, scale):
                padded = torch.zeros(*(count * self.BLOCK for count in blocks), device="cuda")
                padded[:sizes[1], :sizes[2]] = part
                cut = padded.view(blocks[0], self.BLOCK, blocks[1], self.BLOCK)
                scales[expert] = cut.abs().amax((1, 3)) / self.TOP
                whole[expert] = (part / self.spread(scales[expert], sizes[1:])).clamp(
                    -self.TOP, self.TOP).to(torch.float8_e4m3fn)
            self.tensors[name], self.tensors[name + "_scale"] = whole, scales
        self.w1, self.w2 = self.tensors["w1"], self.tensors.get("w2")

    def spread(self, scales, sizes):
        """A scale for every weight."""
        wide = scales.repeat_interleave(self.BLOCK, 0).repeat_interleave(self.BLOCK, 1)
        return wide[:sizes[0], :sizes[1]]

    def matrix(self, name, expert):
        weights = self.tensors[name][expert]
        return weights.float() * self.spread(self.tensors[name + "_scale"][expert], weights.shape)

    def round(self, x):
        """Codes [rows, groups, 128] and their scales [rows, groups, 1]."""
        x = x.float()
        groups = (x.shape[1] + self.BLOCK - 1) // self.BLOCK
        padded = self.torch.zeros(x.shape[0], groups * self.BLOCK, device=x.device)
        padded[:, :x.shape[1]] = x
        cut = padded.view(x.shape[0], groups, self.BLOCK)
        # PyTorch multiplies by the reciprocal of a number; a scale that is off by its last bit
        # takes halves between two codes the other way.
        top = self.torch.full((1,), self.TOP, device=x.device)
        scale = cut.abs().amax(2, keepdim=True).clamp_min(2.0 ** -100) / top
        return (cut / scale).clamp(-self.TOP, self.TOP).to(self.torch.float8_e4m3fn), scale

    def rows(self, x):
        codes, scale = self.round(x)
        return (codes.float() * scale).view(x.shape[0], -1)[:, :x.shape[1]]

    def codes(self, x):
        codes, scale = self.round(x)
        return {"x": codes.view(x.shape[0], -1)[:, :x.shape[1]].contiguous(),
                "x_scale": scale.view(x.shape[0], -1).contiguous()}


class Float8Row:
    """e4m3 with a scale per weight row; rows are rounded to e4m3 with one each."""

    arguments = ("w1", "w1_scale", "w2", "w2_scale")
    activations = "bfloat16"
    TOP = 448.0

    def __init__(self, torch, shape, seed=0):
        stream = torch.Generator(device="cuda").manual_seed(seed)
        self.torch, self.shape, self.tensors = torch, shape, {}
        for name, (sizes, scale) in sizes_of(shape).items():
            whole = torch.empty(*sizes, dtype=torch.float8_e4m3fn, device="cuda")
            scales = torch.empty(sizes[0], sizes[1], 1, dtype=torch.float32, device="cuda")
            for expert, part in normal(torch, stream, sizes, scale):
                scales[expert] = part.abs().amax(1, keepdim=True) / self.TOP
                whole[expert] = (part / scales[expert]).clamp(-self.TOP, self.TOP).to(torch.float8_e4m3fn)
            self.tensors[name], self.tensors[name + "_scale"] = whole, scales

    def matrix(self, name, expert):
        return self.tensors[name][expert].float() * self.tensors[name + "_scale"][expert]

    def rows(self, x):
        x = x.float()
        top = self.torch.full((1,), self.TOP, device=x.device)
        scale = x.abs().amax(1, keepdim=True).clamp_min(2.0 ** -100) / top
        return (x / scale).clamp(-self.TOP, self.TOP).to(self.torch.float8_e4m3fn).float() * scale


class Float8Tensor(Plain):
    """e4m3 with one scale for all weights of an expert, rows with one for all of them."""

    arguments = ("w1", "w1_scale")
    activations, TOP = "float8_e4m3fn", 448.0
    # Of random normal rows: 5.6 deviations are within the codes' range.
    SCALE = 1 / 80

    def __init__(self, torch, shape, seed=0):
        stream = torch.Generator(device="cuda").manual_seed(seed)
        self.torch, self.shape, self.tensors = torch, shape, {}
        for name, (sizes, scale) in sizes_of(shape).items():
            whole = torch.empty(*sizes, dtype=torch.float8_e4m3fn, device="cuda")
            scales = torch.empty(sizes[0], 1, 1, device="cuda")
            for expert, part in normal(torch, stream, sizes, scale):
                scales[expert] = part.abs().amax() / self.TOP
                whole[expert] = (part / scales[expert]).clamp(-self.TOP, self.TOP).to(whole.dtype)
            self.tensors[name], self.tensors[name + "_scale"] = whole, scales

    def matrix(self, name, expert):
        return self.tensors[name][expert].float() * self.tensors[name + "_scale"][expert]

    def rows(self, x):
        return self.codes(x)["x"].float() * self.SCALE

    def codes(self, x):
        codes = (x.float() / self.SCALE).clamp(-self.TOP, self.TOP)
        return {"x": codes.to(self.torch.float8_e4m3fn),
                "x_scale": self.torch.full((1, 1), self.SCALE, device=x.device)}


class Int8:
    """Eight bits with a scale per weight row."""

    arguments = ("w1", "w1_scale", "w2", "w2_scale")
    activations = "bfloat16"

    def __init__(self, torch, shape, seed=0):
        stream = torch.Generator(device="cuda").manual_seed(seed)
        self.torch, self.shape, self.tensors = torch, shape, {}
        for name, (sizes, scale) in sizes_of(shape).items():
            whole = torch.empty(*sizes, dtype=torch.int8, device="cuda")
            scales = torch.empty(sizes[0], sizes[1], 1, dtype=torch.bfloat16, device="cuda")
            for expert, part in normal(torch, stream, sizes, scale):
                scales[expert] = part.abs().amax(1, keepdim=True) / 127
                whole[expert] = (part / scales[expert].float()).round().clamp(-128, 127).to(torch.int8)
            self.tensors[name], self.tensors[name + "_scale"] = whole, scales

    def matrix(self, name, expert):
        return self.tensors[name][expert].float() * self.tensors[name + "_scale"][expert].float()

    def rows(self, x):
        return x.float()


class Int4:
    """Four bits with a scale per group of columns; code 8, or a zero point per group, is zero."""

    activations = "bfloat16"
    group, exllama, zero_points = 128, False, False
    # Columns of a word of eight from bit 0 up.
    ORDER = (0, 2, 4, 6, 1, 3, 5, 7)

    def __init__(self, torch, shape, seed=0):
        stream = torch.Generator(device="cuda").manual_seed(seed)
        self.torch, self.shape, self.tensors = torch, shape, {}
        for name, (sizes, scale) in sizes_of(shape).items():
            groups = sizes[2] // self.group
            per_word, word = (8, torch.int32) if self.exllama else (2, torch.int8)
            whole = torch.empty(sizes[0], sizes[1], sizes[2] // per_word, dtype=word, device="cuda")
            scales = torch.empty(sizes[0], sizes[1], groups, dtype=torch.bfloat16, device="cuda")
            zeros = torch.full((sizes[0], sizes[1], groups), 8, dtype=torch.int8, device="cuda")
            for expert, part in normal(torch, stream, sizes, scale):
                cut = part.view(sizes[1], groups, self.group)
                if self.zero_points:
                    low, high = cut.amin(2), cut.amax(2)
                    scales[expert] = (high - low) / 15
                    zeros[expert] = (-low / scales[expert].float()).round().clamp(0, 15).to(
                        torch.int8)
                else:
                    scales[expert] = cut.abs().amax(2) / 7.5
                codes = (cut / scales[expert].float()[..., None]).round()
                codes = (codes + zeros[expert].float()[..., None]).clamp(0, 15).to(torch.int32)
                whole[expert] = self.pack(codes.view(sizes[1], -1))
            self.tensors[name], self.tensors[name + "_scale"] = whole, scales
            if self.zero_points:
                self.tensors[name + "_zero"] = zeros

    def pack(self, codes):
        if self.exllama:
            eight = codes.view(codes.shape[0], -1, 8)
            words = self.torch.zeros_like(eight[..., 0])
            for position, column in enumerate(self.ORDER):
                words |= eight[..., column] << (4 * position)
            return words
        two = codes.view(codes.shape[0], -1, 2)
        return (two[..., 0] | two[..., 1] << 4).to(self.torch.uint8).view(self.torch.int8)

    def unpacked(self, name, expert):
        words = self.tensors[name][expert].to(self.torch.int32)
        if self.exllama:
            columns = [None] * 8
            for position, column in enumerate(self.ORDER):
                columns[column] = words >> (4 * position) & 15
        else:
            columns = [words & 15, words >> 4 & 15]
        return self.torch.stack(columns, -1).view(words.shape[0], -1)

    def matrix(self, name, expert):
        codes = self.unpacked(name, expert).float()
        cut = codes.view(codes.shape[0], -1, self.group)
        zero = self.tensors[name + "_zero"][expert].float()[..., None] if self.zero_points else 8.0
        scales = self.tensors[name + "_scale"][expert].float()[..., None]
        return ((cut - zero) * scales).view(codes.shape)

    def rows(self, x):
        return x.float()

    def codes(self, x):
        return {"x": x}


def int4(group=128, exllama=False, zero_points=False):
    """The class of one form of it."""
    names = [name + suffix for name in ("w1", "w2")
             for suffix in ("", "_scale") + (("_zero",) if zero_points else ())]
    return type("Int4", (Int4,), {"arguments": tuple(names), "group": group, "exllama": exllama,
                                  "zero_points": zero_points})


STORAGE = {"bf16": BFloat16, "f16": Float16, "f32": Float32, "fp8-block": Float8Block,
           "fp8-token": Float8Row, "w8a16": Int8,
           "w4a16-g128": int4(), "w4a16-g128-exllama": int4(exllama=True),
           "w4a16-g128-zp": int4(zero_points=True), "w4a16-g64": int4(64), "w4a16-g32": int4(32)}
