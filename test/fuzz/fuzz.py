"""Feeds generated modules to the passes and the compiler; says what they did wrong.

    fuzz.py --driver FUZZDRIVER --moe-opt MOE-OPT --tree FOLDER --count N
            [--seed S] [--jobs J] [--keep FOLDER]

Of every 20 modules:
  7 objects  layers, valid by construction, compiled to an object file
  2 layers   the same kind, through the passes with random options; the IR is
             verified after every pass, and the result must print and parse
  3 orders   the same kind, through moec's passes in a random order
  3 samples  tests and examples of the tree as they are, through random passes
  5 mutants  tests and layers with some tokens exchanged, through random passes
             or the compiler

Layers and objects must pass. The others may be refused, with a diagnostic. What
is never allowed: a crash, a sanitizer's report, a run beyond the time limit, a
failure without a diagnostic, success with one, a result that does not parse.
Also a failure: an op of the dialects or a pass that was never met, or fewer than
30 % of the modules that reach object code. The same seed gives the same modules.

Part of moec, under the Apache License v2.0 with LLVM Exceptions.
See LICENSE for licence information.
SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""

import argparse
import collections
import concurrent.futures
import glob
import os
import random
import re
import subprocess
import sys

from layers import random_layer

SEPARATOR = "\n// -----\n"
LIMIT_S = 60
# Modules of one run of the driver.
CHUNK = 100
UPSTREAM = ["canonicalize", "cse", "symbol-dce"]
ISAS = ["x86-64", "avx2", "avx512", "avx512bf16"]
KINDS = (["objects"] * 7 + ["layers"] * 2 + ["orders"] * 3 + ["samples"] * 3 +
         ["mutants"] * 5)
MUST_PASS = ("objects", "layers")
# A name as the text of a module has it, of any of the dialects.
OP_NAME = re.compile(r"\bmoe(?:_[a-z]+)?\.[\w.]+")
LEGAL = ("ok", "invalid", "refused")


class Fuzzer:
    def __init__(self, options):
        self.options = options
        self.failures = []
        self.counts = collections.Counter()
        self.ops, self.passes = collections.Counter(), collections.Counter()
        self.known_passes = self.find_passes()
        self.known_ops = subprocess.run([options.driver, "--ops"], text=True, check=True,
                                        capture_output=True).stdout.split()
        assert "moe.fused_experts" in self.known_ops, self.known_ops
        self.corpus = self.read_corpus()

    def find_passes(self):
        """moec's passes, as `moe-opt --help` lists them before the pipelines."""
        text = subprocess.run([self.options.moe_opt, "--help"], text=True,
                              capture_output=True, check=True).stdout
        text = text.split("Pass Pipelines:")[0]
        found = sorted(set(re.findall(r"^ {6}--((?:convert-)?moe-[a-z0-9-]+) ", text, re.M)))
        assert "moe-decompose-layer" in found, text
        return found

    def read_corpus(self):
        """Modules of the tree's own tests and examples, without their expectations;
        first few in which every op occurs."""
        chunks, valid = [], []
        for path in sorted(glob.glob(f"{self.options.tree}/test/**/*.mlir", recursive=True) +
                           glob.glob(f"{self.options.tree}/include/**/*.td", recursive=True)):
            with open(path, encoding="utf-8") as source:
                text = source.read()
            pieces = text.split("// -----")
            if path.endswith(".td"):
                pieces = re.findall(r"```mlir\n(.*?)```", text, re.S)
            for piece in pieces:
                text = re.sub(r"^\s*//.*\n", "", piece, flags=re.M).strip() + "\n"
                if 20 < len(text) < 20000:
                    chunks.append(text)
                    if "expected-error" not in piece:
                        valid.append(text)
        assert len(chunks) > 20, "no corpus"
        first, missing = [], set(self.known_ops)
        while missing:
            def new(text):
                return len(missing.intersection(OP_NAME.findall(text)))
            best = max(valid, key=new)
            if not new(best):
                break
            first.append(best)
            missing -= set(OP_NAME.findall(best))
        return first + chunks

    # Generators: text of a module.

    def mutant(self, rng):
        """A test, or a layer, changed in 1 to 3 places."""
        text = random_layer(rng) if rng.random() < 0.3 else rng.choice(self.corpus)
        for _ in range(rng.randint(1, 3)):
            text = rng.choice([self.resize, self.retype, self.renumber, self.reword,
                               self.retoken])(rng, text)
        return text

    @staticmethod
    def replace(rng, text, pattern, choices, everywhere):
        """Replaces what one match of `pattern` says, there or everywhere."""
        found = list(re.finditer(pattern, text))
        if not found:
            return text
        match, new = rng.choice(found), rng.choice(choices)
        if everywhere:
            return re.sub(rf"(?<![\w.]){re.escape(match[0])}(?![\w.])", new, text)
        return text[:match.start()] + new + text[match.end():]

    def resize(self, rng, text):
        """Another extent, everywhere: shapes stay consistent, rules may not hold."""
        pattern = r"(?<=[<x ])\d+(?=x|,|\]|>|;|\s)"
        return self.replace(rng, re.sub(r"(?<=[\d?])x(?=[\d?])", "x ", text), pattern,
                            ["1", "2", "3", "8", "16", "96", "128", "192", "4096"],
                            rng.random() < 0.7).replace("x ", "x")

    def retype(self, rng, text):
        """Another element type."""
        types = ["f32", "bf16", "f16", "f64", "i4", "i8", "i32", "index", "f8E4M3FN",
                 "f8E4M3FNUZ", "f8E5M2", "f8E8M0FNU", "f4E2M1FN"]
        return self.replace(rng, text, rf"(?<=x)(?:{'|'.join(types)})(?=>)", types,
                            rng.random() < 0.5)

    def renumber(self, rng, text):
        """One number, often an absurd one."""
        return self.replace(rng, text, r"(?<![\w.%])-?\d+(?![\w.])",
                            ["0", "1", "-1", "2", "3", "7", "64", "129", "2147483648",
                             "9223372036854775807", "99999999999999999999"], False)

    def reword(self, rng, text):
        """Another word of the dialects' attributes."""
        words = ["flat_topk", "expert_sorted", "expert_sorted_padded", "token", "gather",
                 "slots", "halves", "interleaved", "up_first", "swiglu", "silu", "relu2",
                 "swiglu_oai", "low_even", "exllama", "mx", "plain", "row_major",
                 "group_major", "none", "input", "epilogue", "combine", "softmax",
                 "sigmoid", "operand", "promote", "element", "row_sum", "grouped", "dense"]
        return self.replace(rng, text, rf"\b(?:{'|'.join(words)})\b", words, False)

    def retoken(self, rng, text):
        """A token dropped, repeated or taken from elsewhere."""
        tokens = re.findall(r"[%@#!^]?[\w.$-]+|\s+|->|.", text, re.S)
        spots = [i for i, t in enumerate(tokens) if not t.isspace()]
        at = rng.choice(spots)
        tokens[at] = rng.choice(["", tokens[at] + " " + tokens[at], tokens[rng.choice(spots)]])
        return "".join(tokens)

    # What is done to a module: the first line of its text.

    def decisions(self, rng):
        """The passes that decide, up to a random one, with random options."""
        layout = rng.choice(["flat_topk", "expert_sorted", "expert_sorted_padded"])
        reduce = rng.choice(["rows", "token"])
        zero = rng.choice(["auto", "element", "row_sum"])
        steps = ["moe-decompose-layer",
                 f"moe-fuse-epilogue{{layout={layout} reduce={reduce}}}",
                 f"moe-fold-scales{{zero={zero} min-run={rng.choice([16, 32, 64, 256])}}}",
                 "canonicalize", "cse", "moe-select-config"]
        return "passes: " + ",".join(steps[:rng.randint(1, len(steps))])

    def lowering(self, rng):
        return (f"passes: moe-to-cpu{{isa={rng.choice(ISAS)} "
                f"tokens={rng.choice([1, 16, 256])}}}")

    def compilation(self, rng):
        return f"compile: {rng.choice(ISAS)} {rng.choice([1, 7, 16, 64, 256])}"

    def any_order(self, rng, first=None):
        """Some of all passes, in any order."""
        names = rng.sample(self.known_passes, rng.randint(1, len(self.known_passes)))
        names += rng.sample(UPSTREAM, rng.randint(0, 2))
        rng.shuffle(names)
        return "passes: " + ",".join(([first] if first else []) + names)

    def module(self, index):
        """The kind, the work and the text of module number `index`."""
        rng = random.Random(f"{self.options.seed} {index}")
        kind = KINDS[index % len(KINDS)]
        if kind == "samples":
            turn = index // len(KINDS) * 3 + index % len(KINDS) % 3
            return kind, self.any_order(rng), self.corpus[turn % len(self.corpus)]
        if kind == "mutants":
            work = self.compilation if rng.random() < 0.3 else self.any_order
            return kind, work(rng), self.mutant(rng)
        text = random_layer(rng, cpu=kind in MUST_PASS)
        if kind == "objects":
            return kind, self.compilation(rng), text
        if kind == "layers":
            work = self.lowering if rng.random() < 0.5 else self.decisions
            return kind, work(rng), text
        first = self.known_passes[index % len(self.known_passes)]
        return kind, self.any_order(rng, first), text

    # Running.

    def run(self, modules):
        """Gives `modules` to one driver; returns its lines and what it said."""
        text = SEPARATOR.join(f"// {work}\n{text}" for _, work, text in modules)
        done = subprocess.run([self.options.driver, f"--limit={LIMIT_S}"], text=True,
                              input=text, capture_output=True, check=False)
        return done.stdout.split("\n")[:-1], done.stderr

    def judge(self, modules, lines, errors):
        if len(lines) != len(modules):
            self.failures.append("driver")
            print(f"the driver answered {len(lines)} of {len(modules)} modules\n{errors}")
            return
        for (kind, work, text), line in zip(modules, lines):
            status, size, ops, passes, message = line.split("\t")
            self.counts[kind] += 1
            self.counts["= " + status] += 1
            self.counts["reached object code"] += int(size) > 0
            self.ops.update(filter(None, ops.split(",")))
            self.passes.update(filter(None, passes.split(",")))
            if status not in LEGAL:
                self.report(kind, work, text, f"{status}: {message}", errors)
            elif kind in MUST_PASS and status != "ok":
                self.report(kind, work, text, f"refused a valid module: {message}", "")

    def report(self, kind, work, text, wrong, errors):
        self.failures.append(wrong)
        place = ""
        text = f"// {work}\n{text}"
        if self.options.keep:
            os.makedirs(self.options.keep, exist_ok=True)
            place = os.path.join(self.options.keep, f"{kind}-{len(self.failures)}.mlir")
            with open(place, "w", encoding="utf-8") as out:
                out.write(text)
        print(f"== {kind}: {wrong} {place}")
        if len(self.failures) <= 5:
            tail = "\n".join(errors.splitlines()[:12])
            print(f"{text[:3000]}\n-- stderr:\n{tail}\n")

    def print_coverage(self):
        """Prints how often everything was met; what never was is a failure."""
        for title, known, met in (("ops", self.known_ops, self.ops),
                                  ("passes", self.known_passes, self.passes)):
            for name in known:
                print(f"{met[name]:8} {name}")
            missing = [name for name in known if not met[name]]
            print(f"{len(known) - len(missing)} of {len(known)} {title} met")
            # A short run meets only what its few samples hold.
            if not self.options.may_miss:
                self.failures += [f"{name} was never met" for name in missing]
        total = self.options.count
        if self.counts["reached object code"] < 0.3 * total:
            self.failures.append("less than 30 % reached object code")

    def main(self):
        chunks = [[self.module(i) for i in range(first, min(first + CHUNK, self.options.count))]
                  for first in range(0, self.options.count, CHUNK)]
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            for chunk, (lines, errors) in zip(chunks, pool.map(self.run, chunks)):
                self.judge(chunk, lines, errors)
        self.print_coverage()
        for name, count in sorted(self.counts.items()):
            print(f"{count:8} {name}")
        for failure in self.failures[:50]:
            print(f"failure: {failure}")
        print(f"{len(self.failures)} failures")
        return 1 if self.failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--driver", required=True)
    parser.add_argument("--moe-opt", required=True)
    parser.add_argument("--tree", required=True, help="root of the sources")
    parser.add_argument("--count", type=int, default=200, help="modules in all")
    parser.add_argument("--may-miss", action="store_true", help="ops and passes may stay unmet")
    parser.add_argument("--jobs", type=int, default=1, help="drivers at a time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="folder for the modules that fail")
    sys.exit(Fuzzer(parser.parse_args()).main())
