# RUN: %python %s | FileCheck %s
# CHECK: {{[0-9]+}} layers agree in both forms
"""Layers by the sequential kernels and by those that stage operands in registers.

The cases of specialize-interpret.py for AMD chips: the tile interpreter runs
both forms, all memory at the end has equal bits under several schedules, and
what was deposited before a barrier is not seen before it.
"""

import importlib.util
import os
import random
import sys

spec = importlib.util.spec_from_file_location(
    "forms", os.path.join(os.path.dirname(os.path.abspath(__file__)), "specialize-interpret.py"))
forms = importlib.util.module_from_spec(spec)
spec.loader.exec_module(forms)
Layer = forms.Layer


def staged(m, n, k=64, stages=1, **more):
    return dict(block=[m, n, k], stages=stages, a="gather", b="vector", store="vector", **more)


def main():
    random.seed(4)
    plain, two = staged(64, 64), staged(64, 64, stages=2)
    direct = {"a": "lds_direct", "b": "lds_direct"}
    cases = [
        # One stage and two; odd and even numbers of k steps (3, 2 and 1); tails in n and k.
        ("gfx942", Layer("gated", staged(64, 32), plain, tokens=90, hidden=192, inner=128)),
        ("gfx950", Layer("two_stages", staged(64, 32, stages=2), two, tokens=40, hidden=192, inner=128)),
        ("gfx950", Layer("four_steps", staged(64, 32, stages=2), two, tokens=40, hidden=256, inner=64)),
        ("gfx942", Layer("tails", staged(32, 32), staged(32, 64), hidden=136, inner=96, tokens=33, workers=2)),
        ("gfx1100", Layer("short_rows", staged(32, 32, 32), staged(32, 64, 32), hidden=64, inner=64, tokens=20)),
        ("gfx1201", Layer("f16", staged(32, 32), staged(32, 64), dtype="f16", hidden=64, inner=64)),
        ("gfx942", Layer("n_major", staged(64, 32) | {"order": "n_major"}, plain | {"order": "expert_major"},
                         tokens=150, experts=2, workers=3, inner=64)),
        # Copied straight to buffers of two stages; 3, 2 and 1 steps.
        ("gfx950", Layer("direct", staged(64, 32, stages=2) | direct, two | direct, tokens=40, hidden=192, inner=128)),
        ("gfx942", Layer("direct_one_step", staged(64, 32, stages=2) | direct, two | direct, tokens=40, hidden=64, inner=64)),
        ("gfx942", Layer("no_rows", staged(16, 32), staged(16, 64), route=lambda t, j: -1, inner=64)),
        ("gfx942", Layer("one_expert", staged(16, 32), staged(16, 64), route=lambda t, j: 2, inner=64)),
        ("gfx1151", Layer("interleaved", plain, plain, gate_up="<interleaved>", inner=64, bias=True)),
        ("gfx942", Layer("weight_at_input", plain, plain, extra="weight_place = input", topk=1, inner=64,
                         activation="relu2", gate_up="")),
        ("gfx942", Layer("counter_becomes_stride", staged(32, 32) | {"claim": "counter"}, plain, inner=64)),
        # Products that are scaled into a sum, results that are quantised again; scales come one step ahead.
        *[(chip, Layer(f"fp8_{chip}", None, t, tokens=t, hidden=h, inner=i, weights="f8E4M3FN"))
          for chip, t, h, i in (("gfx942", 40, 384, 128), ("gfx1100", 7, 256, 256), ("gfx1201", 9, 128, 128))],
        # What moe-select-config chooses.
        *[(chip, Layer(f"{chip}_{t}", None, t, tokens=t, hidden=136, inner=96, bias=True))
          for chip, t in (("gfx942", 4), ("gfx950", 40), ("gfx1100", 9), ("gfx1151", 60), ("gfx1201", 130))],
    ]
    chosen = sys.argv[1:]
    done = 0
    for chip, case in cases:
        if chosen and case.name not in chosen:
            continue
        text = case.check(chip)
        if chosen:
            print(text)
        done += 1
    print(f"{done} layers agree in both forms")


if __name__ == "__main__":
    main()
