# RUN: %python %s | FileCheck %s
# CHECK: {{[0-9]+}} layers agree, {{[0-9]+}} mutants noticed
"""Both products in one kernel against sequential kernels of a launch each, in the tile interpreter.

All memory that both have must have equal bits, under several schedules of the roles and numbers of
blocks. What orders the products is then taken away, one thing after the other: the interpreter, or
moe-tile-verify-sync, has to notice.
"""

import importlib.util
import os
import random
import re
import subprocess
import sys

spec = importlib.util.spec_from_file_location(
    "layers", os.path.join(os.path.dirname(os.path.abspath(__file__)), "specialize-interpret.py"))
layers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(layers)
DECIDE = [*layers.DECIDE[:2], "--moe-choose-formulation=formulation=open"]
# (what is said of it, expression, what it becomes)
MUTANTS = (
    ("rows of the second product are not awaited", r"\n *moe_tile\.await %[^\n]*", ""),
    ("nobody signals", r"\n *moe_tile\.signal [^\n]*", ""),
    ("one tile less is awaited", r"constant (\d+) : i32\n( *)moe_tile\.roles",
     lambda m: f"constant {int(m[1]) - 1} : i32\n{m[2]}moe_tile.roles"),
    ("arrivals begin where they were left", r"\n *memref\.store %\S+, %arg1\[[^\n]*", ""),
    ("arrivals at the sum begin where they were left", r"\n *memref\.store %\S+, %arg2\[[^\n]*", ""),
    ("the grid may be larger than the device", r", resident>", ">"),
)


def interpret(text, functions, workers, seed):
    command = ["moe-opt", f"--moe-tile-interpret=functions={functions} schedules=4 workers={workers} seed={seed}",
               "-o", os.devnull]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def fails(text, seed):
    """Whether the proof, which needs no schedule, or a run by other schedules complains."""
    if seed == 0:
        return subprocess.run(["moe-opt", "--moe-tile-verify-sync", "-o", os.devnull], input=text,
                              capture_output=True, text=True, check=False).returncode != 0
    return interpret(text, "ref,layer", 1 + seed % 4, seed).returncode != 0


def build(layer, fix):
    """A plan of sequential kernels and the same with one kernel of two products."""
    fold = f"--moe-fold-scales=packed-operand packed-rows=36 tokens={layer.tokens} min-run=128 zero=element"
    text = layers.run(layer.text(), *DECIDE, fold,
                      f"--moe-select-config=target=sm_90a tokens={layer.tokens} fix=formulation=one_launch{fix}")
    tiles = layers.run(text, "--moe-to-tile=pdl=true", "--canonicalize", "--cse")
    body = tiles.strip().removeprefix("module {").removesuffix("}")
    reference = re.sub(r", moe_tile.one_launch|moe_tile.one_launch, ", "", body.replace("@layer", "@ref"))
    reference = re.sub(r"moe.config = #moe.config<[^>]*>", "test.ref", reference)
    for i, test in enumerate(layer.tests):
        reference = reference.replace(f'{{moe.name = "arg{i}"', f'{{{test}, moe.name = "arg{i}"', 1)
    explicit = layers.run("module {" + reference + body + "}", "--moe-tile-to-explicit=target=sm_90a")
    if explicit.count("form<explicit>") != 1:
        sys.exit(f"{layer.name}: not one explicit kernel\n{explicit}")
    return explicit


def main():
    random.seed(5)
    layer = layers.Layer
    cases = [
        layer("one", None, 1, tokens=1, experts=5, topk=3, hidden=200, inner=136),
        layer("few", None, 1, tokens=4, experts=3, topk=2, hidden=136, inner=72),
        layer("no_rows", None, 1, tokens=2, route=lambda t, j: -1),
        layer("absent", None, 1, tokens=5, topk=3, experts=4, route=lambda t, j: -1 if (t + j) % 3 == 0 else (t + j) % 4),
        layer("same_expert", None, 1, tokens=3, topk=2, route=lambda t, j: 1),
        layer("plain", None, 1, tokens=2, activation="relu2", gate_up="", hidden=72, inner=200),
        layer("bias", None, 1, tokens=2, bias=True, activation="swiglu_oai"),
        layer("f16", None, 1, tokens=1, dtype="f16", hidden=328),
        layer("fp8", None, 1, tokens=3, hidden=256, inner=256, weights="f8E4M3FN"),
        layer("packed", None, 1, tokens=3, hidden=256, inner=128, weights="packed", group=128),
        layer("packed_zero", None, 1, tokens=1, hidden=256, inner=256, weights="packed_zero", group=128),
    ]
    done = noticed = 0
    for number, case in enumerate(cases):
        # The sum by the last of a token's tiles, or by a launch.
        text = build(case, "" if number % 3 != 1 else ",reduce_by=rows")
        for workers in (1, 3):
            ran = interpret(text, "ref,layer", workers, random.randrange(1000))
            if ran.returncode:
                sys.exit(f"{case.name} with {workers} workers: {ran.stderr[:3000]}")
        done += 1
        for what, pattern, new in MUTANTS if case.name in ("one", "fp8") else ():
            changed, count = re.subn(pattern, new, text)
            if not count:
                sys.exit(f"{case.name}: nothing to change so that {what}\n{text}")
            if not any(fails(changed, seed) for seed in range(8)):
                sys.exit(f"{case.name}: not noticed: {what}")
            noticed += 1
    print(f"{done} layers agree, {noticed} mutants noticed")


if __name__ == "__main__":
    main()
