# RUN: %python %s | FileCheck %s
# CHECK: {{[0-9]+}} results agree
"""Scalar operations of tile kernels on random and special values against NumPy."""

import math
import re
import subprocess
import sys

import numpy as np

import moec_oracle as oracle

COUNT = 24
INTS = {"i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64}
UINTS = {"i8": np.uint8, "i16": np.uint16, "i32": np.uint32, "i64": np.uint64}
BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}
FLOATS = {"f32": np.float32, "f64": np.float64}


class Kernel:
    """One kernel: inputs with values, outputs with the values they must get."""

    def __init__(self, name):
        self.name, self.inputs, self.outputs, self.body = name, [], [], []

    def load(self, elem, values):
        """Adds an input; gives the name of its i-th element."""
        name = f"in{len(self.inputs)}"
        self.inputs.append((name, elem, values))
        self.body.append(f"%{name}v = memref.load %{name}[%i] : memref<{COUNT}x{elem}>")
        return f"%{name}v"

    def line(self, text):
        name = f"%t{len(self.body)}"
        self.body.append(f"{name} = {text}")
        return name

    def store(self, value, elem, expected, what):
        name = f"out{len(self.outputs)}"
        self.outputs.append((name, elem, expected, what))
        self.body.append(f"memref.store {value}, %{name}[%i] : memref<{COUNT}x{elem}>")

    def text(self):
        params = [f"%{n}: memref<{COUNT}x{e}> {{moe_tile.test = {{values = dense<{dense(e, v)}> : "
                  f"tensor<{COUNT}x{e}>}}}}" for n, e, v in self.inputs]
        params += [f"%{n}: memref<{COUNT}x{e}> {{moe_tile.test = {{init = \"undefined\"}}}}"
                   for n, e, _, _ in self.outputs]
        body = "\n    ".join(self.body)
        return (f"moe_tile.kernel @{self.name}({', '.join(params)}) {{\n"
                f"  %first = arith.constant 0 : index\n  %step = arith.constant 1 : index\n"
                f"  %last = arith.constant {COUNT} : index\n"
                f"  scf.for %i = %first to %last step %step {{\n    {body}\n  }}\n"
                f"  moe_tile.return\n}}\n")

    def check(self, lines):
        for number, (_, elem, expected, what) in enumerate(self.outputs):
            index = len(self.inputs) + number
            match = re.fullmatch(rf"argument {index} = \[(.*)\]", lines[index])
            got = match.group(1).split(", ")
            for place, (text, value) in enumerate(zip(got, expected)):
                if not same(elem, text, value):
                    given = [v[place] for _, _, v in self.inputs]
                    yield f"@{self.name} {what} of {given}: {text}, expected {value}"


def dense(elem, values):
    if elem in FLOATS:
        size = "016X" if elem == "f64" else "08X"
        codes = np.asarray(values, FLOATS[elem]).view(np.uint64 if elem == "f64" else np.uint32)
        return "[" + ", ".join(f"0x{int(c):{size}}" for c in codes) + "]"
    return "[" + ", ".join(str(int(v)) for v in values) + "]"


def same(elem, text, value):
    if text == "undefined":
        return value is None
    if value is None:
        return False
    if elem.startswith("i"):
        return int(text) == int(value)
    got = float(text)
    if math.isnan(value) or math.isinf(value):
        return got == value or (math.isnan(got) and math.isnan(value))
    return abs(got - value) <= 2e-5 * abs(value)


def wrap(value, elem):
    half = 1 << (BITS[elem] - 1)
    return (int(value) + half) % (2 * half) - half


def unsigned(value, elem):
    return int(value) % (1 << BITS[elem])


def toward_zero(a, b):
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


