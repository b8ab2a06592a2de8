# arith, tensor and linalg operations in between against NumPy.
# RUN: rm -rf %t && mkdir -p %t
# RUN: %python %s %t | FileCheck %s
# CHECK: results agree
import sys

import numpy as np

from moec_cases import Function, mlir_type, run
from moec_oracle import Tensor

WIDTH = {"i8": 8, "i32": 32, "i64": 64, "index": 64}
COUNT = 12


def wrap(value, elem):
    """Two's complement of Python integers."""
    half = 1 << (WIDTH[elem] - 1)
    return (int(value) + half) % (2 * half) - half


def unsigned(value, elem):
    return int(value) % (1 << WIDTH[elem])


def quotient(a, b):
    """Toward zero, as C divides."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


BINARY = {
    "addi": lambda a, b: a + b, "subi": lambda a, b: a - b, "muli": lambda a, b: a * b,
    "divsi": quotient, "remsi": lambda a, b: a - b * quotient(a, b),
    "floordivsi": lambda a, b: a // b, "ceildivsi": lambda a, b: -(-a // b),
    "maxsi": max, "minsi": min, "andi": lambda a, b: a & b, "ori": lambda a, b: a | b,
    "xori": lambda a, b: a ^ b,
}
UNSIGNED = {"divui": lambda a, b: a // b, "remui": lambda a, b: a % b, "ceildivui": lambda a, b: -(-a // b),
            "maxui": max, "minui": min, "shli": lambda a, b: a << (b % 7)}
COMPARE = {"eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b,
           "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b}


def integers(rng, elem, low=None):
    """Small ones, of which many are equal, and some that overflow."""
    top = 2 ** 31 - 1 if elem == "i32" else 2 ** 20
    values = rng.integers(-5 if low is None else low, 6, COUNT)
    if low is None:
        values[-3:] = rng.integers(-top - 1, top, 3)
    return values


def scalar_case(rng, name, elem, op, result_elem, a, b, wanted):
    """op(x, y) gives the lines that define %r{i} of two scalars."""
    f = Function(f"{name}_{elem}")
    storage = "i64" if elem == "index" else elem
    names = []
    for letter, values in (("x", a), ("y", b)):
        source, kind = f.arg(Tensor(storage, values))
        for i in range(COUNT):
            f.line(f"%at_{letter}{i} = arith.constant {i} : index")
            raw = f"%raw_{letter}{i}" if elem == "index" else f"%{letter}{i}"
            f.line(f"{raw} = tensor.extract {source}[%at_{letter}{i}] : {kind}")
            if elem == "index":
                f.line(f"%{letter}{i} = arith.index_cast {raw} : i64 to index")
    for i in range(COUNT):
        for line in op(i):
            f.line(line)
        names.append(f"%r{i}")
    kind = mlir_type(result_elem, (COUNT,))
    f.line(f"%y = tensor.from_elements {', '.join(names)} : {kind}")
    f.result("%y", result_elem, (COUNT,), Tensor(result_elem, wanted))
    return f


def to_i64(elem, value, target):
    """%value of elem as the i64 %target."""
    if elem == "i64":
        return f"{target} = arith.addi {value}, %zero64 : i64"
    return f"{target} = arith.{'index_cast' if elem == 'index' else 'extsi'} {value} : {elem} to i64"


def scalar_cases(rng):
    for elem in ("i32", "i64", "index"):
        for name, function in {**BINARY, **UNSIGNED}.items():
            low = 0 if name in UNSIGNED else None
            a, b = integers(rng, elem, low), integers(rng, elem, low)
            if name == "muli":
                b = np.clip(b, -3, 1000)
            if "div" in name or "rem" in name:
                b = np.where(b == 0, 3, b)

            def op(i, name=name, elem=elem):
                return [f"%zero_{i} = arith.constant 0 : i64",
                        f"%v{i} = arith.{name} %x{i}, %y{i} : {elem}",
                        to_i64(elem, f"%v{i}", f"%r{i}").replace("%zero64", f"%zero_{i}")]
            wanted = [wrap(function(int(x), int(y)), elem) for x, y in zip(a, b)]
            yield scalar_case(rng, name, elem, op, "i64", a, b, wanted)
        for word, function in COMPARE.items():
            for sign in "su" if word not in ("eq", "ne") else " ":
                predicate = (sign + word).strip()
                a, b = integers(rng, elem), integers(rng, elem)

                # The i1 is chosen by, and read as unsigned and as signed: 8 c + c - 2 c.
                def op(i, predicate=predicate, elem=elem):
                    return [f"%c{i} = arith.cmpi {predicate}, %x{i}, %y{i} : {elem}",
                            f"%eight{i} = arith.constant 8 : i64", f"%none{i} = arith.constant 0 : i64",
                            f"%two{i} = arith.constant 2 : i64",
                            f"%s{i} = arith.select %c{i}, %eight{i}, %none{i} : i64",
                            f"%u{i} = arith.extui %c{i} : i1 to i64",
                            f"%n{i} = arith.extsi %c{i} : i1 to i64",
                            f"%m{i} = arith.muli %n{i}, %two{i} : i64",
                            f"%t{i} = arith.addi %s{i}, %u{i} : i64",
                            f"%r{i} = arith.addi %t{i}, %m{i} : i64"]
                read = unsigned if sign == "u" else (lambda v, e: int(v))
                wanted = [7 * int(function(read(x, elem), read(y, elem))) for x, y in zip(a, b)]
                yield scalar_case(rng, f"cmpi_{predicate}", elem, op, "i64", a, b, wanted)

    # Narrowing keeps the low bits; a sum of two i8 wraps.
    a, b = rng.integers(-128, 128, COUNT), rng.integers(-(2 ** 31), 2 ** 31, COUNT)

    def narrow(i):
        return [f"%c{i} = arith.trunci %y{i} : i32 to i8", f"%d{i} = arith.trunci %x{i} : i32 to i8",
                f"%s{i} = arith.addi %c{i}, %d{i} : i8", f"%r{i} = arith.extsi %s{i} : i8 to i64"]
    wanted = [wrap(x + y, "i8") for x, y in zip(a, b)]
    yield scalar_case(rng, "narrow", "i32", narrow, "i64", a, b, wanted)

    def to_float(i):
        return [f"%c{i} = arith.cmpi slt, %x{i}, %y{i} : i32", f"%s{i} = arith.sitofp %c{i} : i1 to f32",
                f"%u{i} = arith.uitofp %c{i} : i1 to f32", f"%f{i} = arith.sitofp %x{i} : i32 to f32",
                f"%t{i} = arith.addf %s{i}, %f{i} : f32", f"%half{i} = arith.constant 0.5 : f32",
                f"%h{i} = arith.mulf %u{i}, %half{i} : f32", f"%r{i} = arith.addf %t{i}, %h{i} : f32"]
    a, b = integers(rng, "i32", 0), integers(rng, "i32", 0)
    yield scalar_case(rng, "to_float", "i32", to_float, "f32", a, b, a - 0.5 * (a < b))


def tensor_case(rng, tokens):
    """A chain of views of a matrix [T, 12] whose extents are computed."""
    f = Function("tensors")
    x = Tensor.of("f32", rng.standard_normal((tokens, 12)))
    name, kind = f.arg(x)
    v = x.values()
    f.line(f"%d = tensor.cast {name} : {kind} to tensor<?x12xf32>")
    f.line("%c0 = arith.constant 0 : index")
    f.line("%c2 = arith.constant 2 : index")
    f.line("%t = tensor.dim %d, %c0 : tensor<?x12xf32>")
    f.line("%half = arith.ceildivsi %t, %c2 : index")
    # Every second row, columns 10, 7, 4 and 1 by a stride of -3.
    f.line("%s = tensor.extract_slice %d[0, 1] [%half, 4] [2, 3] : tensor<?x12xf32> to tensor<?x4xf32>")
    part = v[::2, 1::3]
    f.line("%e = tensor.expand_shape %s [[0], [1, 2]] output_shape [%half, 2, 2] "
           ": tensor<?x4xf32> into tensor<?x2x2xf32>")
    f.line("%one = arith.constant 1.5 : f32")
    f.line("%init = tensor.splat %one[%half] : tensor<2x?xf32>")
    # Sum over the last dimension, transposed, on top of 1.5.
    f.line("%g = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (b, a, c)>, "
           "affine_map<(a, b, c) -> (a, b)>], iterator_types = [\"parallel\", \"parallel\", \"reduction\"]} "
           "ins(%e : tensor<?x2x2xf32>) outs(%init : tensor<2x?xf32>) {\n  ^bb0(%p: f32, %q: f32):\n"
           "    %sum = arith.addf %p, %q : f32\n    linalg.yield %sum : f32\n  } -> tensor<2x?xf32>")
    summed = part.reshape(-1, 2, 2).sum(axis=2).T + 1.5
    rows = (tokens + 1) // 2
    f.line(f"%gs = tensor.cast %g : tensor<2x?xf32> to tensor<2x{rows}xf32>")
    f.result("%gs", "f32", (2, rows), summed, 1e-6)
    # The part put back shifted, into zeros.
    f.line("%zero = arith.constant 0.0 : f32")
    f.line("%empty = tensor.empty(%t) : tensor<?x12xf32>")
    f.line("%z = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x12xf32>) -> tensor<?x12xf32>")
    f.line("%w = tensor.insert_slice %s into %z[0, 2] [%half, 4] [2, 2] : tensor<?x4xf32> into tensor<?x12xf32>")
    back = np.zeros_like(v)
    back[::2, 2:10:2] = part
    f.line(f"%ws = tensor.cast %w : tensor<?x12xf32> to {kind}")
    f.result("%ws", "f32", (tokens, 12), back, 0.0)
    # One column as a vector, and all elements in one.
    f.line("%col = tensor.extract_slice %d[0, 7] [%t, 1] [1, 1] : tensor<?x12xf32> to tensor<?xf32>")
    f.line(f"%cols = tensor.cast %col : tensor<?xf32> to tensor<{tokens}xf32>")
    f.result("%cols", "f32", (tokens,), v[:, 7], 0.0)
    f.line("%flat = tensor.collapse_shape %d [[0, 1]] : tensor<?x12xf32> into tensor<?xf32>")
    f.line(f"%flats = tensor.cast %flat : tensor<?xf32> to tensor<{12 * tokens}xf32>")
    f.result("%flats", "f32", (12 * tokens,), v.reshape(-1), 0.0)
    # Element by element on whole tensors, and a scalar that chooses between two.
    f.line(f"%neg = arith.negf {name} : {kind}")
    f.line(f"%big = arith.maximumf {name}, %neg : {kind}")
    f.line(f"%root = math.sqrt %big : {kind}")
    f.result("%root", "f32", (tokens, 12), np.sqrt(np.abs(v)), 1e-6)
    f.line("%even = arith.remsi %t, %c2 : index")
    f.line("%odd = arith.cmpi ne, %even, %c0 : index")
    f.line(f"%pick = arith.select %odd, %neg, %root : {kind}")
    f.result("%pick", "f32", (tokens, 12), -v if tokens % 2 else np.sqrt(np.abs(v)), 1e-6)
    return f


def build(rng, tokens):
    scalars = list(scalar_cases(rng)) if tokens == 7 else []
    return [*scalars, tensor_case(rng, tokens)]


if __name__ == "__main__":
    run(build, sys.argv[1])
