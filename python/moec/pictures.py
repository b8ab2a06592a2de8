# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Pictures of what was tuned, each as PNG and SVG.

    python -m moec.pictures table.json sweep.json [...] -o DIR
    moe-run --space-map | python -m moec.pictures --space-map - -o DIR

Files: tables of moe-tune and documents of `gpu-kit/run sweep`. Pictures: latency over tokens per
expert of every configuration, the best one marked, with the envelope of the best; roofline;
predicted over measured time; regret of the selector's choice per cell; the space map.
`--list` prints the cells instead and needs no matplotlib.
"""

import argparse
import json
import math
import os
import re
import sys
from typing import NamedTuple


class Config(NamedTuple):
    """A configuration with its time; `predicted` is 0 if nothing was."""

    name: str
    block_m: int
    us: float
    predicted: float
    chosen: bool


class Cell(NamedTuple):
    """A token count with a routing. `nbytes` and `flops` are 0 if unknown."""

    layer: str
    dtype: str
    device: str
    tokens: int
    routing: str
    rows: float
    nbytes: float
    flops: float
    configs: list

    def best(self):
        return min(self.configs, key=lambda config: config.us)

    def chosen(self):
        return next((config for config in self.configs if config.chosen), None)

    def regret(self):
        """Time of the selector's choice over the best; None if it was not measured."""
        chosen = self.chosen()
        return chosen.us / self.best().us if chosen else None


def read_table(document):
    """The cells of a table of moe-tune; number 0 of each is the selector's choice."""
    layer = document["layer"]
    for cell in document["cells"]:
        configs = [Config(str(number), choice["block_m"], choice["us"],
                          choice.get("predicted_us", 0), number == 0)
                   for number, choice in enumerate(cell["tune_configs"]) if choice["us"] > 0]
        if configs:
            yield Cell(layer["name"], layer["dtype"], document["device"], cell["tokens"],
                       cell["routing"], cell.get("tokens_per_expert", 0), cell.get("bytes", 0),
                       cell.get("flops", 0), configs)


# Bytes of a weight by how it is stored.
WEIGHT_BYTES = {"bf16": 2, "f16": 2, "f32": 4, "fp8-block": 1, "w4a16-g128": 0.5}


def read_sweep(document, part):
    """The cells of a sweep, with the times of a part: up, down or whole."""
    items = {item["name"]: item
             for item in document["artifacts"] + document.get("chosen", [])}
    first = {names[0]: int(tokens) for tokens, names in document.get("ranks", {}).items() if names}
    sizes = document.get("sizes")
    device = document.get("machine", {}).get("gpu", "")
    for cell in document["cells"]:
        configs = []
        for result in cell["results"]:
            item = items.get(result["name"], {})
            predicted = item.get("predicted_us")
            predicted = predicted.get(str(cell["tokens"]), {}) if isinstance(predicted, dict) else {}
            chosen = (result["name"].startswith("chosen")
                      or first.get(result["name"]) == cell["tokens"])
            configs.append(Config(result["name"], item.get("block_m", 0), result[part],
                                  predicted.get(part, 0), chosen))
        nbytes = flops = 0
        if sizes:
            share = {"up": 2, "down": 1, "whole": 3}[part] * sizes["H"] * sizes["I"]
            nbytes = WEIGHT_BYTES.get(document["dtype"], 2) * share * cell["active"]
            flops = 2 * share * cell["rows"]
        if configs:
            yield Cell(document["model"], document["dtype"], device, cell["tokens"],
                       cell["routing"], cell["rows"] / max(cell["active"], 1), nbytes, flops,
                       configs)


def read(path, part):
    """The cells of a file. ValueError says what is wrong with it."""
    with open(path, encoding="utf-8") as file:
        try:
            document = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    try:
        if "moec_tuned" in document:
            return list(read_table(document))
        if "artifacts" in document and "cells" in document:
            return list(read_sweep(document, part))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: misses {error}") from error
    raise ValueError(f"{path}: is neither a table of moe-tune nor a document of run sweep")


def read_space_map(lines):
    """[(archetype, tokens, use% with 16 rows, use% with 32)] of what moe-run --space-map prints."""
    found = []
    for line in lines:
        words = line.split()
        if len(words) >= 11 and words[1].isdigit():
            found.append((words[0], int(words[1]), float(words[7]), float(words[9])))
    if not found:
        raise ValueError("no line of moe-run --space-map")
    return found


def ceilings_of(paths):
    """Bytes and operations per second of the first document that has them, else None."""
    for path in paths:
        with open(path, encoding="utf-8") as file:
            found = json.load(file).get("ceilings")
        if found:
            return found["read_bytes_per_second"], found["cublas_8192_flops_per_second"]
    return None


