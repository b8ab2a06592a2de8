# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times on a GPU: graph replay, a cold second-level cache, medians, contenders in turn."""

import statistics
import time

FLUSH_BYTES = 256 << 20


class Clock:
    """Measures callables that enqueue work on the current stream."""

    def __init__(self, torch):
        self.torch = torch
        # Read, not written: a flush that writes leaves dirty lines, whose way out is paid for
        # by what comes next.
        self.junk = torch.ones(FLUSH_BYTES // 4, dtype=torch.float32, device="cuda")
        self.sink = torch.empty((), dtype=torch.float32, device="cuda")
        # One for all warm-ups: PyTorch keeps freed memory for each stream.
        self.side = torch.cuda.Stream()

    def flush(self):
        self.torch.sum(self.junk, dim=0, out=self.sink)

    def events(self, count):
        make = self.torch.cuda.Event
        return [(make(enable_timing=True), make(enable_timing=True)) for _ in range(count)]

    def capture(self, work, warm_ups=3):
        """The work as a CUDA graph."""
        torch = self.torch
        stream = self.side
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(warm_ups):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        torch.cuda.synchronize()
        return graph

    def sample(self, replay, count, cold=True):
        """Microseconds of each of `count` calls."""
        pairs = self.events(count)
        for begin, end in pairs:
            if cold:
                self.flush()
            begin.record()
            replay()
            end.record()
        self.torch.cuda.synchronize()
        return [begin.elapsed_time(end) * 1e3 for begin, end in pairs]

    def empty_pair(self):
        """Microseconds between two events with nothing between them."""
        return statistics.median(self.sample(lambda: None, 50))

    def compare(self, replays, rounds=3, count=10, idle=0.05, seconds=2.0):
        """{name: samples in us}: contenders in turn, in alternating order, rested before each.

        One after the other, the first would run at the clock of a cool chip. `seconds` bounds
        the time for one contender in all rounds.
        """
        samples = {name: [] for name in replays}
        names = list(replays)
        for name in names:
            once = max(self.sample(replays[name], 2)[1], 1.0) * 1e-6 + 1.2e-4
            samples[name] = []
            replays[name] = (replays[name], max(2, min(count, int(seconds / rounds / once))))
        for turn in range(rounds):
            for name in names if turn % 2 == 0 else reversed(names):
                replay, repeats = replays[name]
                time.sleep(idle)
                # The first after a rest finds clocks and queues asleep.
                samples[name] += self.sample(replay, repeats + 1)[1:]
        return samples


def summary(samples):
    ordered = sorted(samples)
    return {"us": statistics.median(ordered), "min_us": ordered[0], "max_us": ordered[-1],
            "p10_us": ordered[len(ordered) // 10], "p90_us": ordered[len(ordered) * 9 // 10],
            "samples": len(ordered)}


READ_SOURCE = """
import triton
import triton.language as tl

@triton.jit
def read(x, out, n, block: tl.constexpr):
    total = tl.zeros([block], dtype=tl.float32)
    step = tl.num_programs(0).to(tl.int64) * block
    for start in range(tl.program_id(0).to(tl.int64) * block, n, step):
        at = start + tl.arange(0, block)
        total += tl.load(x + at, mask=at < n, other=0.0)
    tl.store(out + tl.program_id(0), tl.sum(total, axis=0))
"""


def ceilings(torch, clock):
    """What this machine can do, measured now: bytes and FLOP per second."""
    found = {"empty_event_pair_us": clock.empty_pair()}
    size = 4 << 30
    source = torch.ones(size // 4, dtype=torch.float32, device="cuda")
    sink = torch.empty((), dtype=torch.float32, device="cuda")

    def fastest(work, amount, count=15, cold=True):
        work()
        return amount / (statistics.median(clock.sample(work, count, cold)) * 1e-6)

    found["read_bytes_per_second"] = fastest(lambda: torch.sum(source, dim=0, out=sink), size)
    target = torch.empty_like(source[:size // 8])
    found["copy_bytes_per_second"] = fastest(lambda: target.copy_(source[:size // 8]), size)
    del source, target
    n = 8192
    a = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
    c = torch.empty(n, n, device="cuda", dtype=torch.bfloat16)
    work = 2.0 * n ** 3
    time.sleep(0.5)
    # Bursts with rests between them: a continuous load is a question to the power limit.
    bursts = []
    for _ in range(5):
        time.sleep(0.2)
        bursts += clock.sample(lambda: torch.mm(a, b.t(), out=c), 6, cold=False)[1:]
    found["cublas_8192_flops_per_second"] = work / (statistics.median(bursts) * 1e-6)
    return found


def triton_read(torch, clock):
    """Bytes per second of a plain read by Triton; a second opinion on the reduction of PyTorch."""
    import importlib.util
    import os
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        # Triton wants the source of its functions in a file.
        path = os.path.join(folder, "moec_kit_read.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(READ_SOURCE)
        spec = importlib.util.spec_from_file_location("moec_kit_read", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        size = 4 << 30
        x = torch.ones(size // 4, dtype=torch.float32, device="cuda")
        blocks = torch.cuda.get_device_properties(0).multi_processor_count * 4
        out = torch.empty(blocks, dtype=torch.float32, device="cuda")

        def work():
            module.read[(blocks,)](x, out, x.numel(), block=8192, num_warps=8)
        work()
        return size / (statistics.median(clock.sample(work, 15)) * 1e-6)
