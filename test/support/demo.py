"""Compiles one real layer, runs it on the CPU, checks it, prints a short table.

usage: demo.py BUILD
"""

import json
import os
import subprocess
import sys

MODEL = "qwen3-30b-a3b"
TARGETS = ("cpu", "sm_90a", "gfx942")
DTYPES = ("bf16", "fp8-block", "w4a16-g128")
TOKENS = "1,16,256"
HEADER = ("dtype", "T", "rel_err", "tolerance", "rows", "time ms", "tokens/s", "memory GB")


def tool(build, name, *arguments):
    """Runs a tool of the build; its table goes nowhere, its errors to stderr."""
    path = os.path.join(build, "bin", name)
    return subprocess.run([path, *arguments], stdout=subprocess.DEVNULL, check=False).returncode


def compile_layer(build, dtype, folder):
    return tool(build, "moe-compile", "--model", MODEL, "--dtype", dtype,
                "--target", ",".join(TARGETS), "--allow-missing-targets",
                "--tokens", TOKENS, "-o", folder)


def built_targets(folder):
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
        return {variant["target"] for variant in json.load(file)["variants"]}


def run_layer(build, folder):
    """The cases of moe-run's report and whether all checks passed."""
    report = os.path.join(folder, "report.json")
    if os.path.exists(report):
        os.remove(report)
    status = tool(build, "moe-run", folder, "--tokens", TOKENS, "--routing", "zipf1", "--check",
                  "--bench", "--repetitions", "5", "--json", report)
    if not os.path.exists(report):
        return [], False
    with open(report, encoding="utf-8") as file:
        return json.load(file)["cases"], status == 0


def make_cells(dtype, case):
    check, bench = case["check"], case["bench"]
    error = "nan" if check["rel_err"] is None else f"{check['rel_err']:.1e}"
    return (dtype, str(case["tokens"]),
            f"rel_err={error}" + ("" if check["passed"] else " FAILED"),
            f"{check['tolerance']:.0e}", str(check["rows"]), f"{bench['cold_seconds'] * 1e3:.2f}",
            f"{bench['tokens_per_second']:.1f}", f"{case['peak_memory_bytes'] * 1e-9:.2f}")


def print_table(rows):
    lines = [HEADER, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def main(build):
    rows, missing, passed = [], {target: [] for target in TARGETS}, True
    for dtype in DTYPES:
        folder = os.path.join(build, "demo", dtype)
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        print(f"== {MODEL} {dtype}: compile and run", file=sys.stderr, flush=True)
        if compile_layer(build, dtype, folder) != 0:
            passed = False
            continue
        for target in set(TARGETS) - built_targets(folder):
            missing[target].append(dtype)
        cases, ok = run_layer(build, folder)
        passed &= ok
        rows += [make_cells(dtype, case) for case in cases]
    print(f"\n{MODEL} on this CPU, zipf1 routing")
    print_table(rows)
    for target in TARGETS:
        if len(missing[target]) == len(DTYPES):
            print(f"{target}: not built yet")
        elif missing[target]:
            print(f"{target}: compiled, but not yet for {', '.join(missing[target])}")
        else:
            print(f"{target}: compiled")
    return 0 if passed and len(rows) == len(DTYPES) * len(TOKENS.split(",")) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
