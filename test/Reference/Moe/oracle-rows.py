# Routing, rows and quantisation against NumPy: bit-exact where defined.
# RUN: rm -rf %t && mkdir -p %t
# RUN: %python %s %t | FileCheck %s
# RUN: %python %s %t accumulate=f32 threads=1 | FileCheck %s
# CHECK: results agree
import sys

import numpy as np

import moec_oracle as oracle
from moec_cases import Function, make_ids, mlir_type, run
from moec_oracle import Quant, Tensor

FP8 = ["f8E4M3FN", "f8E5M2", "f8E4M3FNUZ", "f8E5M2FNUZ"]


def topk_cases(rng, tokens):
    variants = [
        dict(k=3), dict(k=1, scale=0.5), dict(k=12), dict(k=4, renormalize=True),
        dict(k=4, scoring="sigmoid"), dict(k=2, scoring="softmax_selected"),
        dict(k=4, scoring="sigmoid", groups=4, of_groups=2, group_score="top2_sum",
             renormalize=True, scale=2.5),
        dict(k=3, groups=3, of_groups=1), dict(k=5, groups=6, of_groups=3, group_score="max"),
        dict(k=3, scoring="softmax_selected", groups=2, of_groups=1, group_score="top2_sum",
             renormalize=True),
    ]
    for number, options in enumerate(variants):
        for biased in (False, True):
            f = Function(f"topk_{number}_{int(biased)}")
            # Few distinct logits: ties are common.
            logits = Tensor.of(["f32", "bf16", "f16", "f64"][number % 4],
                               rng.integers(-4, 4, (tokens, 12)) / 2)
            bias = Tensor.of("f32", rng.integers(-2, 3, 12) / 4) if biased else None
            k = options["k"]
            ids, weights = oracle.topk(logits.values(), bias.values() if biased else None,
                                       **options)
            text = f"%r:2 = moe.topk logits({f.typed(logits)})"
            if biased:
                text += f" bias({f.typed(bias)})"
            for key in ("scoring", "groups", "of_groups", "group_score"):
                if key in options:
                    text += f" {key} = {options[key]}"
            text += " renormalize" if options.get("renormalize") else ""
            if "scale" in options:
                text += f" scale = {options['scale']:e}"
            (i, it), (w, wt) = f.out("i32", (tokens, k)), f.out("f32", (tokens, k))
            f.line(f"{text} outs({i}, {w} : {it}, {wt}) -> {it}, {wt}")
            f.result("%r#0", "i32", (tokens, k), Tensor("i32", ids))
            f.result("%r#1", "f32", (tokens, k), weights.astype(np.float64), 1e-7)
            yield f


def random_routing(rng, tokens, f, experts=5, k=3, block_m=4, mapped=False, style=None):
    """An align op; gives its value, type and oracle."""
    ranks = 3 * experts if mapped else experts
    ids = make_ids(rng, tokens, k, ranks, style)
    expert_map = None
    text = f"%r = moe.align {f.typed(Tensor('i32', ids))}"
    if mapped:
        expert_map = np.full(ranks, -1, np.int32)
        expert_map[rng.permutation(ranks)[:experts]] = np.arange(experts)
        text += f" map({f.typed(Tensor('i32', expert_map))})"
    kind = f"!moe.routing<experts = {experts}, topk = {k}, block_m = {block_m}>"
    f.line(f"{text} -> {kind}")
    routing = oracle.Routing(oracle.local_experts(ids, expert_map), experts, block_m)
    return "%r", kind, routing


def routing_cases(rng, tokens):
    for number, style in enumerate(["mixed", "one", "none", "skewed", "unique"]):
        for mapped in (False, True):
            for block_m in (1, 4, 16):
                f = Function(f"align_{style}_{int(mapped)}_{block_m}")
                value, kind, routing = random_routing(rng, tokens, f, 4 + number, 1 + number % 3,
                                                      block_m, mapped, style)
                f.routing_result(value, kind, routing)
                for i, layout in enumerate(["flat_topk", "expert_sorted", "expert_sorted_padded",
                                            "token"]):
                    f.line(f"%n{i} = moe.num_slots {value} layout = {layout} : {kind}")
                    f.results.append((f"%n{i}", "index"))
                    f.checks.append(("index", Tensor("index", routing.rows(layout)[0]), 0, None))
                yield f
    f = Function("route_all")
    kind = "!moe.routing<experts = 3, topk = 3, block_m = 2>"
    f.line(f"%t = tensor.dim {f.typed(Tensor('f32', np.zeros((tokens, 2))))[:3]}, %c0 : "
           f"{mlir_type('f32', (tokens, 2))}")
    f.lines.insert(0, "%c0 = arith.constant 0 : index")
    f.line(f"%r = moe.route_all %t : {kind}")
    f.routing_result("%r", kind, oracle.route_all(tokens, 3, 2))
    yield f

    for mapped in (False, True):
        f = Function(f"dense_weights_{int(mapped)}")
        ids = make_ids(rng, tokens, 3, 8, "mixed")
        weights = Tensor.of("bf16" if mapped else "f32", rng.random((tokens, 3)))
        text = f"topk({f.arg(Tensor('i32', ids))[0]}, {f.arg(weights)[0]} : " \
               f"{mlir_type('i32', ids.shape)}, {mlir_type(weights.elem, ids.shape)})"
        expert_map = factor = None
        if mapped:
            expert_map = np.array([1, -1, 0, 2, -1, -1, 3, 4], np.int32)
            factor = Tensor.of("f32", rng.random(5) + 0.5)
            text += f" map({f.typed(Tensor('i32', expert_map))}) factor({f.typed(factor)})"
        experts = 5 if mapped else 8
        alpha = oracle.dense_weights(oracle.local_experts(ids, expert_map), weights.values(),
                                     experts, factor.values() if mapped else None)
        out, kind = f.out("f32", (tokens, experts))
        f.line(f"%a = moe.dense_weights {text} outs({out} : {kind}) -> {kind}")
        f.result("%a", "f32", (tokens, experts), alpha, 1e-7)
        yield f


