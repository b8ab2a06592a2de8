# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""With --batch-invariant all decisions are the same for all token counts."""

import subprocess

LAYERS = [(model, dtype, target) for target in ("sm_90a", "gfx942", "cpu")
          for model, dtype in (("qwen3-30b-a3b", "bf16"), ("qwen3-30b-a3b", "fp8-block"),
                               ("qwen3-30b-a3b", "w4a16-g128"), ("deepseek-v3", "fp8-block"))]


def decided(layer, tokens, *options):
    model, dtype, target = layer
    return subprocess.run(["moe-compile", "--model", model, "--dtype", dtype, "--target", target,
                           "--tokens", str(tokens), "--emit", "moe", *options], check=True,
                          capture_output=True, text=True).stdout


for one in LAYERS:
    counts = (1, 7, 64, 256, 4096)
    assert len({decided(one, count, "--batch-invariant") for count in counts}) == 1, one
    assert len({decided(one, count) for count in counts}) > 1, one
print(f"{len(LAYERS)} layers: one choice each with --batch-invariant, several without")
