"""Runs functions through `moe-opt --moe-interpret` and compares with the oracle."""

import os
import subprocess
import sys

import numpy as np

from moec_oracle import Tensor, decode

# Token counts of every execution test: none, one, few, odd, more than a block.
TOKENS = [0, 1, 2, 7, 33, 257]


def make_ids(rng, tokens, k, experts, style=None):
    """Global ids [T, k]: ragged, skewed, all to one, none, with -1 and duplicates."""
    style = style or ["mixed", "one", "skewed", "mixed", "unique", "none"][rng.integers(6)]
    if style == "unique" and k <= experts:
        ids = np.array([rng.permutation(experts)[:k] for _ in range(tokens)])
        return ids.reshape(tokens, k).astype(np.int32)
    if style == "one":
        return np.full((tokens, k), experts - 1, np.int32)
    if style == "none":
        return np.full((tokens, k), -1, np.int32)
    high = max(1, experts // 3) if style == "skewed" else experts
    ids = rng.integers(0, high, (tokens, k))
    if k > 1 and tokens:
        ids[::3, 1] = ids[::3, 0]  # duplicates
    return np.where(rng.random((tokens, k)) < 0.1, -1, ids).astype(np.int32)


def mlir_type(elem, shape):
    return "tensor<" + "".join(f"{n}x" for n in shape) + elem + ">"


class Function:
    """One function under test: arguments, body text, expected results."""

    def __init__(self, name):
        self.name = name
        self.args, self.lines, self.results, self.checks = [], [], [], []

    def arg(self, tensor):
        """Adds an argument; gives its name and its type."""
        self.args.append(tensor)
        return f"%a{len(self.args) - 1}", mlir_type(tensor.elem, tensor.shape)

    def typed(self, tensor):
        """'%a3 : tensor<...>'."""
        return " : ".join(self.arg(tensor))

    def out(self, elem, shape):
        """A destination holding NaN, which nothing may read."""
        fill = 0xA5 if elem.startswith("i") else None
        codes = np.full(shape, fill, np.uint8) if elem == "i8" else None
        if elem == "i32":
            codes = np.full(shape, -7, np.int32)
        if codes is None:
            codes = Tensor.of(elem, np.full(shape, np.nan)).codes
        return self.arg(Tensor(elem, codes))

    def line(self, text):
        self.lines.append(text)

    def result(self, value, elem, shape, expected, tolerance=0.0, rows=None):
        """Returns `value`; expected: Tensor (exact codes) or f64 values, compared
        by Frobenius error. rows: mask of the rows that are specified; the
        others must be NaN where the type has NaN."""
        self.results.append((value, mlir_type(elem, shape)))
        self.checks.append((elem, expected, tolerance, rows))

    def routing_result(self, value, text, routing):
        """Returns a routing value, which becomes six tables."""
        self.results.append((value, text))
        for table in routing.tables():
            self.checks.append(("i32", Tensor("i32", table), 0.0, None))

    def text(self):
        params = ", ".join(f"%a{i}: {mlir_type(t.elem, t.shape)}" for i, t in enumerate(self.args))
        names = ", ".join(n for n, _ in self.results)
        types = ", ".join(t for _, t in self.results)
        body = "\n".join("  " + line for line in self.lines)
        return (f"func.func @{self.name}({params}) -> ({types}) {{\n{body}\n"
                f"  return {names} : {types}\n}}\n")

    def check(self, folder):
        """Problems found, as texts."""
        problems = []
        for i, (elem, expected, tolerance, rows) in enumerate(self.checks):
            got = np.load(os.path.join(folder, f"{self.name}.res{i}.npy"))
            problem = compare(elem, got, expected, tolerance, rows)
            if problem:
                problems.append(f"@{self.name} result {i}: {problem}")
        return problems


def compare(elem, got, expected, tolerance, rows):
    exact = isinstance(expected, Tensor)
    shape = expected.shape
    if got.shape != shape:
        return f"shape {got.shape}, expected {shape}"
    if exact:
        got = got.view(expected.codes.dtype) if got.dtype != expected.codes.dtype else got
        wanted = expected.codes
    else:
        storage = Tensor(elem, np.zeros(1)).codes.dtype
        got, wanted = decode(elem, got.view(storage)), expected
    if rows is not None:
        if not exact and not np.isnan(got[~rows]).all():
            return "a row of no slot is not poisoned"
        got, wanted = got[rows], wanted[rows]
    if exact:
        bad = np.argwhere(got != wanted)
        if len(bad):
            place = tuple(bad[0])
            return f"{len(bad)} codes differ, first at {place}: {got[place]}, expected {wanted[place]}"
        return None
    if not np.isfinite(got).all() or not np.isfinite(wanted).all():
        return "not finite"
    error, norm = np.linalg.norm(got - wanted), np.linalg.norm(wanted)
    if error > tolerance * norm:
        return f"rel_err {error / norm if norm else np.inf:.3g} > {tolerance}"
    return None


def run(build, folder, options="", tokens=TOKENS, seed=1):
    """build(rng, T) gives the functions for T tokens. Runs all of them in one
    moe-opt per T; exits with the list of problems if there are any."""
    problems, count = [], 0
    for t in tokens:
        functions = build(np.random.default_rng(seed + t), t)
        here = os.path.join(folder, f"T{t}")
        os.makedirs(here, exist_ok=True)
        for function in functions:
            for i, tensor in enumerate(function.args):
                np.save(os.path.join(here, f"{function.name}.arg{i}.npy"), tensor.codes)
        source = os.path.join(here, "module.mlir")
        with open(source, "w", encoding="utf-8") as file:
            file.write("\n".join(f.text() for f in functions))
        done = subprocess.run(
            ["moe-opt", source, f"--moe-interpret=inputs={here} dump={here} limit=0 {options}",
             "-o", os.devnull], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            check=False)
        if done.returncode:
            sys.exit(f"T={t}: moe-opt failed:\n{done.stderr}")
        for function in functions:
            count += len(function.checks)
            problems += [f"T={t} {p}" for p in function.check(here)]
    for problem in problems[:40]:
        print(problem)
    if problems:
        sys.exit(f"{len(problems)} of {count} results are wrong")
    print(f"{count} results agree")
