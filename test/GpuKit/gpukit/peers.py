# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Other ways to compute the layer, each a callable on (inputs) -> output. They may be missing."""

import importlib


class Unavailable(Exception):
    """Why a peer cannot run here or at this size."""


def torch_grouped_mm(torch, weights, inputs):
    """torch._grouped_mm with sorting, gathering and summing by PyTorch."""
    grouped = getattr(torch.nn.functional, "grouped_mm", getattr(torch, "_grouped_mm", None))
    if grouped is None:
        raise Unavailable("this PyTorch has no grouped_mm")
    shape = weights.shape
    w1, w2 = weights.w1.transpose(-2, -1), weights.w2.transpose(-2, -1)

    def run():
        flat = inputs.ids.reshape(-1)
        expert, order = torch.sort(flat, stable=True)
        ends = torch.cumsum(torch.histc(expert, bins=shape.E, min=0, max=shape.E - 1), 0,
                            dtype=torch.int32)
        rows = inputs.x[order // shape.k]
        both = grouped(rows, w1, offs=ends)
        hidden = torch.nn.functional.silu(both[:, :shape.I]) * both[:, shape.I:]
        router = inputs.router.to(inputs.x.dtype).reshape(-1)
        partial = grouped(hidden, w2, offs=ends) * router[order][:, None]
        back = torch.empty_like(order)
        back[order] = torch.arange(order.numel(), device=order.device)
        return partial[back].view(inputs.tokens, shape.k, shape.H).sum(1)
    return run


def transformers_experts(backend):
    """One of the experts backends of Hugging Face transformers."""
    def make(torch, weights, inputs):
        shape = weights.shape
        copied = inputs.tokens * shape.k * 3 * shape.H * shape.I * weights.w1.element_size()
        if backend == "batched_mm" and copied > 8 << 30:
            raise Unavailable(f"it copies weights for every row, {copied / 1e9:.0f} GB")
        try:
            config_class = importlib.import_module("transformers").Qwen3MoeConfig
            models = importlib.import_module("transformers.models.qwen3_moe.modeling_qwen3_moe")
            experts_class = models.Qwen3MoeExperts
        except (ImportError, AttributeError) as error:
            raise Unavailable(f"transformers: {error}") from error
        config = config_class(hidden_size=shape.H, moe_intermediate_size=shape.I,
                              num_experts=shape.E, num_experts_per_tok=shape.k,
                              hidden_act="silu", num_hidden_layers=1)
        config._experts_implementation = backend
        with torch.device("meta"):
            experts = experts_class(config)
        for name, tensor in (("gate_up_proj", weights.w1), ("down_proj", weights.w2)):
            if tuple(getattr(experts, name).shape) != tuple(tensor.shape):
                raise Unavailable(f"{name} has another layout in this version")
            setattr(experts, name, torch.nn.Parameter(tensor, requires_grad=False))
        ids = inputs.ids.long()

        def run():
            with torch.no_grad():
                return experts(inputs.x, ids, inputs.router.to(inputs.x.dtype))
        return run
    return make


def triton_fused(torch, weights, inputs):
    """The standard fused kernel in Triton, with the better of a few tile sizes."""
    try:
        kernels = importlib.import_module("gpukit.triton_moe")
    except ImportError as error:
        raise Unavailable(f"triton: {error}") from error
    return kernels.prepare(weights, inputs)


PEERS = {
    "torch grouped_mm": torch_grouped_mm,
    "transformers grouped_mm": transformers_experts("grouped_mm"),
    "transformers batched_mm": transformers_experts("batched_mm"),
    "Triton fused MoE": triton_fused,
}
