# grouped_gemm and activate against NumPy: operand kinds, layouts, closings.
# RUN: rm -rf %t && mkdir -p %t
# RUN: %python %s %t | FileCheck %s
# RUN: %python %s %t accumulate=f32 threads=1 | FileCheck %s
# CHECK: results agree
import sys

import numpy as np

import moec_oracle as oracle
from moec_cases import Function, make_ids, run
from moec_oracle import Quant, Tensor

E, K, N = 5, 48, 12  # experts, reduction, result columns
TOPK, BLOCK = 3, 4
LAYOUTS = ["flat_topk", "expert_sorted", "expert_sorted_padded", "token"]
GATE_UP = [None, ("halves",), ("interleaved", 1, True), ("blocks", 3), ("blocks", 4, True),
           ("interleaved",), ("halves", 1, True)]

A_KINDS = [
    "f32", "bf16", "f16", Quant("f8E4M3FN", (1, 8)),
    Quant("f8E4M3FN", (1, 16), layout="group_major"), Quant("f8E4M3FN", (1, None)),
    Quant("i8", (1, None)), Quant("f8E4M3FNUZ", (1, 20)), Quant("f8E4M3FN", (None, None)),
    Quant("f4E2M1FN", (1, 32), "f8E8M0FNU", packing="mx"), "f8E5M2"]
B_KINDS = [
    "f32", "bf16", "f16", Quant("f8E4M3FN", (4, 8)), Quant("f8E4M3FN", (8, 16), layout="group_major"),
    Quant("f8E4M3FN", (1, None)), Quant("f8E4M3FN", (None, None)), Quant("f8E5M2", (5, 20)),
    Quant("f8E4M3FNUZ", (4, 8), "bf16"), Quant("f8E5M2FNUZ", (1, 16), "f16"), Quant("i8", (1, None)),
    Quant("i8", (1, 16), zero=120), Quant("i8", (1, 16), zero="operand"),
    Quant("i4", (1, 16), "bf16", zero=8, packing="low_even"),
    Quant("i4", (1, 16), "bf16", zero="operand", packing="exllama"),
    Quant("i4", (1, 8), "f16", packing="exllama"), Quant("i4", (1, None), packing="low_even"),
    Quant("i4", (1, 24), zero="operand", packing="low_even", layout="group_major"),
    Quant("f4E2M1FN", (1, 32), "f8E8M0FNU", packing="mx"),
    Quant("f4E2M1FN", (1, 16), "f8E4M3FN", packing="mx"),
    Quant("f8E4M3FN", (1, 32), "f8E8M0FNU"), "f64"]
CLOSINGS = [None, Quant("f8E4M3FN", (1, 4)), Quant("i8", (1, None)),
            Quant("f8E4M3FN", (1, 6), layout="group_major"),
            Quant("f4E2M1FN", (1, 4), "f8E8M0FNU", packing="mx"), None, None]


def make_operand(rng, kind, batch, rows, cols):
    """Storage tensors and values of a plain or quantised operand."""
    if isinstance(kind, Quant):
        stored, scale, zero = kind.random(rng, batch, rows, cols)
        return stored, scale, zero, kind.dequantise(stored, scale, zero)
    tensor = Tensor.of(kind, rng.standard_normal(tuple(batch) + (rows, cols)))
    return tensor, None, None, tensor.values()


def operand_text(f, tensor, scale, zero, kind, extra=""):
    text = f.typed(tensor)
    if scale is not None:
        text += f" scale {f.typed(scale)}"
    if zero is not None:
        text += f" zero {f.typed(zero)}"
    return text + extra + (f" quant {kind.text()}" if isinstance(kind, Quant) else "")