def groups(cells):
    """{title: cells of one layer, dtype and routing, by rows}."""
    found = {}
    for cell in sorted(cells, key=lambda cell: cell.rows):
        found.setdefault(f"{cell.layer} {cell.dtype}, {cell.routing}", []).append(cell)
    return found


class Painter:
    """Draws and saves."""

    MARKERS = {8: "^", 16: "v", 32: "x", 64: "s", 128: "D", 192: "P", 256: "o"}

    def __init__(self, folder):
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
        # Text that stays text, and the same bytes each time.
        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "moec",
                                    "font.size": 10, "axes.grid": True, "grid.alpha": 0.3})
        self.pyplot, self.folder, self.written = pyplot, folder, []
        os.makedirs(folder, exist_ok=True)

    def axes(self, width=8.0, height=5.0):
        return self.pyplot.subplots(figsize=(width, height))

    def save(self, figure, name):
        figure.tight_layout()
        for ending, extra in (("png", {}), ("svg", {"metadata": {"Date": None}})):
            path = os.path.join(self.folder, f"{re.sub('[^A-Za-z0-9.-]+', '-', name)}.{ending}")
            figure.savefig(path, dpi=150, **extra)
            self.written.append(path)
        self.pyplot.close(figure)

    def latency(self, title, cells):
        figure, axis = self.axes()
        curves = {}
        for cell in cells:
            for config in cell.configs:
                curves.setdefault((config.block_m, config.name), []).append((cell.rows, config.us))
        sizes = sorted({block for block, _ in curves})
        colours = self.pyplot.get_cmap("viridis")
        named = set()
        for (block, _), points in sorted(curves.items()):
            place = sizes.index(block) / max(len(sizes) - 1, 1)
            axis.plot(*zip(*points), color=colours(place), linewidth=0.6, alpha=0.6,
                      marker=self.MARKERS.get(block, "."), markersize=4,
                      label=None if block in named else f"block m {block}")
            named.add(block)
        best = [(cell.rows, cell.best().us) for cell in cells]
        axis.plot(*zip(*best), "r--", linewidth=1.5, label="envelope of the best")
        axis.plot(*zip(*best), "r*", markersize=12, label="best")
        chosen = [(cell.rows, cell.chosen().us) for cell in cells if cell.chosen()]
        if chosen:
            axis.plot(*zip(*chosen), "ko", markersize=7, fillstyle="none", label="selector's choice")
        axis.set(xscale="log", yscale="log", xlabel="tokens per expert that is hit",
                 ylabel="time in us", title=title)
        axis.legend(fontsize=8)
        self.save(figure, "latency " + title)

    def roofline(self, cells, ceilings):
        cells = [cell for cell in cells if cell.nbytes and cell.flops]
        if not cells:
            return False
        figure, axis = self.axes()
        for title, some in groups(cells).items():
            axis.plot([cell.flops / cell.nbytes for cell in some],
                      [cell.flops / cell.best().us * 1e-6 for cell in some], "o-", markersize=5,
                      label=title)
        if ceilings:
            rate, flops = ceilings
            ridge = flops / rate
            low = min(cell.flops / cell.nbytes for cell in cells)
            high = max(max(cell.flops / cell.nbytes for cell in cells), 4 * ridge)
            axis.plot([low, ridge, high], [low * rate * 1e-12, flops * 1e-12, flops * 1e-12], "k-",
                      linewidth=1.2, label=f"{rate * 1e-12:.2f} TB/s, {flops * 1e-12:.0f} TFLOP/s")
        axis.set(xscale="log", yscale="log", xlabel="operations per byte of weights",
                 ylabel="useful TFLOP/s", title="Roofline")
        axis.legend(fontsize=8)
        self.save(figure, "roofline")
        return True

    def predicted(self, cells):
        points = [(config.predicted, config.us) for cell in cells for config in cell.configs
                  if config.predicted > 0]
        if not points:
            return False
        errors = sorted(abs(predicted / us - 1) for predicted, us in points)
        figure, axis = self.axes(6.5, 6.0)
        axis.plot(*zip(*[(us, predicted) for predicted, us in points]), ".", markersize=5)
        low, high = (f(min(p) if f is min else max(p) for p in points) for f in (min, max))
        axis.plot([low, high], [low, high], "k-", linewidth=1, label="as measured")
        for share in (0.8, 1.25):
            axis.plot([low, high], [low * share, high * share], "k:", linewidth=1,
                      label=f"x{share}")
        axis.set(xscale="log", yscale="log", xlabel="measured us", ylabel="predicted us",
                 title=f"Predicted: error median {errors[len(errors) // 2]:.0%}, "
                       f"90 % below {errors[len(errors) * 9 // 10]:.0%}")
        axis.legend(fontsize=8)
        self.save(figure, "predicted")
        return True

    def heat(self, rows, columns, value, text, title, label, name, limits):
        figure, axis = self.axes(2.5 + 0.75 * len(columns), 1.8 + 0.4 * len(rows))
        axis.grid(False)
        numbers = [[value.get((row, column), math.nan) for column in columns] for row in rows]
        image = axis.imshow(numbers, aspect="auto", cmap="RdYlGn" + ("_r" if name == "regret" else ""),
                            vmin=limits[0], vmax=limits[1])
        for y, row in enumerate(rows):
            for x, column in enumerate(columns):
                if (row, column) in value:
                    axis.text(x, y, text(value[row, column]), ha="center", va="center", fontsize=8)
        axis.set_xticks(range(len(columns)), [str(column) for column in columns])
        axis.set_yticks(range(len(rows)), rows)
        axis.set(xlabel="tokens", title=title)
        figure.colorbar(image, ax=axis, label=label)
        self.save(figure, name)

    def regret(self, cells):
        value = {(f"{cell.layer} {cell.dtype}, {cell.routing}", cell.tokens): cell.regret()
                 for cell in cells if cell.regret()}
        if not value:
            return False
        mean = math.exp(sum(map(math.log, value.values())) / len(value))
        self.heat(sorted({row for row, _ in value}), sorted({column for _, column in value}), value,
                  lambda number: f"{number:.3f}",
                  f"Regret: geometric mean {mean:.3f}, worst {max(value.values()):.3f}",
                  "time / best", "regret", (1.0, 1.15))
        return True

    def space_map(self, found):
        value = {}
        for archetype, tokens, use16, use32 in found:
            value[f"{archetype}, 16", tokens] = use16
            value[f"{archetype}, 32", tokens] = use32
        rows = list(dict.fromkeys(f"{archetype}, {block}" for block in (16, 32)
                                  for archetype, *_ in found))
        self.heat(rows, sorted({tokens for _, tokens, *_ in found}), value,
                  lambda number: f"{number:.0f}", "Rows in use by routing and block m", "% in use",
                  "space-map", (0.0, 100.0))


