# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors of a layer and what should come out."""

from .routing import counts, route


class Weights:
    """w1 [E, 2I, H] (gate above up) and w2 [E, H, I], random normal, scaled to keep variance."""

    def __init__(self, torch, shape, dtype, seed=0):
        stream = torch.Generator(device="cuda").manual_seed(seed)
        self.shape = shape

        def normal(*sizes, scale):
            whole = torch.empty(*sizes, dtype=dtype, device="cuda")
            for part in whole:
                # By experts: the numbers exist in float32 for one of them at a time.
                part.copy_(torch.randn(*sizes[1:], generator=stream, device="cuda") * scale)
            return whole
        self.w1 = normal(shape.E, 2 * shape.I, shape.H, scale=shape.H ** -0.5)
        self.w2 = normal(shape.E, shape.H, shape.I, scale=shape.I ** -0.5)


class Inputs:
    """x, ids and router weights of one run."""

    def __init__(self, torch, weights, tokens, kind, seed=0):
        shape = weights.shape
        stream = torch.Generator(device="cuda").manual_seed(1 + seed)
        self.tokens, self.kind = tokens, kind
        self.x = torch.randn(tokens, shape.H, generator=stream, device="cuda").to(weights.w1.dtype)
        ids, router = route(torch, kind, tokens, shape.E, shape.k, seed)
        self.counts = counts(torch, ids, shape.E)
        self.active = int((self.counts > 0).sum())
        self.rows = int(self.counts.sum())
        self.ids, self.router = ids.cuda(), router.cuda()


def reference(torch, weights, inputs):
    """The layer in float32, expert by expert; -1 takes no part."""
    shape = weights.shape
    result = torch.zeros(inputs.tokens, shape.H, dtype=torch.float32, device="cuda")
    x = inputs.x.float()
    for expert in range(shape.E):
        token, slot = (inputs.ids == expert).nonzero(as_tuple=True)
        if token.numel() == 0:
            continue
        both = x[token] @ weights.w1[expert].float().t()
        gate, up = both[:, :shape.I], both[:, shape.I:]
        rows = (torch.nn.functional.silu(gate) * up) @ weights.w2[expert].float().t()
        result.index_add_(0, token, rows * inputs.router[token, slot][:, None])
    return result


def relative_error(torch, actual, expected):
    """Relative Frobenius error; NaN or infinity where there is one."""
    difference = (actual.float() - expected).norm()
    scale = expected.norm()
    return float(difference / scale) if float(scale) else float(actual.float().norm())
