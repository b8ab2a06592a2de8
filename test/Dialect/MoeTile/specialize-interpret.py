# RUN: %python %s | FileCheck %s
# CHECK: {{[0-9]+}} layers agree in both forms
"""Layers by the sequential and by the explicit kernels, in the tile interpreter.

Each case is a layer and a configuration per GEMM (None: moe-select-config for
that many tokens). The plan is built twice from
one text; the GEMM kernels of the second copy become explicit. All memory at the
end must have equal bits, under several schedules and numbers of workers;
moe-tile-verify-sync passes as part of the pipeline. Slots that were given back
hold undefined values in the interpreter, so a missing wait shows.
"""

import random
import re
import subprocess
import sys

DECIDE = ["--moe-decompose-layer", "--moe-fuse-epilogue", "--moe-choose-formulation=formulation=grouped"]


def run(text, *options):
    done = subprocess.run(["moe-opt", *options], input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"moe-opt {' '.join(options)} failed:\n{done.stderr[:4000]}\n{text[:6000]}")
    return done.stdout


def unswapped(m, n, teams=2, **more):
    return dict(block=[m, n, 64], stages=2, a="direct", b="desc", order="expert_major", store="staged",
                load_regs=40, compute_groups=teams, compute_regs=232, claim="stride", **more)


def swapped(m, n, **more):
    fields = dict(block=[m, n, 64], stages=3, swap=True, a="direct", b="desc", order="expert_major",
                  store="vector", claim="stride")
    return {**fields, **more}


def attribute(config):
    def text(value):
        if isinstance(value, bool):
            return str(value).lower()
        return f'"{value}"' if isinstance(value, str) else str(value)
    return "#moe.config<" + ", ".join(f"{k} = {text(v)}" for k, v in config.items()) + ">"