def row_cases(rng, tokens):
    for layout in ["flat_topk", "expert_sorted", "expert_sorted_padded"]:
        for elem in ["f32", "bf16", "f8E4M3FN", "i8"]:
            f = Function(f"dispatch_{layout}_{elem}")
            value, kind, routing = random_routing(rng, tokens, f, mapped=elem == "bf16")
            x = Tensor(elem, rng.integers(0, 100, (tokens, 6)))
            count, row = routing.rows(layout)
            wanted = np.zeros((count, 6), x.codes.dtype)
            for slot in np.flatnonzero(row >= 0):
                wanted[row[slot]] = x.codes[slot // 3]
            source = f.typed(x)
            out, out_type = f.out(elem, (count, 6))
            f.line(f"%y = moe.dispatch {source} routing({value} : {kind}) layout = {layout} "
                   f"outs({out} : {out_type}) -> {out_type}")
            f.result("%y", elem, (count, 6), Tensor(elem, wanted), rows=routing.valid_rows(layout))
            yield f
        for number in range(6):
            f = Function(f"combine_{layout}_{number}")
            value, kind, routing = random_routing(rng, tokens, f, mapped=number == 5,
                                                  style="none" if number == 4 else None)
            elem = ["f32", "bf16", "f16"][number % 3]
            rows = routing.scatter(rng.standard_normal((tokens * 3, 7)), layout)
            rows = Tensor.of(elem, rows)
            text = f"%y = moe.combine {f.typed(rows)}"
            weights = add = gate = None
            if number % 2:
                weights = Tensor.of("f32", rng.random((tokens, 3)))
                text += f" weights({f.typed(weights)})" + (" keep" if number == 5 else "")
            if number >= 2:
                add = Tensor.of("f32", rng.standard_normal((tokens, 7)))
                text += f" add({f.typed(add)})"
            if number >= 3:
                gate = Tensor.of("f32", rng.standard_normal(tokens))
                text += f" add_gate({f.typed(gate)})"
            wanted = oracle.combine(routing, rows.values(), layout,
                                    *(t.values() if t else None for t in (weights, add, gate)))
            out_elem = ["f32", "bf16", "f16", "f64"][number % 4]
            out, out_type = f.out(out_elem, (tokens, 7))
            f.line(f"{text} routing({value} : {kind}) layout = {layout} "
                   f"outs({out} : {out_type}) -> {out_type}")
            f.result("%y", out_elem, (tokens, 7), wanted,
                     {"f32": 1e-6, "f64": 1e-6, "bf16": 4e-3, "f16": 5e-4}[out_elem])
            yield f


def quantize_cases(rng, tokens):
    variants = [Quant(e, (1, g), s, layout=l)
                for e, g, s, l in [
                    ("f8E4M3FN", 8, "f32", "row_major"), ("f8E4M3FN", 8, "f32", "group_major"),
                    ("f8E4M3FN", None, "f32", "row_major"), ("f8E4M3FN", 16, "bf16", "row_major"),
                    ("f8E5M2", 8, "f32", "row_major"), ("f8E5M2", 32, "f8E8M0FNU", "row_major"),
                    ("f8E4M3FNUZ", 8, "f32", "row_major"), ("f8E5M2FNUZ", 8, "f16", "row_major"),
                    ("f8E4M3FN", 32, "f8E8M0FNU", "group_major"), ("i8", None, "f32", "row_major"),
                    ("i8", 16, "f16", "group_major"), ("i8", 10, "f8E4M3FN", "row_major")]]
    variants += [Quant("f4E2M1FN", (1, 32), "f8E8M0FNU", packing="mx"),
                 Quant("f4E2M1FN", (1, 16), "f8E4M3FN", packing="mx")]
    for number, quant in enumerate(variants):
        f = Function(f"quantize_{number}")
        cols = 48  # the last granule of 32 and of 10 is short
        values = rng.standard_normal((tokens, cols)) * 10.0 ** rng.integers(-3, 4, (tokens, 1))
        values[::4, :16] = 0  # granules of zeros
        values[1::4] *= 1e-34  # below every scale
        x = Tensor.of(["bf16", "f32"][number % 2], values)
        stored, scale = oracle.quantize(x.values(), quant)
        source = f.typed(x)
        (v, vt), (s, st) = f.out(stored.elem, stored.shape), f.out(scale.elem, scale.shape)
        f.line(f"%q:2 = moe.quantize {source} quant {quant.text()} outs({v}, {s} : {vt}, {st}) "
               f"-> {vt}, {st}")
        f.result("%q#0", stored.elem, stored.shape, stored)
        f.result("%q#1", scale.elem, scale.shape, scale)
        yield f

    variants = [Quant(e, (2, 8)) for e in FP8]
    variants += [
        Quant("f8E4M3FN", (None, None)), Quant("f8E4M3FN", (1, None), "bf16"),
        Quant("f8E4M3FN", (4, 20), layout="group_major"), Quant("i8", (1, 8)),
        Quant("i8", (1, 8), "f16", zero=128), Quant("i8", (3, 16), zero="operand"),
        Quant("i4", (1, 16), "bf16", packing="low_even"),
        Quant("i4", (1, 16), "f32", zero=8, packing="low_even"),
        Quant("i4", (1, 24), "f16", zero="operand", packing="exllama"),
        Quant("i4", (2, 8), "f32", zero="operand", packing="low_even", layout="group_major"),
        Quant("i4", (1, 8), "f32", packing="exllama"),
        Quant("f4E2M1FN", (1, 32), "f8E8M0FNU", packing="mx"),
        Quant("f4E2M1FN", (1, 16), "f8E4M3FN", packing="mx")]
    for number, quant in enumerate(variants):
        f = Function(f"dequantize_{number}")
        batch = [(), (3,), (2, 2)][number % 3]
        stored, scale, zero = quant.random(rng, batch, tokens, 48)
        wanted = quant.dequantise(stored, scale, zero)
        text = f"%y = moe.dequantize {f.typed(stored)} scale({f.typed(scale)})"
        if zero is not None:
            text += f" zero({f.typed(zero)})"
        elem = ["f32", "bf16", "f16"][number % 3]
        out, kind = f.out(elem, wanted.shape)
        f.line(f"{text} quant {quant.text()} outs({out} : {kind}) -> {kind}")
        # f32 first, then the result type: both roundings are defined.
        f.result("%y", elem, wanted.shape, Tensor.of(elem, wanted.astype(np.float32)))
        yield f

    for group in (1, 4, 24):
        f = Function(f"group_sum_{group}")
        x = Tensor.of(["f32", "bf16", "f8E4M3FN"][group % 3], rng.standard_normal((tokens, 24)))
        wanted = oracle.group_sum(x.values(), group)
        source = f.typed(x)
        out, kind = f.out("f32", wanted.shape)
        f.line(f"%s = moe.group_sum {source} group = {group} outs({out} : {kind}) -> {kind}")
        f.result("%s", "f32", wanted.shape, wanted, 1e-6)
        yield f

    low = Quant("i4", (1, 16), "bf16", zero=8, packing="low_even")
    ex = Quant("i4", (1, 16), "bf16", zero=8, packing="exllama")
    fn, fnuz = Quant("f8E4M3FN", (1, 16)), Quant("f8E4M3FNUZ", (1, 16))
    for number, (source, target) in enumerate([(low, ex), (ex, low), (low, low), (fn, fnuz)]):
        f = Function(f"repack_{number}")
        if source is fn:  # every code, NaN and -0 too
            codes = np.resize(np.arange(256, dtype=np.uint8), (2, max(tokens, 16), 16))
            stored = Tensor("f8E4M3FN", codes)
        else:
            stored = source.random(rng, (2,), tokens, 48)[0]
        wanted = oracle.repack(stored, source, target)
        text = f.typed(stored)
        out, kind = f.out(wanted.elem, wanted.shape)
        f.line(f"%y = moe.repack {text} from {source.text()} to {target.text()} "
               f"outs({out} : {kind}) -> {kind}")
        f.result("%y", wanted.elem, wanted.shape, wanted)
        yield f


def build(rng, tokens):
    return [*topk_cases(rng, tokens), *routing_cases(rng, tokens), *row_cases(rng, tokens),
            *quantize_cases(rng, tokens)]


if __name__ == "__main__":
    run(build, sys.argv[1], " ".join(sys.argv[2:]))