def print_list(cells):
    for cell in cells:
        regret, best = cell.regret(), cell.best()
        print(f"{cell.layer} {cell.dtype} T={cell.tokens} {cell.routing}: {cell.rows:.2f} rows, "
              f"{len(cell.configs)} configurations, best {best.name} {best.us:.1f} us, "
              f"regret {'-' if regret is None else format(regret, '.3f')}")
    known = [cell.regret() for cell in cells if cell.regret()]
    if known:
        mean = math.exp(sum(map(math.log, known)) / len(known))
        print(f"{len(known)} cells, regret geometric mean {mean:.4f}, worst {max(known):.4f}")


def main(arguments):
    parser = argparse.ArgumentParser(
        prog="moec.pictures", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="tables and documents of sweeps")
    parser.add_argument("-o", "--out", default="pictures", help="folder")
    parser.add_argument("--part", default="whole", choices=("up", "down", "whole"),
                        help="which times of a sweep")
    parser.add_argument("--space-map", help="what moe-run --space-map prints, - for the standard "
                        "input")
    parser.add_argument("--list", action="store_true", help="print the cells, draw nothing")
    options = parser.parse_args(arguments)
    try:
        cells = [cell for path in options.files for cell in read(path, options.part)]
        space = None
        if options.space_map == "-":
            space = read_space_map(sys.stdin)
        elif options.space_map:
            with open(options.space_map, encoding="utf-8") as file:
                space = read_space_map(file)
    except (OSError, ValueError) as error:
        print(f"moec.pictures: {error}", file=sys.stderr)
        return 1
    if not cells and not space:
        print("moec.pictures: nothing to draw; see --help", file=sys.stderr)
        return 1
    if options.list:
        print_list(cells)
        return 0
    try:
        painter = Painter(options.out)
    except ImportError:
        print("moec.pictures: needs matplotlib (Debian: python3-matplotlib)", file=sys.stderr)
        return 1
    for title, some in groups(cells).items():
        painter.latency(title, some)
    missing = []
    if cells:
        if not painter.roofline(cells, ceilings_of(options.files)):
            missing.append("roofline: no file says bytes and operations")
        if not painter.predicted(cells):
            missing.append("predicted: no file has predicted times")
        if not painter.regret(cells):
            missing.append("regret: no file has times of the selector's choice")
    if space:
        painter.space_map(space)
    for reason in missing:
        print(f"no picture of {reason}")
    for path in painter.written:
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
