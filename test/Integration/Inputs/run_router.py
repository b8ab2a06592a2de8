"""Routers on logits with ties and NaN, and a router in front of its layer.

usage: run_router.py FOLDER ISA
"""

import os

import numpy as np

import batch
import ops

TOKENS = 33

# A layer that makes its own expert ids.
LAYER = """
func.func @routed(%x: tensor<?x64xbf16>, %l: tensor<?x12xf32>, %w1: tensor<12x96x64xbf16>,
                  %w2: tensor<12x64x48xbf16>, %out: tensor<?x64xbf16>) -> tensor<?x64xbf16> {
  %c0 = arith.constant 0 : index
  %t = tensor.dim %x, %c0 : tensor<?x64xbf16>
  %i = tensor.empty(%t) : tensor<?x3xi32>
  %w = tensor.empty(%t) : tensor<?x3xf32>
  %ids, %tw = moe.topk logits(%l : tensor<?x12xf32>) renormalize
    outs(%i, %w : tensor<?x3xi32>, tensor<?x3xf32>) -> tensor<?x3xi32>, tensor<?x3xf32>
  %y = moe.fused_experts x(%x : tensor<?x64xbf16>)
    topk(%ids, %tw : tensor<?x3xi32>, tensor<?x3xf32>)
    w1(%w1 : tensor<12x96x64xbf16>) w2(%w2 : tensor<12x64x48xbf16>)
    activation <swiglu> gate_up <halves>
    outs(%out : tensor<?x64xbf16>) -> tensor<?x64xbf16>
  return %y : tensor<?x64xbf16>
}
"""


def coarse_logits(folder, name, experts):
    """Few different values, so that most choices are ties; some are NaN."""
    random = np.random.default_rng(experts)
    logits = random.integers(-2, 3, (TOKENS, experts)).astype(np.float32)
    if "nan" in name:
        logits[random.random(logits.shape) < 0.2] = np.nan
    path = os.path.join(folder, name + ".npy")
    np.save(path, logits)
    return path


def generate(folder):
    for number, (experts, count, clauses) in enumerate((
            (8, 2, ""), (33, 5, "scoring = softmax_selected"),
            (64, 6, "scoring = sigmoid groups = 8 of_groups = 3"),
            (32, 4, "scoring = sigmoid groups = 4 of_groups = 2 group_score = top2_sum renormalize"))):
        name, text = ops.topk(number, "f32", experts, count, clauses)
        path = batch.write(folder, name, text)
        for kind in ("ties", "nan"):
            logits = coarse_logits(folder, f"{kind}-{number}", experts)
            yield f"{path} --tokens {TOKENS} --input arg0={logits} --check"
    yield f"{batch.write(folder, 'routed', LAYER)} --tokens 0,1,7,33 --check"


if __name__ == "__main__":
    batch.main(generate)