# name: (function of Python integers, operands are read as unsigned)
INT_OPS = {
    "addi": (lambda a, b, n: a + b, False), "subi": (lambda a, b, n: a - b, False),
    "muli": (lambda a, b, n: a * b, False), "divsi": (lambda a, b, n: toward_zero(a, b), False),
    "divui": (lambda a, b, n: a // b, True),
    "remsi": (lambda a, b, n: a - b * toward_zero(a, b), False),
    "remui": (lambda a, b, n: a % b, True), "floordivsi": (lambda a, b, n: a // b, False),
    "ceildivsi": (lambda a, b, n: -(-a // b), False), "ceildivui": (lambda a, b, n: -(-a // b), True),
    "andi": (lambda a, b, n: a & b, False), "ori": (lambda a, b, n: a | b, False),
    "xori": (lambda a, b, n: a ^ b, False), "maxsi": (lambda a, b, n: max(a, b), False),
    "minsi": (lambda a, b, n: min(a, b), False), "maxui": (lambda a, b, n: max(a, b), True),
    "minui": (lambda a, b, n: min(a, b), True), "shli": (lambda a, b, n: a << (b % n), True),
    "shrui": (lambda a, b, n: a >> (b % n), True), "shrsi": (lambda a, b, n: a >> (b % n), False),
}
INT_PREDICATES = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
                  "gt": np.greater, "ge": np.greater_equal}


def int_kernel(rng, elem):
    k = Kernel(f"ints_{elem}")
    info = np.iinfo(INTS[elem])
    a = rng.integers(info.min, info.max, COUNT, dtype=np.int64, endpoint=True)
    b = rng.integers(info.min, info.max, COUNT, dtype=np.int64, endpoint=True)
    b[:8] = rng.integers(-4, 5, 8)
    a[4:10] = rng.integers(-4, 5, 6)
    a[0], a[1], b[1], a[10], b[10] = info.min, info.max, 1, 5, 5
    b = np.where(b == 0, 3, b)
    b[0] = 2  # the smallest number by -1 is undefined
    amount = b % BITS[elem]
    x, y, s = k.load(elem, a), k.load(elem, b), k.load(elem, amount)
    for name, (function, as_unsigned) in INT_OPS.items():
        second = s if name.startswith("sh") else y
        value = k.line(f"arith.{name} {x}, {second} : {elem}")
        read = unsigned if as_unsigned else (lambda v, e: int(v))
        k.store(value, elem, [wrap(function(read(p, elem), read(q, elem), BITS[elem]), elem)
                              for p, q in zip(a, b if second == y else amount)], name)
    k.store(k.line(f"math.absi {x} : {elem}"), elem, [wrap(abs(int(v)), elem) for v in a], "absi")
    for word, function in INT_PREDICATES.items():
        for sign in ("",) if word in ("eq", "ne") else ("s", "u"):
            c = k.line(f"arith.cmpi {sign}{word}, {x}, {y} : {elem}")
            left, right = a.astype(INTS[elem]), b.astype(INTS[elem])
            if sign == "u":
                left, right = left.view(UINTS[elem]), right.view(UINTS[elem])
            k.store(c, "i1", function(left, right), f"cmpi {sign}{word}")
    return k


def int_casts(rng):
    k = Kernel("int_casts")
    for elem in INTS:
        info = np.iinfo(INTS[elem])
        values = rng.integers(info.min, info.max, COUNT, dtype=np.int64, endpoint=True)
        x = k.load(elem, values)
        for other in INTS:
            if BITS[other] > BITS[elem]:
                k.store(k.line(f"arith.extsi {x} : {elem} to {other}"), other, values, f"extsi to {other}")
                k.store(k.line(f"arith.extui {x} : {elem} to {other}"), other,
                        [unsigned(v, elem) for v in values], f"extui to {other}")
            elif BITS[other] < BITS[elem]:
                k.store(k.line(f"arith.trunci {x} : {elem} to {other}"), other,
                        [wrap(v, other) for v in values], f"trunci to {other}")
        for target, kind in FLOATS.items():
            k.store(k.line(f"arith.sitofp {x} : {elem} to {target}"), target, values.astype(kind), "sitofp")
            k.store(k.line(f"arith.uitofp {x} : {elem} to {target}"), target,
                    [float(unsigned(v, elem)) for v in values], "uitofp")
        low = k.line(f"arith.trunci {x} : {elem} to i1")
        k.store(low, "i1", values & 1, "trunci to i1")
        k.store(k.line(f"arith.extui {low} : i1 to i32"), "i32", values & 1, "extui of i1")
        k.store(k.line(f"arith.extsi {low} : i1 to i32"), "i32", -(values & 1), "extsi of i1")
        if elem != "i64":
            index = k.line(f"arith.index_cast {x} : {elem} to index")
            k.store(k.line(f"arith.index_cast {index} : index to i64"), "i64", values, "index_cast")
    return k


def fma(a, b, c):
    return a * b + c


FLOAT_OPS = {
    "addf": np.add, "subf": np.subtract, "mulf": np.multiply, "divf": np.divide, "remf": np.fmod,
    "maximumf": np.maximum, "minimumf": np.minimum, "maxnumf": np.fmax, "minnumf": np.fmin,
}
MATH = {
    "absf": np.abs, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log10": np.log10, "log1p": np.log1p, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "tanh": np.tanh, "erf": oracle.erf, "sin": np.sin, "cos": np.cos, "floor": np.floor, "ceil": np.ceil,
    "trunc": np.trunc, "roundeven": np.rint,
    "round": lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x),
}
ORDERED = {"eq": np.equal, "gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal,
           "ne": np.not_equal}


def float_kernel(rng, elem):
    k = Kernel(f"floats_{elem}")
    kind = FLOATS[elem]
    a = (rng.standard_normal(COUNT) * 3).astype(kind)
    b = (rng.standard_normal(COUNT) * 3).astype(kind)
    a[:6] = [np.nan, 1.0, np.inf, -np.inf, 2.5, -2.5]
    b[:8] = [1.0, np.nan, np.inf, 2.0, 2.5, 0.5, 0.25, -0.5]
    x, y = k.load(elem, a), k.load(elem, b)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        for name, function in FLOAT_OPS.items():
            k.store(k.line(f"arith.{name} {x}, {y} : {elem}"), elem, function(wide_a, wide_b), name)
        k.store(k.line(f"arith.negf {x} : {elem}"), elem, -wide_a, "negf")
        for name, function in MATH.items():
            k.store(k.line(f"math.{name} {x} : {elem}"), elem, function(wide_a), name)
        size = k.line(f"math.absf {x} : {elem}")
        k.store(k.line(f"math.powf {size}, {y} : {elem}"), elem, np.abs(wide_a) ** wide_b, "powf")
        k.store(k.line(f"math.fma {x}, {y}, {y} : {elem}"), elem, wide_a * wide_b + wide_b, "fma")
        k.store(k.line(f"math.copysign {x}, {y} : {elem}"), elem, np.copysign(wide_a, wide_b), "copysign")
    unordered = np.isnan(a) | np.isnan(b)
    for word, function in ORDERED.items():
        with np.errstate(invalid="ignore"):
            plain = function(a, b)
        for sign, wanted in (("o", plain & ~unordered), ("u", plain | unordered)):
            k.store(k.line(f"arith.cmpf {sign}{word}, {x}, {y} : {elem}"), "i1", wanted, f"cmpf {sign}{word}")
    for word, wanted in (("ord", ~unordered), ("uno", unordered), ("true", unordered | True),
                         ("false", unordered & False)):
        c = k.line(f"arith.cmpf {word}, {x}, {y} : {elem}")
        k.store(c, "i1", wanted, f"cmpf {word}")
    k.store(k.line(f"arith.select {c}, {x}, {y} : {elem}"), elem, wide_b, "select")
    return k


def float_casts(rng):
    k = Kernel("float_casts")
    values = (rng.standard_normal(COUNT) * 10.0 ** rng.integers(-3, 3, COUNT)).astype(np.float32)
    values[:3] = [0.0, -1.5, 448.0]
    x = k.load("f32", values)
    for small in ("bf16", "f16", "f8E4M3FN", "f8E5M2", "f8E4M3FNUZ", "f8E5M2FNUZ"):
        code = oracle.encode(small, values.astype(np.float64))
        narrow = k.line(f"arith.truncf {x} : f32 to {small}")
        k.store(k.line(f"arith.extf {narrow} : {small} to f32"), "f32", oracle.decode(small, code), small)
        bits = 16 if small in ("bf16", "f16") else 8
        k.store(k.line(f"arith.bitcast {narrow} : {small} to i{bits}"), f"i{bits}",
                [wrap(c, f"i{bits}") for c in code], f"bits of {small}")
    k.store(k.line(f"arith.extf {x} : f32 to f64"), "f64", values, "extf")
    k.store(k.line(f"arith.bitcast {x} : f32 to i32"), "i32", values.view(np.int32), "bits")
    back = k.line(f"arith.bitcast {k.line(f'arith.bitcast {x} : f32 to i32')} : i32 to f32")
    k.store(back, "f32", values, "bits and back")
    k.store(k.line(f"arith.fptosi {x} : f32 to i32"), "i32", np.trunc(values), "fptosi")
    size = k.line(f"math.absf {x} : f32")
    k.store(k.line(f"arith.fptoui {size} : f32 to i32"), "i32", np.trunc(np.abs(values)), "fptoui")
    # No integer is near an infinity.
    huge = k.load("f32", np.full(COUNT, np.inf, np.float32))
    k.store(k.line(f"arith.fptosi {huge} : f32 to i32"), "i32", [None] * COUNT, "fptosi of infinity")
    return k


def main():
    problems, count = [], 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        kernels = [*(int_kernel(rng, e) for e in INTS), *(float_kernel(rng, e) for e in FLOATS),
                   int_casts(rng), float_casts(rng)]
        passes = [f"-moe-tile-interpret=functions={k.name} print" for k in kernels]
        done = subprocess.run(["moe-opt", "-", "-o", "/dev/null", *passes], text=True,
                              input="\n".join(k.text() for k in kernels), capture_output=True,
                              check=False)
        if done.returncode:
            sys.exit(f"moe-opt failed:\n{done.stderr[:4000]}")
        lines = done.stdout.splitlines()
        for kernel in kernels:
            size = len(kernel.inputs) + len(kernel.outputs)
            problems += kernel.check(lines[:size])
            lines = lines[size:]
            count += len(kernel.outputs) * COUNT
    print("\n".join(problems[:30]))
    if problems:
        sys.exit(f"{len(problems)} of {count} results are wrong")
    print(f"{count} results agree")


main()
