# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Measures this GPU with the probes of moe-compile --probes and writes its device file."""

import datetime
import fnmatch
import json
import os
import re
import statistics
import sys

from . import cuda

VERSION = 1
# Read between two samples: the caches then hold nothing of the probe's.
FLUSH_BYTES = 256 << 20
# Launches of the two chains whose difference is the cost of one more.
LONG_CHAIN, SHORT_CHAIN = 102, 2
SAMPLES = {"rate": 7, "time": 7, "chain": 15, "dependent_chain": 15, "empty": 15}
WARM_UPS = 2
TAKES = ("driver", "mean", "max", "per_unit_and_clock", "relative", "like")


class BadProbes(Exception):
    """A folder of probes, or what was measured with them, that cannot be used."""


# ---- The folder of probes

def check_manifest(manifest):
    """Raises BadProbes unless all is there that is used below."""
    def need(entry, *keys):
        for key in keys:
            if key not in entry:
                raise BadProbes(f"an entry has no '{key}': {json.dumps(entry)[:120]}")

    if manifest.get("probes_version") != VERSION:
        raise BadProbes(f"probes_version is {manifest.get('probes_version')!r}, not {VERSION}: "
                        "no manifest of moe-compile --probes, or one of another version")
    need(manifest, "target", "text", "code", "buffers", "setup", "probes", "figures", "devices")
    buffers = {buffer["name"] for buffer in manifest["buffers"]}
    names = set()
    for run in manifest["setup"] + manifest["probes"]:
        need(run, "name", "measure")
        if run["measure"] not in SAMPLES:
            raise BadProbes(f"{run['name']}: unknown measure '{run['measure']}'")
        if run["measure"] == "empty":
            continue
        need(run, "kernel", "threads", "shared_bytes", "arguments")
        if not ("blocks" in run or "blocks_per_unit" in run):
            raise BadProbes(f"{run['name']}: neither blocks nor blocks_per_unit")
        if not ("work" in run or "work_per_block" in run):
            raise BadProbes(f"{run['name']}: neither work nor work_per_block")
        for argument in run["arguments"]:
            if "buffer" in argument and argument["buffer"] not in buffers:
                raise BadProbes(f"{run['name']}: unknown buffer '{argument['buffer']}'")
    for probe in manifest["probes"]:
        need(probe, "unit")
        names.add(probe["name"])
    for figure in manifest["figures"]:
        need(figure, "figure", "unit", "take", "from")
        if figure["take"] not in TAKES:
            raise BadProbes(f"{figure['figure']}: unknown take '{figure['take']}'")
        if figure["take"] != "driver" and not set(figure["from"]) <= names:
            raise BadProbes(f"{figure['figure']}: unknown probe in {figure['from']}")
    if not manifest["devices"]:
        raise BadProbes(f"no device file for {manifest['target']} to begin with")


def read_probes(folder):
    """The manifest of a folder, checked."""
    path = os.path.join(folder, "manifest.json")
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
    except (OSError, ValueError) as error:
        raise BadProbes(f"{path}: {error}") from None
    try:
        check_manifest(manifest)
    except BadProbes as error:
        raise BadProbes(f"{path}: {error}") from None
    return manifest


# ---- Measuring

