"""Compiles layers of well-known models for AMD chips: no kernel spills or has scratch.

usage: reference_layers.py FOLDER GROUP

Of the groups `pairs` takes every layer with two chips and every chip with at least one layer, at few and at many tokens;
`product` takes all layers, chips and token counts. Prints per layer and chip the number of kernels and the
most registers that one has.
"""

import json
import os
import subprocess
import sys

LAYERS = (
    ("qwen3-30b-a3b", "bf16", 1),
    ("deepseek-v3", "fp8-block", 8),
    ("qwen3.5-35b-a3b", "w4a16-g128", 1),
    ("gpt-oss-120b", "mxfp4", 1),
)
CHIPS = ("gfx942", "gfx950", "gfx1100", "gfx1151", "gfx1201")
# Two chips of a layer; what RDNA3 lacks, 8-bit floats and registers, is among them.
PAIRS = {
    "qwen3-30b-a3b": ("gfx942", "gfx1151"),
    "deepseek-v3": ("gfx1100", "gfx1201"),
    "qwen3.5-35b-a3b": ("gfx950", "gfx1151"),
    "gpt-oss-120b": ("gfx1100", "gfx942"),
}
TOKENS = {"pairs": "1,1024", "product": "1,2,4,8,16,32,64,128,256,512,1024,2048,4096,16384"}


def main(folder, group):
    total = 0
    for model, dtype, tp in LAYERS:
        chips = CHIPS if group == "product" else PAIRS[model]
        for chip in chips:
            out = os.path.join(folder, f"{model}-{chip}")
            command = ["moe-compile", "--model", model, "--dtype", dtype, "--tp", str(tp), "--target", chip]
            command += ["--tokens", TOKENS[group], "-o", out]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{' '.join(command)}\n{done.stderr}")
            with open(os.path.join(out, "manifest.json"), encoding="utf-8") as file:
                variants = json.load(file)["variants"]
            counts = len(TOKENS[group].split(","))
            # Neighbouring counts with the same tiles share one.
            assert 2 <= len(variants) <= counts, (model, chip, len(variants), counts)
            kernels, registers = 0, 0
            for variant in variants:
                for launch in variant["launches"]:
                    own = launch["resources"]
                    if own["spills"] or own["scratch"]:
                        sys.exit(f"{model} {chip} {variant['tokens']}: {launch['kernel']} {own}")
                    kernels += 1
                    registers = max(registers, own["registers"])
            print(f"{model} {dtype} {chip}: {kernels} kernels, {registers} registers")
            total += kernels
    print(f"{total} kernels without spills or scratch")


if __name__ == "__main__":
    main(*sys.argv[1:])
