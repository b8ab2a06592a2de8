# RUN: %python %s | FileCheck %s
# CHECK: {{[0-9]+}} choices as expected
"""What moe-select-config chooses for 16-bit layers on sm_90a.

Mean rows per hit expert decide block m and swap; where gate and up rows stand
decides whether the weights may be swapped; shared memory the stages.
"""

import re
import subprocess
import sys

SMEM, BARRIERS, ROW = 232448, 1024, 128


def choose(tokens, experts=128, topk=8, hidden=2048, inner=768, gate_up="<halves>", dtype="bf16", limit=3):
    rows = 2 * inner if gate_up else inner
    text = f"""func.func @layer(%x: tensor<?x{hidden}x{dtype}>, %ids: tensor<?x{topk}xi32>, %tw: tensor<?x{topk}xf32>,
  %w1: tensor<{experts}x{rows}x{hidden}x{dtype}>, %w2: tensor<{experts}x{hidden}x{inner}x{dtype}>,
  %y: tensor<?x{hidden}x{dtype}>) -> tensor<?x{hidden}x{dtype}> {{
  %r = moe.fused_experts x(%x : tensor<?x{hidden}x{dtype}>) topk(%ids, %tw : tensor<?x{topk}xi32>, tensor<?x{topk}xf32>)
    w1(%w1 : tensor<{experts}x{rows}x{hidden}x{dtype}>) w2(%w2 : tensor<{experts}x{hidden}x{inner}x{dtype}>)
    activation <{"swiglu" if gate_up else "relu2"}> {"gate_up " + gate_up if gate_up else ""}
    outs(%y : tensor<?x{hidden}x{dtype}>) -> tensor<?x{hidden}x{dtype}>
  return %r : tensor<?x{hidden}x{dtype}>
}}"""
    done = subprocess.run(
        ["moe-opt", "--moe-decompose-layer", "--moe-fuse-epilogue", "--moe-choose-formulation=formulation=grouped",
         f"--moe-select-config=target=sm_90a tokens={tokens} limit={limit}"], input=text, capture_output=True, text=True)
    if done.returncode:
        return done.stderr
    lists = re.findall(r"config \[(.*?)\] outs", done.stdout)
    return [[read(c) for c in re.findall(r"#moe.config<(.*?)>", text)] for text in lists]


def read(text):
    fields = dict(re.findall(r'(\w+) = (\[[^]]*\]|"[^"]*"|\w+)', text))
    fields["block"] = [int(n) for n in fields["block"].strip("[]").split(",")]
    return {k: int(v) if isinstance(v, str) and v.isdigit() else v for k, v in fields.items()}


failures, count = [], 0


def expect(what, got, want):
    global count
    count += 1
    if got != want:
        failures.append(f"{what}: {got}, expected {want}")


def budget(config, gated):
    m, n, _ = config["block"]
    staging = 2 * m * ROW if config["store"] != '"vector"' else 0
    return config["stages"] * (m + n * (2 if gated else 1)) * ROW + staging + BARRIERS


def main():
    # Tokens of Qwen3-30B-A3B: 8 slots on 128 experts.
    # With 12 rows and more per expert a tile of 64 has them on the row side.
    for tokens, m, swap in ((1, 8, True), (3, 8, True), (16, 16, True), (40, 64, True), (64, 64, True), (180, 64, True),
                            (200, 64, False), (1024, 64, False), (2048, 128, False), (16384, 128, False)):
        first, second = choose(tokens)
        expect(f"{tokens} tokens: block m", first[0]["block"][0], m)
        expect(f"{tokens} tokens: blocks", [c[0]["block"] for c in (first, second)],
               [[m, 64 if swap else 128, 64], [m, 128 if swap else 256, 64]])
        expect(f"{tokens} tokens: swap", [c[0].get("swap") for c in (first, second)], ["true" if swap else None] * 2)
        expect(f"{tokens} tokens: stores", [c[0]["store"] for c in (first, second)],
               ['"vector"'] * 2 if swap else ['"desc"', '"staged"' if m == 64 else '"desc"'])
        # Where nobody sorts, rows are found by arithmetic.
        expect(f"{tokens} tokens: a", [c[0]["a"] for c in (first, second)],
               ['"desc"' if tokens == 1 else '"gather"', '"desc"'])
        # The rows before the sum over top-k, never those between the products.
        expect(f"{tokens} tokens: partial", [c[0].get("partial") for c in (first, second)],
               [None, None if m < 64 else '"bf16"'])
        for gated, ranked in ((True, first), (False, second)):
            # 32 gate beside 32 up rows could not be split.
            expect(f"{tokens} tokens: candidates", len(ranked), 2 if swap and gated and m < 64 else 3)
            for config in ranked:
                expect(f"{tokens} tokens: fits", budget(config, gated) <= SMEM, True)
            one_more = dict(ranked[0], stages=ranked[0]["stages"] + 1)
            if gated and m == 64 and not swap:
                expect(f"{tokens} tokens: slots of gathered rows", ranked[0]["stages"], 3)
                continue
            expect(f"{tokens} tokens: as many stages as fit", budget(one_more, gated) > SMEM or
                   one_more["stages"] > 12, True)
            expect(f"{tokens} tokens: second choice", (ranked[1]["block"], ranked[1]["stages"]),
                   (ranked[0]["block"], ranked[0]["stages"] - 1))
    # Rows in f16 are not rounded to bf16.
    expect("f16 partial", choose(4096, dtype="f16")[1][0].get("partial"), None)
    # Gate rows beside up rows: tokens take the side of 64 rows even if they are few.
    for gate_up, swapped in (("<interleaved>", False), ("<blocks 32>", False), ("<blocks 64>", True), ("<blocks 128>", True)):
        first, second = choose(4, gate_up=gate_up)
        expect(f"{gate_up}: block m", first[0]["block"][0], 8 if swapped else 64)
        expect(f"{gate_up}: swap", first[0].get("swap"), "true" if swapped else None)
        expect(f"{gate_up}: the other GEMM may", second[0].get("swap"), "true")
    # A fragment of every other column has no pairs to stage.
    expect("interleaved store", choose(4096, gate_up="<interleaved>")[0][0]["store"], '"vector"')
    # Narrow results take narrow tiles.
    expect("48 gate columns", choose(4, inner=48)[0][0]["block"], [64, 32, 64])
    expect("64 gate columns", choose(4, inner=64)[0][0]["block"], [8, 64, 64])
    expect("24 columns", choose(4096, inner=24, gate_up="")[0][0]["block"], [128, 32, 64])
    expect("72 columns", choose(4096, inner=72, gate_up="")[0][0]["block"], [128, 128, 64])
    # A pitch that neither descriptors nor copies of 16 bytes take.
    message = choose(4, inner=100)
    expect("pitch", isinstance(message, str) and
           "rule pitch: rows of 100 values have 200 bytes, not a multiple of 16" in message, True)
    if failures:
        sys.exit("\n".join(failures))
    print(f"{count} choices as expected")


main()