class Bench:
    """Runs the probes of a manifest on a GPU."""

    def __init__(self, gpu, manifest, folder):
        self.gpu, self.manifest = gpu, manifest
        self.facts = gpu.attributes()
        self.units = self.facts["compute_units"]
        wanted = re.fullmatch(r"sm_(\d+)(a?)", manifest["target"])
        if not wanted:
            raise BadProbes(f"the probes are for {manifest['target']}; this program drives GPUs "
                            "of NVIDIA")
        have, want = gpu.capability(), int(wanted.group(1))
        if have < want or (wanted.group(2) and have != want):
            raise BadProbes(f"the probes are for {manifest['target']}, this GPU has compute "
                            f"capability {have // 10}.{have % 10}")
        # Machine code is for its own generation.
        name = manifest["code"] if have // 10 == want // 10 else ""
        with open(os.path.join(folder, name or manifest["text"]), "rb") as file:
            gpu.load(file.read())
        self.buffers = {buffer["name"]: gpu.allocate(buffer["bytes"])
                        for buffer in manifest["buffers"]}
        self.junk = gpu.allocate(FLUSH_BYTES)

    def grid(self, run):
        return run["blocks_per_unit"] * self.units if "blocks_per_unit" in run else run["blocks"]

    def arguments(self, run):
        blocks = self.grid(run)
        counts = {"blocks": blocks, "threads": blocks * run["threads"]}
        return [(self.buffers[argument["buffer"]], 64) if "buffer" in argument
                else (counts[argument["count"]] if "count" in argument else argument["value"],
                      argument["bits"]) for argument in run["arguments"]]

    def enqueue(self, run, dependent=False):
        self.gpu.launch(run["kernel"], self.grid(run), run["threads"], run["shared_bytes"],
                        self.arguments(run), dependent)

    def sweep(self):
        """Reads 256 MiB: meanwhile the host enqueues what is timed."""
        threads, blocks = 512, 3 * self.units
        self.gpu.launch("probe_read", blocks, threads, 0,
                        [(self.junk, 64), (FLUSH_BYTES // 16, 64), (blocks * threads, 64),
                         (self.buffers["out"], 64)])

    def flush(self):
        """Nothing of before stays in a cache: noise is written, as reading memory that nobody
        wrote drives nothing out, and read, as written lines would leave in the measured time."""
        threads, blocks = 512, 3 * self.units
        self.gpu.launch("probe_write", blocks, threads, 0,
                        [(self.junk, 64), (FLUSH_BYTES // 16, 64), (blocks * threads, 64),
                         (0xffffffff, 32), (0, 32)])
        self.sweep()

    def set_up(self):
        for run in self.manifest["setup"]:
            self.enqueue(run)
        self.gpu.synchronize()

    def seconds(self, work, count, before):
        return self.gpu.sample(before, work, WARM_UPS + count)[WARM_UPS:]

    def replays(self, run, work, count):
        # Once outside: the driver loads a kernel when it is launched first.
        self.enqueue(run)
        self.gpu.synchronize()
        graph = self.gpu.capture(work)
        try:
            # Launches begin with a clean cache: lines that leave it cost them a tenth.
            before = self.flush if run["measure"] in ("rate", "time") else self.sweep
            return self.seconds(lambda: self.gpu.replay(graph), count, before)
        finally:
            self.gpu.release(graph)

    def measure(self, run):
        """{value, unit, seconds (the median), samples}; None if the GPU has too few units."""
        if run.get("blocks", 1) > self.units:
            return None
        kind = run["measure"]
        count = SAMPLES[kind]
        if kind == "empty":
            samples = self.seconds(lambda: None, count, self.sweep)
        elif kind in ("chain", "dependent_chain"):
            def chain(length):
                for number in range(length):
                    self.enqueue(run, dependent=kind == "dependent_chain" and number > 0)
            long = self.replays(run, lambda: chain(LONG_CHAIN), count)
            short = statistics.median(self.replays(run, lambda: chain(SHORT_CHAIN), count))
            samples = [(one - short) / (LONG_CHAIN - SHORT_CHAIN) for one in long]
        else:
            samples = self.replays(run, lambda: self.enqueue(run), count)
        return evaluate(run, self.grid(run) if "kernel" in run else 1, samples)

    def measure_all(self, pattern="*", progress=lambda text: None):
        """What the driver says and what the probes show, as one document."""
        self.set_up()
        found, failed = {}, {}
        for run in self.manifest["probes"]:
            if not fnmatch.fnmatch(run["name"], pattern):
                continue
            try:
                result = self.measure(run)
            except cuda.Error as error:
                failed[run["name"]] = str(error)
                progress(f"{run['name']}: {error}")
                continue
            if result:
                found[run["name"]] = result
                progress(f"{run['name']}: {shorten(result['value'])} {result['unit']}")
        return {"probes_version": VERSION, "target": self.manifest["target"],
                "device": self.gpu.name(), "driver": self.gpu.driver(),
                "date": datetime.date.today().isoformat(), "attributes": self.facts,
                "probes": found, "failed": failed}


def evaluate(run, blocks, samples):
    """The number that a probe stands for, from the seconds of its samples."""
    median = statistics.median(samples)
    work = run["work"] if "work" in run else run["work_per_block"] * blocks
    kind = run["measure"]
    if kind == "rate":
        value = work / median if median > 0 else 0.0
    elif kind == "time":
        value = median / work
    else:
        value = median
    return {"value": value, "unit": run["unit"], "seconds": median, "samples": samples}


# ---- From probes to figures

def normalise(name):
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def find_device(devices, wanted):
    """The device file of a name, a reported name or the beginning of one; None if there is none."""
    wanted = normalise(wanted)
    for device in devices:
        if wanted in [normalise(name) for name in [device["name"]] + device["reported_names"]]:
            return device
    near = [device for device in devices if normalise(device["name"]).startswith(wanted)]
    return near[0] if len(near) == 1 else None


def choose_base(devices, reported):
    """The file of the device itself, else of the one that stands for the target."""
    own = find_device(devices, reported)
    if own:
        return own
    return next((device for device in devices if device.get("default")), devices[0])


def round_figure(value):
    return float(f"{value:.4g}") if isinstance(value, float) else value


class Derivation:
    """Figures of a device from what was measured."""

    def __init__(self, manifest, measured, base):
        self.manifest, self.measured, self.base = manifest, measured, base
        self.sources = {}
        self.where = f"one {measured['device']}, {measured['date']}"

    def source(self, key, text):
        """The key of a source, new if its text is."""
        for known, other in self.sources.items():
            if other == text:
                return known
        if key in self.sources:
            key += str(len(self.sources))
        self.sources[key] = text
        return key

    def like(self, key, why=""):
        value, source = self.base["figures"][key]
        text = self.base["sources"][source]
        if normalise(self.measured["device"]) not in map(normalise, self.base["reported_names"]):
            text = f"as {self.base['name']}: {text}"
        return value, self.source("like", text + why)

    def values(self, names):
        probes = self.measured["probes"]
        return [probes[name]["value"] for name in names if name in probes]

    def figure(self, entry):
        key, take, names = entry["figure"], entry["take"], entry["from"]
        calibrated = f"gpu-kit/run calibrate on {self.where}"
        if take == "driver":
            return (self.measured["attributes"][names[0]],
                    self.source("driver", f"what the driver says of {self.where}"))
        values = self.values(names)
        if take == "like" or not values:
            return self.like(key)
        if take == "mean":
            return statistics.mean(values), self.source("calibrated", calibrated)
        if take == "max":
            return max(values), self.source("calibrated", calibrated)
        if take == "per_unit_and_clock":
            facts = self.measured["attributes"]
            return (max(values) / facts["compute_units"] / facts["clock_hz"],
                    self.source("calibrated", calibrated))
        known = [self.base["probes"][name] for name in names
                 if name in self.base.get("probes", {})]
        if not known:
            return self.like(key)
        value, _ = self.like(key)
        return (value * max(values) / max(known),
                self.source("relative", f"{calibrated}: the figure of {self.base['name']}, times "
                            "what its probe shows here over what it showed there"))

    def device(self, name=None):
        """The device file."""
        reported = self.measured["device"]
        own = find_device(self.manifest["devices"], reported)
        figures = {}
        for entry in self.manifest["figures"]:
            value, source = self.figure(entry)
            figures[entry["figure"]] = [round_figure(value), source]
        document = {"name": name or (own or {}).get("name") or normalise(reported),
                    "product": (own or {}).get("product") or reported,
                    "arch": self.manifest["target"], "reported_names": [reported]}
        if own and "measured_blocks" in own:
            blocks = dict(own["measured_blocks"])
            blocks["source"] = self.source("blocks", own["sources"][blocks["source"]])
            document["measured_blocks"] = blocks
        document["sources"] = self.sources
        document["figures"] = figures
        document["probes"] = {name: round_figure(probe["value"])
                              for name, probe in sorted(self.measured["probes"].items())
                              if probe["value"] > 0}
        # A source that no figure names would be noise.
        used = {source for _, source in figures.values()}
        used.add(document.get("measured_blocks", {}).get("source"))
        document["sources"] = {key: text for key, text in self.sources.items() if key in used}
        return document


def compare(document, other, units):
    """[figure, unit, the file's value, the measured one, their ratio]."""
    rows = []
    for key, (value, source) in document["figures"].items():
        before = other["figures"][key][0]
        rows.append({"figure": key, "unit": units[key], "file": before, "measured": value,
                     "ratio": value / before if before else None,
                     "file_source": other["sources"][other["figures"][key][1]],
                     "source": document["sources"][source]})
    return rows


def shorten(value):
    return str(value) if abs(value) < 1e6 and value == int(value) else f"{value:.4g}"


def table(rows, name):
    lines = [f"{'figure':<26}{'unit':<6}{name[:14]:>14}{'measured':>14}  ratio"]
    for row in rows:
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.3f}"
        lines.append(f"{row['figure']:<26}{row['unit']:<6}{shorten(row['file']):>14}"
                     f"{shorten(row['measured']):>14}  {ratio}")
    return "\n".join(lines)


# ---- The program

def add_arguments(parser, home):
    parser.add_argument("--probes", default=os.path.join(home, "probes"),
                        help="folder that moe-compile --probes wrote")
    parser.add_argument("--out", help="the device file to write, for --device FILE.json")
    parser.add_argument("--measured", help="file for all that was measured (default: beside --out,"
                        " .measured.json)")
    parser.add_argument("--from", dest="recorded", metavar="MEASURED",
                        help="derive from such a file instead of measuring")
    parser.add_argument("--compare", metavar="NAME|FILE",
                        help="device file to compare with (default: that of this device, else the "
                        "one that stands for the target)")
    parser.add_argument("--name", help="name of the device (default: of its file, or as reported)")
    parser.add_argument("--only", default="*", help="probes to run, e.g. 'memory.*'")
    parser.add_argument("--dry-run", action="store_true", help="list the probes; needs no GPU")


def write_json(path, document):
    # Innermost lists on one line, as in the files that come with the compiler.
    text = re.sub(r"\[[^\[\]{}\"]*(\"[^\"]*\"\s*)?\]",
                  lambda found: re.sub(r"\s+", " ", found.group(0)).replace("[ ", "[").replace(
                      " ]", "]"), json.dumps(document, indent=2))
    part = path + ".part"
    with open(part, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    os.replace(part, path)


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise BadProbes(f"{path}: {error}") from None


def choose_other(options, manifest, base):
    """The device file to compare with."""
    if not options.compare:
        return base
    if options.compare.endswith(".json"):
        other = read_json(options.compare)
    else:
        other = find_device(manifest["devices"], options.compare)
        if not other:
            known = ", ".join(device["name"] for device in manifest["devices"])
            raise BadProbes(f"unknown device '{options.compare}'; known are {known}, and files "
                            "that end in .json")
    missing = [entry["figure"] for entry in manifest["figures"]
               if entry["figure"] not in other.get("figures", {})]
    if missing:
        raise BadProbes(f"{options.compare}: no figure '{missing[0]}'")
    return other


def list_probes(manifest, pattern):
    for run in manifest["probes"]:
        if fnmatch.fnmatch(run["name"], pattern):
            blocks = (f"{run['blocks_per_unit']} per unit" if "blocks_per_unit" in run
                      else run.get("blocks", 0))
            print(f"{run['name']}: {run.get('kernel', 'nothing')}, blocks {blocks}, "
                  f"threads {run.get('threads', 0)}, {run['unit']}")
    print(f"{len(manifest['probes'])} probes for {manifest['target']}, "
          f"{len(manifest['figures'])} figures")


def calibrate(options, make_gpu):
    manifest = read_probes(options.probes)
    if options.dry_run:
        list_probes(manifest, options.only)
        return 0
    if options.recorded:
        measured = read_json(options.recorded)
        if measured.get("probes_version") != VERSION or "attributes" not in measured:
            raise BadProbes(f"{options.recorded}: not what this program measured")
        if measured["target"] != manifest["target"]:
            raise BadProbes(f"{options.recorded}: measured with probes for {measured['target']}, "
                            f"these are for {manifest['target']}")
    else:
        bench = Bench(make_gpu(), manifest, options.probes)
        measured = bench.measure_all(options.only, lambda text: print(text, file=sys.stderr,
                                                                      flush=True))
    base = choose_base(manifest["devices"], measured["device"])
    other = choose_other(options, manifest, base)
    document = Derivation(manifest, measured, base).device(options.name)
    units = {entry["figure"]: entry["unit"] for entry in manifest["figures"]}
    rows = compare(document, other, units)
    print(f"{measured['device']}, {measured['date']}, driver {measured['driver']}, "
          f"{len(measured['probes'])} probes")
    print(table(rows, other["name"]))
    raw = options.measured or (re.sub(r"\.json$", "", options.out) + ".measured.json"
                               if options.out else None)
    if raw and not options.recorded:
        measured["comparison"] = {"device": other["name"], "figures": rows}
        write_json(raw, measured)
        print(f"wrote {raw}", file=sys.stderr)
    if options.out:
        write_json(options.out, document)
        print(f"wrote {options.out}", file=sys.stderr)
    if measured.get("failed"):
        raise BadProbes(f"{len(measured['failed'])} probes failed, the first is "
                        + ": ".join(next(iter(measured["failed"].items())))
                        + "; figures without a probe are those of " + base["name"])
    return 0


def run(options, make_gpu=cuda.Gpu):
    try:
        return calibrate(options, make_gpu)
    except (BadProbes, cuda.Error, OSError) as error:
        print(f"calibrate: {error}", file=sys.stderr)
        return 1