class Layer:
    """Sizes and options of one layer; `route` gives the experts of token t."""

    def __init__(self, name, first, second, tokens=20, experts=3, topk=2, hidden=72, inner=80, activation="swiglu",
                 gate_up="<halves>", dtype="bf16", bias=False, route=None, extra="", orders=None, workers=1,
                 weights=None, group=128):
        self.__dict__.update({k: v for k, v in locals().items() if k != "self"})
        self.route = route or (lambda t, j: (7 * t + 3 * j) % experts)

    def text(self):
        t, e, k, h, i = self.tokens, self.experts, self.topk, self.hidden, self.inner
        gated = self.gate_up != ""
        n = 2 * i if gated else i
        ids = [[int(self.route(a, b)) for b in range(k)] for a in range(t)]
        d = self.dtype
        self.tests = []

        def arg(name, shape, elem, init):
            known = "?x" + "x".join(map(str, shape[1:])) if shape[0] == t and name in "x ids tw y".split() else \
                "x".join(map(str, shape))
            sizes = ", ".join(map(str, shape))
            self.tests.append(f"moe_tile.test = {{shape = array<i64: {sizes}>, {init}}}")
            return f"%{name}: tensor<{known}x{elem}>", f"tensor<{known}x{elem}>"
        normal = 'init = "normal", scale = 0.5'
        values = f"values = dense<{ids}> : tensor<{t}x{k}xi32>" if t else 'init = "zero"'
        # Weights of 8 bits with a scale per block; rows are quantised by the layer.
        stored, first_scale, second_scale = self.weights or d, "", ""
        packed = self.weights and self.weights.startswith("packed")
        if packed:
            # Codes of four bits with a scale per group of K; what the word behind says of zero points.
            stored, zero = "i8", {"packed": "zero = 8, ", "packed_zero": "zero = operand, "}[self.weights]
            quant = f"quant #moe.quant<i4, granule = [1, {self.group}], scale = {d}, {zero}packing = low_even>"
        elif self.weights:
            self.extra += f" act_quant #moe.quant<{stored}, granule = [1, 128], scale = f32>"
            quant = f"quant #moe.quant<{stored}, granule = [128, 128], scale = f32>"
        args = {
            "x": arg("x", [t, h], d, normal), "ids": arg("ids", [t, k], "i32", values),
            "tw": arg("tw", [t, k], "f32", normal),
            "w1": arg("w1", [e, n, h // 2 if packed else h], stored, 'init = "bits"' if packed else normal),
            "w2": arg("w2", [e, h, i // 2 if packed else i], stored, 'init = "bits"' if packed else normal)}
        if packed:
            for name, rows, cols in (("1", n, h), ("2", h, i)):
                groups = (cols + self.group - 1) // self.group
                scale = f" scale %s{name} : " + args.setdefault(f"s{name}", arg(f"s{name}", [e, rows, groups], d, 'init = "normal", scale = 0.05'))[1]
                if self.weights == "packed_zero":
                    scale += f" zero %z{name} : " + args.setdefault(f"z{name}", arg(f"z{name}", [e, rows, groups], "i8", 'init = "bits"'))[1]
                first_scale, second_scale = (scale + " " + quant, second_scale) if name == "1" else (first_scale, scale + " " + quant)
        elif self.weights:
            def up(v):
                return (v + 127) // 128
            args["s1"] = arg("s1", [e, up(n), up(h)], "f32", normal)
            args["s2"] = arg("s2", [e, up(h), up(i)], "f32", normal)
            first_scale = f" scale %s1 : {args['s1'][1]} {quant}"
            second_scale = f" scale %s2 : {args['s2'][1]} {quant}"
        bias = ""
        if self.bias:
            args["b1"] = arg("b1", [e, n], d, normal)
            args["b2"] = arg("b2", [e, h], d, normal)
            bias = f"b1(%b1 : {args['b1'][1]}) b2(%b2 : {args['b2'][1]})"
        args["y"] = arg("y", [t, h], d, 'init = "undefined"')
        typ = {name: pair[1] for name, pair in args.items()}
        return f"""func.func @layer({', '.join(pair[0] for pair in args.values())}) -> {typ['y']} {{
  %r = moe.fused_experts x(%x : {typ['x']}) topk(%ids, %tw : {typ['ids']}, {typ['tw']})
         w1(%w1 : {typ['w1']}{first_scale}) w2(%w2 : {typ['w2']}{second_scale}) {bias}
         activation <{self.activation}> {'gate_up ' + self.gate_up if gated else ''} {self.extra}
         outs(%y : {typ['y']}) -> {typ['y']}
  return %r : {typ['y']}
}}
"""

    def check(self, target="sm_90a"):
        fold = f"--moe-fold-scales=packed-operand packed-rows=36 tokens={self.tokens} min-run=128 zero=element"
        text = run(self.text(), *DECIDE, fold)
        if self.first:
            configs = iter([self.first, self.second])
            text = "\n".join(re.sub(r" outs\(", f" config [{attribute(next(configs))}] outs(", line, count=1)
                             if "moe.grouped_gemm" in line else line for line in text.splitlines())
        else:
            text = run(text, f"--moe-select-config=target={target} tokens={self.second}")
        def build(text):
            return run(text, "--moe-to-tile=tile-sums=true", "--canonicalize", "--cse")
        tiles = build(text)
        body = tiles.strip().removeprefix("module {").removesuffix("}")
        # Sums by tiles have the bits of a launch that sums.
        by_launch = re.sub(r'reduce_by = "(panel|add_f32)"(, deterministic = false)?', 'reduce_by = "rows"', text)
        before = build(by_launch).strip().removeprefix("module {").removesuffix("}") if by_launch != text else body
        if by_launch != text and ("moe_tile.sum_arrived" in before or "moe_tile.sum_arrived" not in body
                                  or "@layer_combine" in body or "@layer_cast" in body):
            sys.exit(f"{self.name}: not one plan that sums by a launch, one by tiles\n{before}\n{body}")
        if tiles.count("moe.config =") != 2:
            sys.exit(f"{self.name}: {tiles.count('moe.config =')} kernels with a configuration\n{tiles}")
        reference = re.sub(r"moe.config = #moe.config<[^>]*>", "test.ref", before.replace("@layer", "@ref"))
        for i, test in enumerate(self.tests):
            reference = reference.replace(f'{{moe.name = "arg{i}"', f'{{{test}, moe.name = "arg{i}"', 1)
        explicit = run("module {" + reference + body + "}", f"--moe-tile-to-explicit=target={target}")
        if explicit.count("form<explicit>") != 2:
            sys.exit(f"{self.name}: not two explicit kernels\n{explicit}")
        run(explicit, f"--moe-tile-interpret=functions=ref,layer schedules=3 workers={self.workers} seed={random.randrange(1000)}")
        return explicit


def main():
    random.seed(3)
    big, wide = unswapped(128, 128), unswapped(128, 256)
    cases = [
        # Gathered, gated, more than one row block per expert, odd rows, tails in n (80 of 128) and k (72).
        Layer("gated", unswapped(128, 64), wide, tokens=140, experts=2, topk=2, route=lambda t, j: (t % 17 > 3) ^ j),
        Layer("n_tail", big, unswapped(128, 128), inner=136, hidden=136, tokens=33, workers=2),
        Layer("k_in_one_step", big, wide, hidden=64, inner=128, tokens=9),
        Layer("one_team", unswapped(64, 128, teams=1), unswapped(64, 256, teams=1), inner=128),
        Layer("one_team_two_instructions", unswapped(128, 64, teams=1), unswapped(128, 64, teams=1)),
        Layer("direct_store", unswapped(128, 64, partial="f32") | {"store": "vector"},
              unswapped(128, 128) | {"store": "vector"}),
        # Whole rows that are copied while the next tile is computed; a tail in n.
        Layer("bulk_store", unswapped(128, 64) | {"store": "bulk"}, unswapped(128, 256) | {"store": "bulk"}, workers=2),
        Layer("n_major", unswapped(128, 64) | {"order": "n_major"}, unswapped(128, 64) | {"order": "block_major"},
              tokens=150, experts=2, workers=3),
        Layer("claim_counter_becomes_stride", unswapped(128, 64) | {"claim": "counter"}, wide),
        # Rows before the sum over top-k in bf16.
        Layer("partial_bf16", unswapped(128, 64), unswapped(128, 128, partial="bf16"), hidden=200),
        # Sums by the last tile of a token: teams that share rows and teams that share columns, tails, absent slots,
        # tokens without any, one expert for all. What two tiles add is the same in either order.
        *[Layer(f"{by}_{name}", first, {**second, "reduce_by": by, **({"store": "vector"} if by == "add_f32" else {})},
                **{"hidden": 200, "route": lambda t, j: -1 if (t + j) % 3 == 0 or t == 5 else (7 * t + 3 * j) % 3, **more})
          for by in ("panel", "add_f32")
          for name, first, second, more in (
              ("rows", unswapped(128, 64), unswapped(128, 128) | {"order": "n_major"}, dict(tokens=150, workers=3)),
              ("partial", unswapped(128, 64), unswapped(128, 64, partial="bf16" if by == "panel" else "f32"), dict(workers=2)),
              ("one_team", unswapped(64, 64, teams=1), unswapped(64, 64, teams=1), dict(tokens=30)),
              ("swapped", swapped(16, 64), swapped(16, 128), dict(tokens=21, workers=2)),
              ("swapped_one", swapped(16, 64), swapped(16, 128), dict(route=lambda t, j: 2, workers=3)),
              ("none", swapped(8, 64), swapped(8, 128), dict(route=lambda t, j: -1)))],
        # Parts of K.
        *[Layer(f"split_{parts}", swapped(16, 64), swapped(16, 128, split_k=parts, reduce_by="rows"), inner=256, hidden=256,
                tokens=21, workers=2) for parts in (2, 4)],
        Layer("split_rows", unswapped(128, 64), unswapped(128, 128, split_k=2, partial="bf16"), inner=256, hidden=128,
              tokens=40, workers=2),
        Layer("f16", unswapped(128, 64), wide, dtype="f16"),
        # No row at all; no token at all; one expert takes everything.
        Layer("no_rows", swapped(8, 64), swapped(8, 128), route=lambda t, j: -1),
        Layer("one_expert", swapped(16, 64), swapped(16, 128), route=lambda t, j: 2, workers=2),
        # Few tokens: weights on the instruction's M side.
        *[Layer(f"swapped_{m}", swapped(m, 64), swapped(m, 128), tokens=t)
          for m, t in ((8, 5), (16, 21), (32, 40), (64, 70))],
        Layer("swapped_64_rows", swapped(8, 64), swapped(8, 64), tokens=3, inner=64),
        Layer("swapped_k_tail", swapped(8, 64), swapped(8, 128), hidden=88, inner=72, tokens=7),
        Layer("swapped_partial_bf16", swapped(8, 64), swapped(8, 128, partial="bf16")),
        # Gate and up rows that alternate are split inside of a thread.
        Layer("interleaved", unswapped(128, 64), wide, gate_up="<interleaved>"),
        Layer("interleaved_swapped_halves_of_eight", unswapped(64, 64, teams=1), wide | {"block": [64, 256, 64], "compute_groups": 1},
              gate_up="<interleaved, up_first>"),
        # Biases are column operands; every activation.
        Layer("bias", unswapped(128, 64), wide, bias=True),
        Layer("bias_swapped", swapped(16, 64), swapped(16, 128), bias=True),
        Layer("weight_at_input", swapped(16, 64), swapped(16, 128), extra="weight_place = input", topk=1),
        *[Layer(name, swapped(8, 64), swapped(8, 128), activation=name, gate_up=gate, tokens=6, bias=True)
          for name, gate in (("swiglu", "<halves>"), ("swiglu_oai", "<halves>"), ("geglu", "<halves, up_first>"),
                             ("geglu_tanh", "<halves>"), ("reglu", "<halves>"))],
        *[Layer(name, unswapped(128, 128), wide, activation=name, gate_up="", tokens=6)
          for name in ("identity", "silu", "gelu", "gelu_tanh", "relu", "relu2")],
        # 8-bit weights and rows with a scale per 128 columns: products that are scaled into a sum, results that
        # are quantised again.
        *[Layer(f"fp8_{t}", None, t, tokens=t, hidden=h, inner=i, weights=dtype, experts=2 if t > 100 else 3)
          for t, h, i, dtype in ((1, 256, 128, "f8E4M3FN"), (7, 384, 256, "f8E4M3FN"), (40, 384, 128, "f8E5M2"),
                                 (140, 256, 128, "f8E4M3FN"))],
        # Weights of four bits that are decoded in registers: few rows, whose products are scaled into a sum, and many,
        # whose weights are scaled; tails of K; zero points; groups shorter than a step.
        *[Layer(f"{kind}_{t}_{g}", None, t, tokens=t, hidden=h, inner=i, weights=kind, group=g, experts=2 if t > 100 else 3)
          for t, h, i, kind, g in ((1, 256, 128, "packed", 128), (7, 384, 256, "packed", 128), (40, 320, 192, "packed", 128),
                                   (140, 256, 128, "packed", 128), (9, 256, 256, "packed_zero", 128),
                                   (9, 192, 128, "packed", 64))],
        # What moe-select-config chooses for a number of tokens.
        *[Layer(f"chosen_{t}", None, t, gate_up=gate, hidden=h, inner=i, bias=True, activation=activation)
          for t, h, i, gate, activation in (
              (4, 72, 64, "<halves>", "swiglu"), (20, 136, 80, "<halves>", "swiglu"), (60, 64, 200, "<halves>", "swiglu"),
              (300, 264, 136, "<halves>", "swiglu"), (6, 72, 80, "<interleaved>", "swiglu_oai"),
              (6, 72, 24, "<halves>", "geglu"), (900, 72, 24, "<halves>", "geglu"), (6, 72, 200, "", "relu2"),
              (6, 72, 256, "<blocks 64>", "swiglu"), (6, 72, 96, "<blocks 8>", "swiglu"), (900, 64, 16, "", "gelu"))],
    ]
    chosen = sys.argv[1:]
    done = 0
    for case in cases:
        if chosen and case.name not in chosen:
            continue
        text = case.check()
        if chosen:
            print(text)
        done += 1
    print(f"{done} layers agree in both forms")


if __name__ == "__main__":
    main()
