# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which experts tokens go to. The two kinds of the recorded table come from the same streams."""

KINDS = ("balanced", "zipf1", "hot16", "ragged", "one", "few", "missing")
# Experts of hot16 that are hit 40 times as often as others.
HOT = 16


def generator(torch, seed, tokens, experts, topk):
    return torch.Generator().manual_seed(1000003 * seed + 7919 * tokens + 31 * experts + topk)


def balanced(torch, tokens, experts, topk, stream):
    """A walk over random permutations of the experts: loads differ by at most one."""
    wraps = (tokens * topk + experts - 1) // experts
    walk = torch.stack([torch.randperm(experts, generator=stream) for _ in range(wraps)])
    rows = walk.reshape(-1)[:tokens * topk].reshape(tokens, topk)
    return rows[torch.randperm(tokens, generator=stream)]


def weighted(torch, tokens, topk, odds, stream):
    """Distinct experts for each token with these odds (Gumbel top-k)."""
    experts = odds.shape[0]
    odds = odds[torch.randperm(experts, generator=stream)]
    uniform = torch.rand(tokens, experts, generator=stream, dtype=torch.float64)
    uniform.clamp_(1e-12, 1 - 1e-12)
    return (odds.log()[None] - (-uniform.log()).log()).topk(topk, dim=1).indices


def route(torch, kind, tokens, experts, topk, seed=0):
    """(ids int32 [tokens, topk], weights float32 [tokens, topk]) on the CPU.

    balanced, zipf1, hot16: as in the recorded table. ragged: a load of its own for every expert,
    some without any. one: all tokens to the same experts. few: only topk + 1 experts are ever
    hit. missing: as ragged, and a quarter of the ids is -1.
    """
    stream = generator(torch, seed, tokens, experts, topk)
    if kind == "balanced":
        ids = balanced(torch, tokens, experts, topk, stream)
    elif kind == "zipf1":
        odds = 1.0 / torch.arange(1, experts + 1, dtype=torch.float64)
        ids = weighted(torch, tokens, topk, odds, stream)
    elif kind == "hot16":
        if experts <= HOT:
            raise ValueError(f"hot16 is for more than {HOT} experts, not {experts}")
        odds = torch.ones(experts, dtype=torch.float64)
        odds[:HOT] = 40.0
        ids = weighted(torch, tokens, topk, odds, stream)
    elif kind in ("ragged", "missing"):
        odds = torch.rand(experts, generator=stream, dtype=torch.float64) ** 6 + 1e-9
        ids = weighted(torch, tokens, topk, odds, stream)
    elif kind == "one":
        chosen = torch.randperm(experts, generator=stream)[:topk]
        ids = chosen[None].expand(tokens, topk)
    elif kind == "few":
        odds = torch.full((experts,), 1e-30, dtype=torch.float64)
        odds[:min(topk + 1, experts)] = 1.0
        ids = weighted(torch, tokens, topk, odds, stream)
    else:
        raise ValueError(f"unknown routing '{kind}'; known are {', '.join(KINDS)}")
    weights = torch.rand(tokens, topk, generator=stream) + 0.1
    weights = weights / weights.sum(1, keepdim=True)
    ids = ids.to(torch.int32).contiguous().clone()
    if kind == "missing" and tokens * topk > 1:
        ids[torch.rand(tokens, topk, generator=stream) < 0.25] = -1
    return ids, weights.float().contiguous()


def counts(torch, ids, experts):
    """Rows per expert; -1 counts for none."""
    flat = ids.reshape(-1).long()
    return torch.bincount(flat[flat >= 0], minlength=experts)
