"""calibrate-units.py GPUKIT PROBES OUT: the probes on a GPU of paper, whose times are known.

What a launch moves or computes is taken from its arguments, not from what the manifest says of it:
the figures come out right only if both agree.
"""

import argparse
import copy
import json
import os
import re
import sys

sys.path.insert(0, sys.argv[1])
from gpukit import calibrate, cuda  # noqa: E402

PROBES, OUT = sys.argv[2:4]
READ, WRITE, COPY, ROWS, UNIT, CACHE = 3.1e12, 3.2e12, 2.8e12, 2.9e12, 1e11, 6e12
MATRIX = {"bf16": 8e14, "fp8": 1.6e15, "int8": 1.5e15, "tf32": 4e14}
LAUNCH, DEPENDENT, EVENTS, LATENCY = 9e-7, 5e-7, 1.2e-6, 7e-7
UNITS, CLOCK = 132, 1.98e9
BITS = {"bf16": 16, "fp8": 8, "int8": 8, "tf32": 32}


class Paper:
    """Stands in for gpukit.cuda.Gpu."""

    def __init__(self, name="NVIDIA H100 80GB HBM3", capability=90, broken=()):
        self.reported, self.level, self.broken = name, capability, broken
        self.memory, self.next, self.now, self.capturing = {}, 1 << 30, 0.0, None

    def name(self):
        return self.reported

    def capability(self):
        return self.level

    def driver(self):
        return "13.0"

    def attributes(self):
        return {"compute_units": UNITS, "clock_hz": int(CLOCK), "shared_bytes": 232448,
                "shared_bytes_per_unit": 233472, "registers_per_unit": 65536,
                "l2_bytes": 52428800, "memory_bytes": 85 * 10 ** 9}

    def load(self, image):
        assert b".entry probe_read" in image or image[:4] == b"\x7fELF"

    def allocate(self, count):
        self.next += 1 << 40
        self.memory[self.next] = count
        return self.next

    def inside(self, address, count):
        assert self.memory[address] >= count, f"{count} bytes of {self.memory[address]}"
        return count

    def cost(self, name, blocks, threads, shared, arguments):
        """Seconds of a launch."""
        a = [number for number, _ in arguments]
        widths = [bits for _, bits in arguments]
        if name == "probe_read":
            assert widths == [64] * 4 and a[2] == blocks * threads
            return self.inside(a[0], a[1] * 16) / READ
        if name == "probe_copy":
            assert a[3] == blocks * threads
            return (self.inside(a[0], a[2] * 16) + self.inside(a[1], a[2] * 16)) / COPY
        if name == "probe_write":
            assert a[2] == blocks * threads and widths[3:] == [32, 32]
            return self.inside(a[0], a[1] * 16) / WRITE
        if name in ("probe_gather", "probe_scatter"):
            assert a[4] == blocks * threads
            window = self.inside(a[0], a[1] << (a[2] + 4))
            return a[3] * 16 / (CACHE if window <= 16 << 20 else ROWS)
        if name == "probe_walk":
            return self.inside(a[0], a[1] * 128) / WRITE
        if name == "probe_chase":
            return a[1] * LATENCY
        if name == "probe_shared":
            return a[0] * 4 * 16 * threads * blocks / (UNITS * 128 * CLOCK)
        if name == "probe_bulk_read":
            assert a[5] == blocks and shared == a[3] * a[4] + 512
            window = self.inside(a[0], a[1] * a[3])
            rate = CACHE if window <= 50 << 20 else READ
            return a[2] * a[3] / min(rate, blocks * UNIT)
        if name == "probe_bulk_copy":
            assert a[5] == blocks
            return 2 * self.inside(a[1], a[2] * a[3]) / COPY
        if name in ("probe_dependent", "probe_empty"):
            return LAUNCH
        found = re.fullmatch(r"probe_wgmma_(\w+)_n(\d+)_(shared|registers)", name)
        kind, n = found.group(1), int(found.group(2))
        self.inside(a[0], 65536)
        assert shared == 65536 and threads % 128 == 0
        return 2 * 64 * n * (1024 // BITS[kind]) * a[1] * threads // 128 * blocks / MATRIX[kind]

    def launch(self, name, blocks, threads, shared, arguments, dependent=False):
        if name in self.broken:
            raise cuda.Error("cuLaunchKernelEx: out of paper (1)")
        seconds = self.cost(name, blocks, threads, shared, arguments)
        if dependent:
            seconds = DEPENDENT
        if self.capturing is None:
            self.now += seconds
        else:
            self.capturing += seconds

    def capture(self, work):
        self.capturing = 0.0
        work()
        seconds, self.capturing = self.capturing, None
        return seconds

    def replay(self, seconds):
        self.now += seconds

    def release(self, graph):
        pass

    def synchronize(self):
        pass

    def sample(self, before, work, count):
        seconds = []
        for number in range(count):
            before()
            start = self.now
            work()
            # The first is slow; later ones vary around the middle.
            noise = 5.0 if number == 0 else 1 + (number % 3 - 1) * 1e-3
            seconds.append((self.now - start) * noise + (EVENTS if self.now == start else 0))
        return seconds


def options(*arguments):
    parser = argparse.ArgumentParser()
    calibrate.add_arguments(parser, "/nowhere")
    return parser.parse_args(["--probes", PROBES, *arguments])


def near(value, wanted, tolerance=2e-3):
    assert abs(value - wanted) <= tolerance * wanted, f"{value}, not {wanted}"


def path(name):
    return os.path.join(OUT, name)


def read(name):
    with open(path(name), encoding="utf-8") as file:
        return json.load(file)


def test_device_file():
    assert calibrate.run(options("--out", path("device.json")), Paper) == 0
    device, measured = read("device.json"), read("device.measured.json")
    figures = {key: value for key, (value, _) in device["figures"].items()}
    for key, wanted in {"compute_units": 132, "clock_hz": CLOCK, "shared_bytes": 232448,
                        "lanes": 128, "memory_bytes": 85e9, "read_rate": READ,
                        "copy_rate": COPY, "write_rate": WRITE, "gather_rate": ROWS,
                        "shared_bytes_per_clock": 128, "launch_seconds": LAUNCH,
                        "dependent_launch_seconds": DEPENDENT}.items():
        near(figures[key], wanted)
    # What products reach of a figure goes with what probes showed where that was found out.
    base = calibrate.find_device(calibrate.read_probes(PROBES)["devices"], "h100")
    for key, probe, shown in (("unit_read_rate", "bulk.read.units1", UNIT),
                              ("flops16", "matrix.bf16.sustained", MATRIX["bf16"]),
                              ("flops8", "matrix.fp8.sustained", MATRIX["fp8"]),
                              ("flops32", "matrix.tf32.sustained", MATRIX["tf32"]),
                              ("latency_seconds", "latency.mb1024", LATENCY)):
        near(figures[key], base["figures"][key][0] * shown / base["probes"][probe])
    assert figures["flops4"] == 0
    assert device["name"] == "h100-sxm" and device["arch"] == "sm_90a"
    assert "measured_blocks" in device and "default" not in device
    for _, source in device["figures"].values():
        assert device["sources"][source]
    assert re.search(r"calibrate on one NVIDIA H100 80GB HBM3, \d{4}-\d\d-\d\d",
                     device["sources"][device["figures"]["read_rate"][1]])
    near(measured["probes"]["launch.empty_pair"]["value"], EVENTS)
    near(measured["probes"]["bulk.read.units8"]["value"], 8 * UNIT)
    near(measured["probes"]["bulk.read.units99"]["value"], READ)
    near(measured["probes"]["matrix.int8.n8.shared.groups4"]["value"], MATRIX["int8"])
    assert len(measured["probes"]) == len(device["probes"]) > 140
    assert measured["comparison"]["device"] == "h100-sxm"
    row = next(row for row in measured["comparison"]["figures"] if row["figure"] == "flops16")
    assert row["unit"] == "1/s" and row["ratio"] == row["measured"] / row["file"]


def test_recorded():
    """From what was recorded the same file is made, bit by bit."""
    assert calibrate.run(options("--from", path("device.measured.json"), "--out",
                                 path("again.json")), None) == 0
    assert read("again.json") == read("device.json")


def test_relative():
    """A device beside a base that knows what its probes show."""
    manifest, measured = calibrate.read_probes(PROBES), read("device.measured.json")
    base = copy.deepcopy(calibrate.find_device(manifest["devices"], "h100"))
    assert base["name"] == "h100-sxm"
    before = base["figures"]["l2_rate"][0]
    # Nobody knows what its probes show: its own figure.
    base.pop("probes", None)
    measured["device"] = "NVIDIA H9000"
    device = calibrate.Derivation(manifest, measured, base).device()
    value, source = device["figures"]["l2_rate"]
    assert value == before and device["sources"][source].startswith("as h100-sxm: ")
    assert device["name"] == "nvidia-h9000" and "measured_blocks" not in device
    base["probes"] = {"cache.read": CACHE / 3, "cache.bulk.mb16": CACHE / 2}
    device = calibrate.Derivation(manifest, measured, base).device("mine")
    value, source = device["figures"]["l2_rate"]
    near(value, 2 * before)
    assert "times what its probe shows here" in device["sources"][source]
    assert device["name"] == "mine"


def test_fewer_probes():
    """Figures whose probes did not run are the base's."""
    assert calibrate.run(options("--only", "memory.read", "--out", path("few.json")), Paper) == 0
    device = read("few.json")
    near(device["figures"]["read_rate"][0], READ)
    assert list(device["probes"]) == ["memory.read"]
    assert device["sources"][device["figures"]["copy_rate"][1]].startswith("measured with")


def test_small_device():
    """Runs of more blocks than units are left out."""
    manifest = calibrate.read_probes(PROBES)
    gpu = Paper()
    bench = calibrate.Bench(gpu, manifest, PROBES)
    bench.units = 50
    run = {run["name"]: run for run in manifest["probes"]}
    assert bench.measure(run["bulk.read.units66"]) is None
    near(bench.measure(run["bulk.read.units24"])["value"], 24 * UNIT)


def test_failures(capsys):
    """A probe that fails does not take the others with it."""
    status = calibrate.run(options("--out", path("part.json")),
                           lambda: Paper(broken=("probe_copy",)))
    text = capsys()
    assert status == 1 and "1 probes failed, the first is memory.copy: cuLaunch" in text, text
    near(read("part.json")["figures"]["write_rate"][0], WRITE)
    assert "memory.copy" not in read("part.json")["probes"]


def test_refusals(capsys):
    def refused(message, *arguments, gpu=Paper):
        assert calibrate.run(options(*arguments), gpu) == 1
        text = capsys()
        assert message in text, text

    refused("the probes are for sm_90a, this GPU has compute capability 8.0",
            gpu=lambda: Paper(capability=80))
    refused("the probes are for sm_90a, this GPU has compute capability 10.0",
            gpu=lambda: Paper(capability=100))
    refused("unknown device 'b200'; known are h100-sxm, h20, h200", "--compare", "b200", "--from",
            path("device.measured.json"))
    refused("nothing.json: ", "--compare", path("nothing.json"), "--from",
            path("device.measured.json"))
    refused("not what this program measured", "--from", path("device.json"))
    refused("manifest.json: ", "--probes", OUT)
    with open(os.path.join(PROBES, "manifest.json"), encoding="utf-8") as file:
        good = json.load(file)
    os.makedirs(path("bad"), exist_ok=True)

    def manifest(message, change):
        bad = copy.deepcopy(good)
        change(bad)
        with open(path("bad/manifest.json"), "w", encoding="utf-8") as file:
            json.dump(bad, file)
        refused(message, "--probes", path("bad"))

    manifest("probes_version is 2, not 1", lambda m: m.update(probes_version=2))
    manifest("no 'figures'", lambda m: m.pop("figures"))
    manifest("unknown measure 'guess'", lambda m: m["probes"][9].update(measure="guess"))
    manifest("unknown buffer 'other'", lambda m: m["buffers"].pop(0) and
             m["buffers"].append({"name": "x", "bytes": 1}) or
             m["setup"][0]["arguments"][0].update(buffer="other"))
    manifest("unknown take 'hope'", lambda m: m["figures"][0].update(take="hope"))
    manifest("no device file for sm_90a", lambda m: m.update(devices=[]))
    manifest("neither work nor work_per_block", lambda m: m["probes"][9].pop("work"))
    manifest("drives GPUs of NVIDIA", lambda m: m.update(target="gfx942"))


def main():
    os.makedirs(OUT, exist_ok=True)
    log = path("stderr")

    def capsys():
        sys.stderr.flush()
        with open(log, encoding="utf-8") as file:
            text = file.read()
        sys.stderr.truncate(0)
        sys.stderr.seek(0)
        return text

    terminal = sys.stderr
    try:
        with open(log, "w", encoding="utf-8") as sys.stderr:
            test_device_file()
            test_recorded()
            test_relative()
            test_fewer_probes()
            test_small_device()
            capsys()
            test_failures(capsys)
            test_refusals(capsys)
    finally:
        sys.stderr = terminal
    print("all right")


main()
