# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tries what the run time promises to kernels, with kernels made for it (probe/probe.ptx)."""

import os
import statistics
import threading
import time

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "probe")
TOKENS = (1, 5, 16, 17, 100, 1000, 65536)


class Probe:
    """The probe's layer: out = 2 * (x + 1), and a block of what its kernels saw."""

    def __init__(self, torch, tally):
        import moec
        self.torch, self.tally, self.moec = torch, tally, moec
        self.layer = moec.load(FOLDER, target="cuda")
        self.sms = torch.cuda.get_device_properties(0).multi_processor_count

    def arrays(self, tokens, seed=0):
        torch = self.torch
        stream = torch.Generator(device="cuda").manual_seed(seed)
        x = torch.randn(tokens, 64, generator=stream, device="cuda")
        out = torch.full((tokens, 64), float("nan"), device="cuda")
        info = torch.full((8,), -7, dtype=torch.int32, device="cuda")
        return x, out, info

    def run(self, x, out, info, **more):
        self.layer(x, out={"out": out, "info": info}, **more)

    def verdict(self, x, out, info, real=None):
        """What is wrong, as text; empty if nothing is."""
        tokens = x.shape[0]
        rows = tokens if real is None else real
        seen = info.tolist()
        blocks = seen[0]
        wrong = []
        if not bool((out[:rows] == 2 * (x[:rows] + 1)).all()):
            wrong.append("values")
        if not bool(out[rows:].isnan().all()):
            wrong.append("rows behind the real ones were written")
        # Two blocks for each SM, in clusters of two, as many as fit.
        if not 0 < blocks <= 2 * self.sms or blocks % 2 or seen[1] != blocks // 2:
            wrong.append(f"{blocks} blocks with ranks of sum {seen[1]}")
        if seen[2] != self.sms:
            wrong.append(f"{seen[2]} of {self.sms} blocks met")
        if seen[3]:
            wrong.append(f"{seen[3]} elements behind the tensor are not zero")
        expected = [tokens, -1 if real is None else real, 3 * tokens + 1, 0]
        if seen[4:8] != expected:
            wrong.append(f"passed {seen[4:8]}, not {expected}")
        return "; ".join(wrong)

    def check(self, test, wrong, **facts):
        if wrong:
            facts["wrong"] = wrong
        self.tally.check("run time", test, not wrong, **facts)

    def values(self):
        for tokens in TOKENS:
            arrays = self.arrays(tokens, tokens)
            self.run(*arrays)
            self.torch.cuda.synchronize()
            self.check("values", self.verdict(*arrays), tokens=tokens)

    def device_tokens(self):
        real = self.torch.tensor([37], dtype=self.torch.int32, device="cuda")
        arrays = self.arrays(100)
        self.run(*arrays, device_tokens=real)
        self.torch.cuda.synchronize()
        self.check("device tokens", self.verdict(*arrays, real=37))

    def graph(self):
        """One graph, three contents, and a token count that only the GPU knows."""
        torch = self.torch
        real = torch.tensor([500], dtype=torch.int32, device="cuda")
        x, out, info = self.arrays(777)
        self.run(x, out, info, device_tokens=real)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.run(x, out, info, device_tokens=real)
        wrong = ""
        for seed, count in ((1, 500), (2, 777), (3, 1)):
            x.copy_(self.arrays(777, seed)[0])
            out.fill_(float("nan"))
            info.fill_(-7)
            real.fill_(count)
            graph.replay()
            torch.cuda.synchronize()
            wrong = wrong or self.verdict(x, out, info, real=count)
        self.check("graph", wrong)

    def streams(self):
        """Two threads with a stream each."""
        torch = self.torch
        wrong = []

        def work(seed):
            with torch.cuda.stream(torch.cuda.Stream()):
                for turn in range(25):
                    arrays = self.arrays(1 + (seed * 31 + turn * 7) % 200, seed * 100 + turn)
                    self.run(*arrays)
                    torch.cuda.current_stream().synchronize()
                    problem = self.verdict(*arrays)
                    if problem:
                        wrong.append(problem)
        threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.check("two threads, two streams", "; ".join(wrong[:3]))

    def refusals(self):
        """What must fail without harm, and a run after it."""
        torch = self.torch
        x, out, info = self.arrays(16)
        for name, status, call in (
                ("too many tokens", "MOEC_ERR_NO_VARIANT",
                 lambda: self.run(*self.arrays(65537))),
                ("overlap", "MOEC_ERR_INVALID_ARGUMENT", lambda: self.run(x, x, info)),
                ("strides", "MOEC_ERR_SHAPE",
                 lambda: self.run(torch.randn(16, 128, device="cuda")[:, :64], out, info)),
                ("alignment", "MOEC_ERR_ALIGNMENT",
                 lambda: self.run(x, out, torch.empty(9, dtype=torch.int32, device="cuda")[1:]))):
            try:
                call()
                wrong = "it was not refused"
            except self.moec.Error as error:
                wrong = "" if error.status == status else f"{error.status}: {error}"
            self.check(f"refuses: {name}", wrong)
        self.run(x, out, info)
        torch.cuda.synchronize()
        self.check("runs after refusals", self.verdict(x, out, info))

    def overhead(self, calls=400):
        """Nanoseconds of a call beside the driver's own; four launches and a memset."""
        arrays = self.arrays(16)
        own, driver, python = [], [], []
        for turn in range(calls):
            begin = time.perf_counter_ns()
            self.run(*arrays)
            python.append(time.perf_counter_ns() - begin)
            stats = self.layer.stats
            own.append((stats.seconds - stats.kernel_seconds) * 1e9)
            driver.append(stats.kernel_seconds * 1e9)
            if turn % 20 == 19:
                # A full queue would make the driver wait.
                self.torch.cuda.synchronize()
        median = statistics.median
        self.check("overhead", "" if median(own) <= 3000 else "more than 3000 ns",
                   own_ns=round(median(own)), driver_ns=round(median(driver)),
                   python_call_ns=round(median(python)))


def run(torch, tally):
    """Adds the results to the tally."""
    try:
        probe = Probe(torch, tally)
        for test in (probe.values, probe.device_tokens, probe.graph, probe.streams,
                     probe.refusals, probe.overhead):
            test()
        probe.layer.close()
    except Exception as error:
        tally.add("run time", "run", "failed", reason=f"{type(error).__name__}: {error}")
