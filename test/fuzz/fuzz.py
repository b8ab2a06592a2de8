"""Feeds moe-opt generated modules: valid ones must pass, broken ones must be told so.

    fuzz.py --moe-opt MOE-OPT --corpus FOLDER --count N [--seed S] [--keep FOLDER]

A third of the modules each:
  layers   valid by construction, through the passes of a compilation with random
           options; any error is a failure (the IR is verified after every pass)
  mutants  tests of the tree with some tokens exchanged, through random passes
  orders   valid layers through moec's passes in a random order

Mutants and orders may be refused, with a diagnostic and exit code 1. A signal, an
exit without a diagnostic, or a run beyond the time limit is a failure; the module
is then searched by itself and printed with its command line. The same seed gives
the same modules.

Part of moec, under the Apache License v2.0 with LLVM Exceptions.
See LICENSE for licence information.
SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""

import argparse
import collections
import glob
import os
import random
import re
import subprocess
import sys

from layers import random_layer

SEPARATOR = "\n// -----\n"
LIMIT_S = 120
# Interpreters execute what they are given, however large; they are no lowering.
NOT_FUZZED = re.compile("interpret")
UPSTREAM = ["canonicalize", "cse", "symbol-dce"]


class Fuzzer:
    def __init__(self, options):
        self.options = options
        self.failures = []
        self.counts = collections.Counter()
        self.passes = self.find_passes()
        self.corpus = self.read_corpus()

    def find_passes(self):
        """moec's passes, as `moe-opt --help` lists them."""
        text = subprocess.run([self.options.moe_opt, "--help"], text=True,
                              capture_output=True, check=True).stdout
        found = set(re.findall(r"^ {6}--((?:convert-)?moe-[a-z0-9-]+) ", text, re.M))
        found = sorted(p for p in found if not NOT_FUZZED.search(p))
        assert "moe-decompose-layer" in found, text
        return found

    def read_corpus(self):
        """Modules of the tree's own tests, without their expectations."""
        chunks = []
        for path in sorted(glob.glob(os.path.join(self.options.corpus, "**", "*.mlir"),
                                     recursive=True)):
            with open(path, encoding="utf-8") as source:
                text = re.sub(r"^\s*//(?! -----).*\n", "", source.read(), flags=re.M)
            for chunk in text.split("// -----"):
                if len(chunk.strip()) > 20 and len(chunk) < 20000:
                    chunks.append(chunk.strip() + "\n")
        assert len(chunks) > 20, "no corpus"
        return chunks

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

    # Pipelines.

    def compilation(self, rng):
        """The passes of a compilation, up to a random one, with random options."""
        layout = rng.choice(["flat_topk", "expert_sorted", "expert_sorted_padded"])
        reduce = rng.choice(["rows", "token"])
        zero = rng.choice(["auto", "element", "row_sum"])
        steps = ["--moe-decompose-layer",
                 f"--moe-fuse-epilogue=layout={layout} reduce={reduce}",
                 f"--moe-fold-scales=zero={zero} min-run={rng.choice([16, 32, 64, 256])}",
                 "--canonicalize", "--cse"]
        if "moe-select-config" in self.passes:
            steps.append("--moe-select-config")
        return steps[:rng.randint(1, len(steps))]

    def any_order(self, rng):
        """Some of all passes, in any order."""
        names = rng.sample(self.passes, rng.randint(1, len(self.passes)))
        names += rng.sample(UPSTREAM, rng.randint(0, 2))
        rng.shuffle(names)
        # Textual pipelines nest passes where they belong by themselves only
        # when given as options.
        return ["--" + name for name in names]

    # Running.

    def run(self, text, pipeline):
        """Runs moe-opt on `text`; returns what is wrong, or None, and its exit code."""
        command = [self.options.moe_opt, "--split-input-file", *pipeline, "-o", os.devnull]
        try:
            done = subprocess.run(command, input=text, text=True, capture_output=True,
                                  timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            return f"ran longer than {LIMIT_S} s", None, ""
        errors = done.stderr
        if done.returncode not in (0, 1) or "Stack dump" in errors or "Sanitizer" in errors:
            return f"exit code {done.returncode}", done.returncode, errors
        if done.returncode == 1 and "error:" not in errors:
            return "failed without a diagnostic", 1, errors
        return None, done.returncode, errors

    def batch(self, kind, modules, pipeline, must_pass):
        self.counts[kind] += len(modules)
        for step in pipeline:
            self.counts["--" + re.split("[=]", step.lstrip("-"))[0]] += len(modules)
        wrong, code, errors = self.run(SEPARATOR.join(modules), pipeline)
        if not wrong and not (must_pass and code):
            self.counts["refused"] += len(re.findall(r": error:", errors))
            return
        found = False
        for module in modules:
            wrong, code, errors = self.run(module, pipeline)
            if not wrong and must_pass and code:
                wrong = "refused a valid module"
            if wrong:
                found = True
                self.report(kind, module, pipeline, wrong, errors)
        if not found:
            self.report(kind, SEPARATOR.join(modules), pipeline,
                        "only all modules together fail", "")

    def report(self, kind, module, pipeline, wrong, errors):
        self.failures.append(wrong)
        place = ""
        if self.options.keep:
            os.makedirs(self.options.keep, exist_ok=True)
            place = os.path.join(self.options.keep, f"{kind}-{len(self.failures)}.mlir")
            with open(place, "w", encoding="utf-8") as out:
                out.write(module)
        if len(self.failures) <= 5:
            tail = "\n".join(errors.splitlines()[:12])
            print(f"== {kind}: {wrong}\nmoe-opt {' '.join(map(repr, pipeline))} {place}\n"
                  f"{module[:3000]}\n-- stderr:\n{tail}\n")

    def main(self):
        per_batch = self.options.batch
        rounds = max(1, self.options.count // (3 * per_batch))
        for index in range(rounds):
            rng = random.Random(f"{self.options.seed} {index}")
            layers = [random_layer(rng) for _ in range(per_batch)]
            self.batch("layers", layers, self.compilation(rng), must_pass=True)
            layers = [random_layer(rng) for _ in range(per_batch)]
            self.batch("orders", layers, self.any_order(rng), must_pass=False)
            mutants = [self.mutant(rng) for _ in range(per_batch)]
            self.batch("mutants", mutants, self.any_order(rng), must_pass=False)
        for name, count in sorted(self.counts.items()):
            print(f"{count:8} {name}")
        print(f"{len(self.failures)} failures")
        return 1 if self.failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--moe-opt", required=True)
    parser.add_argument("--corpus", required=True, help="folder of .mlir tests")
    parser.add_argument("--count", type=int, default=210, help="modules in all")
    parser.add_argument("--batch", type=int, default=10, help="modules per process")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="folder for the modules that fail")
    sys.exit(Fuzzer(parser.parse_args()).main())
