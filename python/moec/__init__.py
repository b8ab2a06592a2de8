# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Load and run compiled Mixture-of-Experts layers on NumPy arrays and PyTorch tensors.

    import moec
    layer = moec.load("qwen3")                 # a directory from moe-compile
    y = layer(x, topk_ids, topk_weights, w1, w2)

    moec.register(layer)                       # or with vLLM's signature:
    y = moec.fused_experts(x, w1, w2, topk_weights, topk_ids)

    weights = moec.read_experts("Qwen3-30B-A3B", layer=3)   # of a Hugging Face checkpoint

PyTorch tensors on an NVIDIA GPU run there, on the current stream, also under torch.cuda.graph.

NumPy has neither bf16 nor fp8. Such arguments are arrays of their bits (uint16
and uint8), or arrays of the ml_dtypes package's types, which need not be installed;
`to_bf16` and `from_bf16` convert. Nothing else is converted silently.

All errors of the run time are `moec.Error`, with its status in `.status`.
"""

from ._checkpoint import read_experts
from ._dtypes import from_bf16, to_bf16
from ._fused import fused_experts, register, registered, unregister
from ._layer import Argument, Layer, RunStats, Variant, load
from ._library import Error, cpu_isa, cpu_supports, set_library, version
from ._pool import Pool

__all__ = [
    "Argument", "Error", "Layer", "Pool", "RunStats", "Variant", "cpu_isa", "cpu_supports",
    "from_bf16", "fused_experts", "load", "read_experts", "register", "registered", "set_library", "to_bf16",
    "unregister", "version",
]