def epilogue_operands(rng, f, number, tokens, rows_of_b, routing):
    """Row, col, expert and elt operands: clauses and values per slot, in the
    order of the region's arguments."""
    clauses, values = "", []
    slots = routing.expert.size
    expert = np.maximum(routing.expert, 0)
    token = np.arange(slots) // routing.k

    def clause(word, tensors):
        names = [f.arg(t) for t in tensors]
        return (f" {word}({', '.join(n for n, _ in names)} : "
                f"{', '.join(t for _, t in names)})")

    gate_up = GATE_UP[number % len(GATE_UP)]
    if number % 2:
        by_token = number % 4 == 3
        rows = [Tensor.of(e, rng.standard_normal((tokens,) if by_token else (tokens, routing.k)))
                for e in ["f32", "bf16"][:1 + number % 3 // 2]]
        clauses += clause("row", rows)
        values += [np.repeat(t.values()[token][:, None] if by_token
                             else t.values().reshape(-1, 1), N, axis=1) for t in rows]
    if number % 3:
        wide = gate_up is not None and number % 3 == 2
        col = Tensor.of("f32", rng.standard_normal((E, rows_of_b if wide else N)))
        clauses += clause("col", [col])
        if wide:
            values += [col.values()[expert][:, part] for part in oracle.gate_up_rows(
                gate_up[0], N, *gate_up[1:])]
        else:
            values += [col.values()[expert]]
    if number % 4 != 1:
        factor = Tensor.of("f32", rng.random(E) + 0.5)
        clauses += clause("expert", [factor])
        values += [np.repeat(factor.values()[expert][:, None], N, axis=1)]
    if number % 5 == 2:
        elt = Tensor.of("bf16", rng.standard_normal((slots, N)))
        clauses += clause("elt", [elt])
        values += [elt.values()]
    return clauses, values


def gemm_case(rng, tokens, number):
    f = Function(f"gemm_{number}")
    # Every round over the kinds of b pairs them with other kinds of a.
    b_kind = B_KINDS[number % len(B_KINDS)]
    a_kind = A_KINDS[(number + 4 * (number // len(B_KINDS))) % len(A_KINDS)]
    gate_up = GATE_UP[number % len(GATE_UP)]
    a_layout = LAYOUTS[(number + number // 4) % 4]
    out = LAYOUTS[(number // 2 + number // 8) % 4]
    closing = CLOSINGS[number % len(CLOSINGS)] if out != "token" else None
    k = TOPK if number % 3 else 1
    rows_of_b = N * (2 if gate_up else 1)

    ids = make_ids(rng, tokens, k, E)
    kind = f"!moe.routing<experts = {E}, topk = {k}, block_m = {BLOCK}>"
    f.line(f"%r = moe.align {f.typed(Tensor('i32', ids))} -> {kind}")
    routing = oracle.Routing(oracle.local_experts(ids), E, BLOCK)

    count, a_row = routing.rows(a_layout)
    a, a_scale, a_zero, a_values = make_operand(rng, a_kind, (), count, K)
    b, b_scale, b_zero, b_values = make_operand(rng, b_kind, (E,), rows_of_b, K)
    # Rows of no slot may hold anything: give them the largest values there are.
    unused = ~routing.valid_rows(a_layout)
    if a_layout != "token" and not isinstance(a_kind, Quant):
        codes = a.codes.copy()
        codes[unused] = Tensor.of(a_kind, np.array([np.nan])).codes[0]
        a = Tensor(a_kind, codes)
    # Sums that are not those of a show that they, and not a, correct zero points.
    sums = plan = ""
    row_sum = not isinstance(a_kind, Quant) and isinstance(b_kind, Quant) and b_kind.zero is not None
    if row_sum:
        granule = b_kind.granule[1]
        given = rng.standard_normal((K // granule, count))
        given[:, unused & (a_layout != "token")] = np.nan
        given = Tensor("f32", given)
        sums = f" sums {f.typed(given)}"
        plan = f" scales <a = none, b = promote {granule}, zero = row_sum>"
        b_values = b_kind.spread(b_scale.values(), rows_of_b, K) * b_kind.codes(b)
    acc = oracle.grouped_product(routing, a_values, a_row, b_values)
    if row_sum:
        zeros = b_zero.codes.astype(np.float64) if b_zero else float(b_kind.zero)
        per_group = b_scale.values() * zeros
        if b_kind.layout == "group_major":
            per_group = np.swapaxes(per_group, -1, -2)
        acc -= oracle.grouped_product(routing, given.values().T, a_row, per_group)
    if gate_up:
        gate, up = oracle.gate_up_rows(gate_up[0], N, *gate_up[1:])
        columns = [acc[:, gate], acc[:, up]]
    else:
        columns = [acc]

    a_text = operand_text(f, a, a_scale, None, a_kind, sums)
    b_text = operand_text(f, b, b_scale, b_zero, b_kind)
    clauses, values = epilogue_operands(rng, f, number, tokens, rows_of_b, routing)
    columns += values

    # The region: sum of arguments with growing factors, then silu.
    args = ", ".join(f"%v{i}: f32" for i in range(len(columns)))
    region = [f"^bb0({args}):", "%t0 = arith.constant 0.0 : f32"]
    total = np.zeros_like(columns[0])
    for i, column in enumerate(columns):
        region += [f"%c{i} = arith.constant {0.25 * (i + 1):e} : f32",
                   f"%p{i} = arith.mulf %v{i}, %c{i} : f32",
                   f"%t{i + 1} = arith.addf %t{i}, %p{i} : f32"]
        total = total + 0.25 * (i + 1) * column
    region += [f"%n = arith.negf %t{len(columns)} : f32", "%e = math.exp %n : f32",
               "%one = arith.constant 1.0 : f32", "%d = arith.addf %e, %one : f32",
               f"%s = arith.divf %t{len(columns)}, %d : f32", "moe.yield %s : f32"]
    with np.errstate(over="ignore"):
        result = total * oracle.sigma(total)

    text = f"moe.grouped_gemm a({a_text}) b({b_text}) routing(%r : {kind}) "
    text += f"rows = {'gather' if a_layout == 'token' else 'slots'} a_layout = {a_layout} out = {out}"
    if gate_up:
        word = gate_up[0] + (f" {gate_up[1]}" if gate_up[0] == "blocks" else "")
        text += f" gate_up <{word}{', up_first' if len(gate_up) > 2 else ''}>"
    text += clauses
    tail = " {\n    " + "\n    ".join(region) + "\n  } -> "
    if closing:
        valid = routing.expert >= 0
        stored, scale = oracle.quantize(np.where(valid[:, None], result, 0), closing)
        # Codes may fall on the other side of a tie: compare values.
        wanted = closing.dequantise(stored, scale)
        rows_out = routing.rows(out)[0]
        counts = closing.counts(rows_out, N)
        (v, vt) = f.out(stored.elem, (rows_out, N // closing.unit()))
        (s, st) = f.out(scale.elem, tuple(counts))
        f.line(f"%q:2 = {text} quantize {closing.text()}{plan} outs({v}, {s} : {vt}, {st}){tail}{vt}, {st}")
        d, dt = f.out("f32", (rows_out, N))
        f.line(f"%d = moe.dequantize %q#0 : {vt} scale(%q#1 : {st}) quant {closing.text()} "
               f"outs({d} : {dt}) -> {dt}")
        c, ct = f.out("f32", (tokens, N))
        f.line(f"%y = moe.combine %d : {dt} routing(%r : {kind}) layout = {out} "
               f"outs({c} : {ct}) -> {ct}")
        f.result("%y", "f32", (tokens, N), oracle.sum_slots(routing, wanted), 5e-3)
        return f
    elem = ["f32", "bf16", "f16", "f64"][number % 4]
    mask = None
    if out == "token":
        wanted, shape = oracle.sum_slots(routing, result), (tokens, N)
    else:
        wanted, mask = routing.scatter(result, out), routing.valid_rows(out)
        shape = wanted.shape
    o, ot = f.out(elem, shape)
    f.line(f"%y = {text}{plan} outs({o} : {ot}){tail}{ot}")
    f.result("%y", elem, shape, wanted, {"bf16": 4e-3, "f16": 5e-4}.get(elem, 2e-6), mask)
    return f


# name, text of %r from %x and %y, NumPy. One line per scalar op of a region.
X = "%x : f32"
XY = "%x, %y : f32"
SCALARS = [
    ("addf", f"arith.addf {XY}", lambda x, y: x + y), ("subf", f"arith.subf {XY}", lambda x, y: x - y),
    ("mulf", f"arith.mulf {XY}", lambda x, y: x * y), ("divf", f"arith.divf {XY}", lambda x, y: x / y),
    ("remf", f"arith.remf {XY}", np.fmod), ("negf", f"arith.negf {X}", lambda x, y: -x),
    ("maximumf", f"arith.maximumf {XY}", np.maximum), ("minimumf", f"arith.minimumf {XY}", np.minimum),
    ("maxnumf", f"arith.maxnumf {XY}", np.fmax), ("minnumf", f"arith.minnumf {XY}", np.fmin),
    ("absf", f"math.absf {X}", lambda x, y: np.abs(x)), ("ceil", f"math.ceil {X}", lambda x, y: np.ceil(x)),
    ("floor", f"math.floor {X}", lambda x, y: np.floor(x)),
    ("round", f"math.round {X}", lambda x, y: np.sign(x) * np.floor(np.abs(x) + 0.5)),
    ("roundeven", f"math.roundeven {X}", lambda x, y: np.rint(x)),
    ("trunc", f"math.trunc {X}", lambda x, y: np.trunc(x)),
    ("copysign", f"math.copysign {XY}", np.copysign),
    ("sqrt", "math.sqrt %z : f32", lambda x, y: np.sqrt(np.abs(x))),
    ("cbrt", f"math.cbrt {X}", lambda x, y: np.cbrt(x)),
    ("rsqrt", "math.rsqrt %z : f32", lambda x, y: 1 / np.sqrt(np.abs(x))),
    ("exp", f"math.exp {X}", lambda x, y: np.exp(x)), ("exp2", f"math.exp2 {X}", lambda x, y: np.exp2(x)),
    ("expm1", f"math.expm1 {X}", lambda x, y: np.expm1(x)),
    ("log", "math.log %z : f32", lambda x, y: np.log(np.abs(x))),
    ("log2", "math.log2 %z : f32", lambda x, y: np.log2(np.abs(x))),
    ("log10", "math.log10 %z : f32", lambda x, y: np.log10(np.abs(x))),
    ("log1p", "math.log1p %z : f32", lambda x, y: np.log1p(np.abs(x))),
    ("powf", "math.powf %z, %y : f32", lambda x, y: np.abs(x) ** y),
    ("fma", "math.fma %x, %y, %z : f32", lambda x, y: x * y + np.abs(x)),
    ("sin", f"math.sin {X}", lambda x, y: np.sin(x)), ("cos", f"math.cos {X}", lambda x, y: np.cos(x)),
    ("tanh", f"math.tanh {X}", lambda x, y: np.tanh(x)), ("atan", f"math.atan {X}", lambda x, y: np.arctan(x)),
    ("erf", f"math.erf {X}", lambda x, y: oracle.erf(x)), ("erfc", f"math.erfc {X}", lambda x, y: 1 - oracle.erf(x)),
    ("clampf", "math.clampf %x to [%lo, %hi] : f32", lambda x, y: np.clip(x, -0.5, 0.75)),
]
PREDICATES = {"olt": np.less, "ole": np.less_equal, "ogt": np.greater, "oge": np.greater_equal,
              "oeq": np.equal, "one": np.not_equal, "ult": np.less, "ule": np.less_equal,
              "ugt": np.greater, "uge": np.greater_equal, "ueq": np.equal, "une": np.not_equal,
              "ord": lambda x, y: x == x, "uno": lambda x, y: x != x,
              "true": lambda x, y: x == x, "false": lambda x, y: x != x}


def activate_case(rng, tokens, name, text, function, gate_up, elem="f32"):
    f = Function(f"activate_{name}")
    x = Tensor.of("f32", rng.standard_normal((tokens, 600 if gate_up else 300)))
    source = f.typed(x)
    out, kind = f.out(elem, (tokens, 300))
    word = ""
    if gate_up:
        word = f" gate_up <{gate_up[0]}" + (f" {gate_up[1]}" if gate_up[0] == "blocks" else "")
        word += (", up_first" if len(gate_up) > 2 else "") + ">"
        gate, up = oracle.gate_up_rows(gate_up[0], 300, *gate_up[1:])
        first, second = x.values()[:, gate], x.values()[:, up]
        args = "%x: f32, %y: f32"
    else:
        first = second = x.values()
        args, text = "%x: f32", text.replace("%y", "%x")
    f.line(f"%v = moe.activate {source}{word} outs({out} : {kind}) {{\n    ^bb0({args}):\n"
           "    %z = math.absf %x : f32\n    %lo = arith.constant -0.5 : f32\n"
           f"    %hi = arith.constant 0.75 : f32\n    %r = {text}\n    moe.yield %r : f32\n"
           f"  }} -> {kind}")
    with np.errstate(invalid="ignore"):
        f.result("%v", elem, (tokens, 300), function(first, second),
                 4e-3 if elem == "bf16" else 3e-6)
    return f


def activate_cases(rng, tokens):
    kinds = [g for g in GATE_UP if g and g[:2] != ("blocks", 4)] + [("blocks", 50, True)]
    for number, (name, text, function) in enumerate(SCALARS):
        if name in ("divf", "remf", "powf"):  # ill-conditioned where y is near 0
            text, plain = text.replace("%y", "%hi"), function
            function = lambda x, y, plain=plain: plain(x, 0.75)
        yield activate_case(rng, tokens, name, text, function, kinds[number % len(kinds)],
                            "bf16" if number % 5 == 4 else "f32")
    for number, (name, function) in enumerate(PREDICATES.items()):
        lines = (f"arith.select %k, %x, %hi : f32")
        text = f"arith.addf %w, %lo : f32"
        before = (f"arith.cmpf {name}, %x, %y : f32\n    %k = arith.andi %q, %q : i1\n"
                  f"    %w = {lines}\n    %r = {text}")
        case = activate_case(rng, tokens, f"cmpf_{name}", before,
                             lambda x, y, p=function: np.where(p(x, y), x, 0.75) - 0.5,
                             kinds[number % len(kinds)])
        case.lines = [line.replace("%r = arith.cmpf", "%q = arith.cmpf") for line in case.lines]
        yield case
    text = ("arith.truncf %x : f32 to bf16\n    %e = arith.extf %q : bf16 to f32\n"
            "    %k = arith.cmpf olt, %x, %hi : f32\n    %k2 = arith.cmpf ogt, %x, %lo : f32\n"
            "    %k3 = arith.ori %k, %k2 : i1\n    %k4 = arith.xori %k3, %k : i1\n"
            "    %b = arith.uitofp %k4 : i1 to f32\n    %r = arith.addf %e, %b : f32")
    case = activate_case(
        rng, tokens, "casts", text,
        lambda x, y: oracle.decode("bf16", oracle.encode("bf16", x)) + (x >= 0.75), None)
    case.lines = [line.replace("%r = arith.truncf", "%q = arith.truncf") for line in case.lines]
    yield case


def build(rng, tokens):
    return [*(gemm_case(rng, tokens, n) for n in range(3 * len(B_KINDS))),
            *activate_cases(rng, tokens)]


if __name__ == "__main__":
    run(build, sys.argv[1], " ".join(sys.argv[2:]))
