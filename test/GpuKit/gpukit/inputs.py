# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors of a layer and what should come out."""

from .routing import counts, route


class Inputs:
    """x, ids and router weights of one run."""

    def __init__(self, torch, weights, tokens, kind, seed=0):
        shape = weights.shape
        stream = torch.Generator(device="cuda").manual_seed(1 + seed)
        self.tokens, self.kind = tokens, kind
        self.x = torch.randn(tokens, shape.H, generator=stream, device="cuda").to(
            getattr(torch, weights.activations))
        ids, router = route(torch, kind, tokens, shape.E, shape.k, seed)
        self.counts = counts(torch, ids, shape.E)
        self.active = int((self.counts > 0).sum())
        self.rows = int(self.counts.sum())
        self.ids, self.router = ids.cuda(), router.cuda()


def reference(torch, weights, inputs):
    """The layer in float32, expert by expert; -1 takes no part. Rounds rows where it does."""
    shape = weights.shape
    result = torch.zeros(inputs.tokens, shape.H, dtype=torch.float32, device="cuda")
    x = weights.rows(inputs.x)
    for expert in range(shape.E):
        token, slot = (inputs.ids == expert).nonzero(as_tuple=True)
        if token.numel() == 0:
            continue
        both = x[token] @ weights.matrix("w1", expert).t()
        gate, up = both[:, :shape.I], both[:, shape.I:]
        hidden = weights.rows(torch.nn.functional.silu(gate) * up)
        rows = hidden @ weights.matrix("w2", expert).t()
        result.index_add_(0, token, rows * inputs.router[token, slot][:, None])
    return result


def relative_error(torch, actual, expected):
    """Relative Frobenius error; NaN or infinity where there is one."""
    difference = (actual.float() - expected).norm()
    scale = expected.norm()
    return float(difference / scale) if float(scale) else float(actual.float().norm())
