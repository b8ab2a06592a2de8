# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The benchmark's document as text, table and plots."""

import json
import os


def recorded_ceilings():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers-h100.json")
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def ours(cell):
    """The best right result of a compiled layer, None if there is none."""
    return min((result for result in cell["results"] if result["ours"]),
               key=lambda result: result["us"], default=None)


def best_peer(cell):
    """The best of the peers that ran beside it."""
    return min((result for result in cell["results"] if not result["ours"]),
               key=lambda result: result["us"], default=None)


def verdict(cell):
    """'reached', 'missed' or '-'."""
    result = ours(cell)
    if result is None:
        return "-"
    return "reached" if result["us"] <= cell["limit_us"] else "missed"


def title(cell):
    """The model, and how its weights are stored if not as usual."""
    dtype = cell.get("dtype", "bf16")
    return cell["model"] if dtype == "bf16" else f"{cell['model']} {dtype}"


def line(cell):
    """One cell on one line."""
    parts = [f"{result['name']} {result['us']:.1f} us (x{result['ratio']:.2f}"
             + (f", err {result['relative_error']:.1e}" if result["relative_error"] is not None
                else "") + ")" for result in cell["results"]]
    text = (f"{title(cell)} T={cell['tokens']} {cell['routing']}: floor {cell['floor_us']:.1f}, "
            f"limit {cell['limit_us']:.1f} us, {verdict(cell)}; " + ", ".join(parts))
    for name, reason in cell["unavailable"].items():
        text += f"; no {name}: {reason}"
    return text


COLUMNS = ("model", "T", "routing", "active", "us", "floor us", "ratio", "limit us", "limit",
           "useful TFLOP/s", "padded TFLOP/s", "GB/s", "rel. error", "best live peer", "its us",
           "recorded peer", "its us")


def row(cell):
    result, peer, recorded = ours(cell), best_peer(cell), cell["recorded_peer"]
    mark = "F" if cell["bound"] == "arithmetic" else ""
    own = ("-",) * 7
    if result:
        error = result["relative_error"]
        own = (f"{result['us']:.1f}", f"{result['ratio']:.2f}", verdict(cell),
               f"{result['useful_tflops']:.0f}", f"{result['padded_tflops']:.0f}",
               f"{result['gigabytes_per_second']:.0f}", "-" if error is None else f"{error:.1e}")
    return (title(cell), str(cell["tokens"]), cell["routing"], str(cell["active"]), own[0],
            f"{cell['floor_us']:.1f}{mark}", own[1], f"{cell['limit_us']:.1f}", own[2], own[3],
            own[4], own[5], own[6], peer["name"] if peer else "-",
            f"{peer['us']:.1f}" if peer else "-", recorded["name"] if recorded else "-",
            f"{recorded['us']:.1f}" if recorded else "-")


def markdown(document):
    """The document as a page of Markdown."""
    machine, ceilings = document["machine"], document.get("ceilings", {})
    lines = [f"{machine['gpu']}, {machine['date']}, PyTorch {machine['torch']}, Triton "
             f"{machine['triton']}, transformers {machine['transformers']}.", ""]
    if "read_bytes_per_second" in ceilings:
        lines += [
            f"Ceilings{' (recorded)' if ceilings.get('recorded') else ' measured in the same run'}"
            f": read {ceilings['read_bytes_per_second'] / 1e12:.2f} TB/s, cuBLAS 8192³ "
            f"{ceilings['cublas_8192_flops_per_second'] / 1e12:.0f} TFLOP/s; an empty pair of "
            f"events, part of every time, {ceilings['empty_event_pair_us']:.1f} us.", ""]
    lines += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(row(cell)) + " |" for cell in document["cells"]]
    lines += ["", "F: the floor is arithmetic, elsewhere memory. Medians of graph replays with a "
              "cold second-level cache."]
    return "\n".join(lines) + "\n"


def plots(document, folder):
    """One PNG per model: time over floor by tokens. Nothing without matplotlib."""
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return []
    written = []
    for model in dict.fromkeys(title(cell) for cell in document["cells"]):
        routings = list(dict.fromkeys(cell["routing"] for cell in document["cells"]
                                      if title(cell) == model))
        figure, axes = pyplot.subplots(1, len(routings), figsize=(6 * len(routings), 4.5),
                                       squeeze=False)
        for axis, routing in zip(axes[0], routings):
            cells = [cell for cell in document["cells"]
                     if (title(cell), cell["routing"]) == (model, routing)]
            curves = {}
            for cell in cells:
                for result in cell["results"]:
                    curves.setdefault(result["name"], []).append((cell["tokens"], result["ratio"]))
                if cell["recorded_peer"]:
                    curves.setdefault("recorded best peer", []).append(
                        (cell["tokens"], cell["recorded_peer"]["us"] / cell["floor_us"]))
            for name, points in curves.items():
                axis.plot(*zip(*points), marker="o", label=name)
            axis.plot([cell["tokens"] for cell in cells],
                      [cell["limit_us"] / cell["floor_us"] for cell in cells], "k:", label="limit")
            axis.axhline(1.0, color="gray", linewidth=0.8)
            axis.set(xscale="log", yscale="log", xlabel="tokens", ylabel="time / floor",
                     title=f"{model}, {routing}")
            axis.legend(fontsize=7)
        figure.tight_layout()
        path = os.path.join(folder, f"{model.replace(' ', '-')}.png")
        figure.savefig(path, dpi=120)
        pyplot.close(figure)
        written.append(path)
    return written
