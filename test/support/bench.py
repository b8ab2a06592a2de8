"""CPU benchmark of one layer: memory bandwidth at T = 1, NumPy at larger counts.

usage: bench.py BUILD [--model NAME] [--tokens 1,64,1024] [--dtypes f32,bf16,...]
                [--routing zipf1] [--seed 0] [--workers 0] [--no-peer]
                [--json FILE] [--markdown FILE]

Every row is measured on this machine, now: each run is checked against the
reference first; times are medians with caches flushed before each repetition.
The peer are the two GEMMs of every hit expert in f32 by NumPy, all else left
out of its time.
"""

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "Integration", "Inputs"))

import layers  # pylint: disable=wrong-import-position
import shapes  # pylint: disable=wrong-import-position

MODELS = {  # E, k, H, I
    "qwen3-30b-a3b": (128, 8, 2048, 768),
    "qwen3.5-35b-a3b": (256, 8, 2048, 512),
    "mixtral-8x7b": (8, 2, 4096, 14336),
    "olmoe-1b-7b": (64, 8, 2048, 1024),
}
DTYPES = {"f32": shapes.PLAIN[0], "bf16": shapes.PLAIN[1], "f16": shapes.PLAIN[2],
          "fp8-block": shapes.FP8_BLOCK, "w4a16-g128": shapes.W4A16}
# What the project promises: share of the read bandwidth at one token, speed
# against the peer at others.
BANDWIDTH_GOAL = 0.85
PEER_GOALS = {("f32", 64): 4.0, ("bf16", 64): 6.0, ("f32", 1024): 1.8, ("bf16", 1024): 1.8}


def measure(build, model, dtype, options):
    """The report of moe-run for one dtype, all token counts."""
    experts, topk, hidden, inner = MODELS[model]
    layer = shapes.Layer("bench_" + dtype.replace("-", "_"), DTYPES[dtype], experts, topk,
                         hidden, inner)
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "layer.mlir")
        report = os.path.join(folder, "report.json")
        with open(source, "w", encoding="utf-8") as file:
            file.write(layers.layer_mlir(layer))
        command = [os.path.join(build, "bin", "moe-run"), source, "--tokens", options.tokens,
                   "--routing", options.routing, "--seed", str(options.seed),
                   "--workers", str(options.workers), "--check", "--check-rows", "16",
                   "--bench", "--json", report]
        run = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if not os.path.exists(report):
            return None
        result = json.load(open(report, encoding="utf-8"))
        result["passed"] = run.returncode == 0
        return result


def measure_peer(model, options):
    """NumPy's times by token count."""
    command = [sys.executable, os.path.join(HERE, "numpy_layer.py"),
               *map(str, MODELS[model]), options.tokens, options.routing, str(options.seed)]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return {line["tokens"]: line for line in lines}


def make_row(dtype, case, peer):
    bench, check = case["bench"], case["check"]
    row = {"dtype": dtype, "tokens": case["tokens"], "variant": case["variant"],
           "workers": case["workers"], "rel_err": check["rel_err"], "passed": check["passed"],
           "peak_memory_bytes": case["peak_memory_bytes"], **bench}
    goal, value = None, None
    if case["tokens"] == 1:
        goal, value = BANDWIDTH_GOAL, bench["of_read_bandwidth"]
    if peer:
        row["peer_gemm_seconds"] = peer["gemm_seconds"]
        row["peer_layer_seconds"] = peer["layer_seconds"]
        row["speed_up"] = peer["gemm_seconds"] / bench["cold_seconds"]
        if (dtype, case["tokens"]) in PEER_GOALS:
            goal, value = PEER_GOALS[dtype, case["tokens"]], row["speed_up"]
    row["goal"], row["reached"] = goal, None if goal is None else value >= goal
    return row


HEADER = ("dtype", "T", "rel_err", "ms", "tokens/s", "GB/s", "of read bw", "GFLOP/s",
          "peak GB", "NumPy ms", "speed-up", "goal")


def cells(row):
    def of(key, text, factor=1.0):
        return text.format(row[key] * factor) if row.get(key) is not None else "-"

    goal = "-"
    if row["goal"] is not None:
        unit = f"{row['goal']:.0%}" if row["tokens"] == 1 else f"{row['goal']}x"
        goal = f"{unit} {'reached' if row['reached'] else 'missed'}"
    error = of("rel_err", "{:.1e}") + ("" if row["passed"] else " FAILED")
    return (row["dtype"], str(row["tokens"]), error, of("cold_seconds", "{:.3f}", 1e3),
            of("tokens_per_second", "{:.1f}"), of("bytes_per_second", "{:.1f}", 1e-9),
            of("of_read_bandwidth", "{:.0%}"), of("flops_per_second", "{:.0f}", 1e-9),
            of("peak_memory_bytes", "{:.2f}", 1e-9), of("peer_gemm_seconds", "{:.3f}", 1e3),
            of("speed_up", "{:.2f}"), goal)


def table(rows):
    """A Markdown table with columns of equal width."""
    lines = [HEADER] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    text = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build")
    parser.add_argument("--model", default="qwen3-30b-a3b", choices=sorted(MODELS))
    parser.add_argument("--tokens", default="1,64,1024")
    parser.add_argument("--dtypes", default="f32,bf16,fp8-block,w4a16-g128")
    parser.add_argument("--routing", default="zipf1")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    options = parser.parse_args()

    unknown = set(options.dtypes.split(",")) - set(DTYPES)
    if unknown:
        parser.error(f"unknown dtype {sorted(unknown)[0]}; known: {', '.join(DTYPES)}")
    peers = {} if options.no_peer else measure_peer(options.model, options)
    blas = {peer["blas"] for peer in peers.values()} | {peer["numpy"] for peer in peers.values()}
    if "reference BLAS" in blas:
        print("bench: NumPy uses the reference BLAS, which is no peer; install "
              "libopenblas0-pthread", file=sys.stderr)
        return 1
    rows, machine, failed = [], {}, False
    for dtype in options.dtypes.split(","):
        report = measure(options.build, options.model, dtype, options)
        if report is None:
            print(f"bench: {dtype}: no result", file=sys.stderr)
            failed = True
            continue
        machine = report["machine"]
        failed |= not report["passed"]
        for case in report["cases"]:
            rows.append(make_row(dtype, case, peers.get(case["tokens"])))
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    command = "./dev bench " + " ".join(shlex.quote(a) for a in sys.argv[2:])
    bandwidth = rows[0]["read_bandwidth"] * 1e-9 if rows else 0
    heading = (f"{options.model}, routing {options.routing}, {date}, "
               f"{machine.get('processor', '?')} ({machine.get('isa', '?')}), "
               f"{rows[0]['workers'] if rows else '?'} threads, "
               f"read bandwidth {bandwidth:.1f} GB/s, NumPy with {' '.join(sorted(blas)) or '-'}; "
               f"`{command.strip()}`")
    print(heading + "\n\n" + table(rows))
    if options.markdown:
        with open(options.markdown, "w", encoding="utf-8") as file:
            file.write(heading + "\n\n" + table(rows) + "\n")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"model": options.model, "date": date, "command": command,
                       "machine": machine, "rows": rows}, file, indent=2)
            file.write("\n")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
