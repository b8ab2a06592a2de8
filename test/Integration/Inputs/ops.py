"""Chains of single ops between token tensors, for run_ops.py.

Intermediate tensors are in slot order, so a layout that writes and reads
differently shows in the result.
"""

import itertools

LAYOUTS = ("flat_topk", "expert_sorted", "expert_sorted_padded")
EXPERTS, TOPK = 7, 3


class Function:
    """Builds one func.func whose arguments have T rows or none that depend on T."""

    def __init__(self, name, block_m=1):
        self.name, self.block_m = name, block_m
        self.arguments, self.body, self.count = [], [], 0

    @property
    def routing(self):
        block = f", block_m = {self.block_m}" if self.block_m > 1 else ""
        return f"!moe.routing<experts = {EXPERTS}, topk = {TOPK}{block}>"

    def argument(self, name, kind):
        self.arguments.append(f"%{name}: {kind}")
        return f"%{name}"

    def add(self, text):
        """Appends `text`; returns the value it defines."""
        self.count += 1
        self.body.append(f"  %{self.count} = {text}")
        return f"%{self.count}"

    def align(self):
        ids = self.argument("ids", f"tensor<?x{TOPK}xi32>")
        return self.add(f"moe.align {ids} : tensor<?x{TOPK}xi32> -> {self.routing}")

    def slots(self, routing, layout, cols, elem):
        """An empty slot tensor of a layout, and its type."""
        rows = self.add(f"moe.num_slots {routing} layout = {layout} : {self.routing}")
        kind = f"tensor<?x{cols}x{elem}>"
        return self.add(f"tensor.empty({rows}) : {kind}"), kind

    def dispatch(self, x, x_kind, routing, layout, cols, elem):
        out, kind = self.slots(routing, layout, cols, elem)
        return self.add(f"moe.dispatch {x} : {x_kind} routing({routing} : {self.routing}) "
                        f"layout = {layout} outs({out} : {kind}) -> {kind}"), kind

    def combine(self, value, kind, routing, layout, cols, elem, weighted=True, add=False):
        clauses = f"moe.combine {value} : {kind}"
        if weighted:
            weights = self.argument("tw", f"tensor<?x{TOPK}xf32>")
            clauses += f" weights({weights} : tensor<?x{TOPK}xf32>)"
        if add:
            rows = self.argument("add", f"tensor<?x{cols}x{elem}>")
            clauses += f" add({rows} : tensor<?x{cols}x{elem}>)"
        out = self.argument("out", f"tensor<?x{cols}x{elem}>")
        return self.add(f"{clauses} routing({routing} : {self.routing}) layout = {layout} "
                        f"outs({out} : tensor<?x{cols}x{elem}>) -> tensor<?x{cols}x{elem}>")

    def gemm(self, a, a_kind, routing, a_layout, layout, inner, cols, elem, out=None):
        weight = self.argument(f"w{self.count}", f"tensor<{EXPERTS}x{cols}x{inner}x{elem}>")
        kind = f"tensor<?x{cols}x{elem}>"
        if out is None:
            out, kind = self.slots(routing, layout, cols, elem)
        rows = "gather" if a_layout == "token" else "slots"
        return self.add(
            f"moe.grouped_gemm a({a} : {a_kind}) "
            f"b({weight} : tensor<{EXPERTS}x{cols}x{inner}x{elem}>) "
            f"routing({routing} : {self.routing}) rows = {rows} a_layout = {a_layout} "
            f"out = {layout} outs({out} : {kind}) {{\n  ^bb0(%acc: f32):\n"
            f"    moe.yield %acc : f32\n  }} -> {kind}"), kind

    def text(self, result, kind):
        body = "\n".join(self.body)
        return (f"func.func @{self.name}({', '.join(self.arguments)}) -> {kind} {{\n{body}\n"
                f"  return {result} : {kind}\n}}\n")


def dispatch_combine(elem, layout, block_m, weighted, add):
    function = Function(f"dispatch_{layout}_{block_m}_{elem}_{weighted:d}{add:d}", block_m)
    x = function.argument("x", f"tensor<?x37x{elem}>")
    routing = function.align()
    value, kind = function.dispatch(x, f"tensor<?x37x{elem}>", routing, layout, 37, elem)
    result = function.combine(value, kind, routing, layout, 37, elem, weighted, add)
    return function.name, function.text(result, f"tensor<?x37x{elem}>")


def gather_gemm(elem, layout, block_m, inner, cols):
    function = Function(f"gather_{layout}_{block_m}_{elem}_{inner}_{cols}", block_m)
    x_kind = f"tensor<?x{inner}x{elem}>"
    x = function.argument("x", x_kind)
    routing = function.align()
    value, kind = function.gemm(x, x_kind, routing, "token", layout, inner, cols, elem)
    result = function.combine(value, kind, routing, layout, cols, elem)
    return function.name, function.text(result, f"tensor<?x{cols}x{elem}>")


def slots_gemm(elem, first, second, block_m):
    inner, cols = 64, 50
    function = Function(f"slots_{first}_{second}_{block_m}_{elem}", block_m)
    x_kind = f"tensor<?x{inner}x{elem}>"
    x = function.argument("x", x_kind)
    routing = function.align()
    value, kind = function.dispatch(x, x_kind, routing, first, inner, elem)
    value, kind = function.gemm(value, kind, routing, first, second, inner, cols, elem)
    result = function.combine(value, kind, routing, second, cols, elem)
    return function.name, function.text(result, f"tensor<?x{cols}x{elem}>")


def token_gemm(elem):
    function = Function(f"token_{elem}")
    x_kind, kind = f"tensor<?x96x{elem}>", f"tensor<?x40x{elem}>"
    x = function.argument("x", x_kind)
    routing = function.align()
    out = function.argument("out", kind)
    result, _ = function.gemm(x, x_kind, routing, "token", "token", 96, 40, elem, out)
    return function.name, function.text(result, kind)


def quantize(elem, cols, to="f8E4M3FN", granule=128, scale="f32"):
    """granule 0: one scale per row."""
    name = f"quantize_{elem}_{cols}_{to}_{granule}_{scale}"
    groups = -(-cols // granule) if granule else 1
    x, q = f"tensor<?x{cols}x{elem}>", f"tensor<?x{cols}x{to}>"
    s = f"tensor<?x{groups}x{scale}>"
    return name, (
        f"#q = #moe.quant<{to}, granule = [1, {granule or '*'}], scale = {scale}>\n"
        f"func.func @{name}(%x: {x}, %q: {q}, %s: {s}) -> ({q}, {s}) {{\n"
        f"  %y:2 = moe.quantize %x : {x} quant #q\n"
        f"    outs(%q, %s : {q}, {s}) -> {q}, {s}\n  return %y#0, %y#1 : {q}, {s}\n}}\n")


def quantisations():
    """Every type and granule of a fresh quantisation, whole and short groups."""
    for elem in ("f32", "bf16", "f16"):
        yield quantize(elem, 256)
        yield quantize(elem, 200)
    for to in ("f8E4M3FN", "f8E5M2", "f8E4M3FNUZ", "f8E5M2FNUZ", "i8"):
        yield quantize("bf16", 77, to, 0)
        yield quantize("f32", 77, to, 16, "f8E8M0FNU")
    yield quantize("bf16", 96, "f8E4M3FN", 32, "f8E8M0FNU")
    yield quantize("bf16", 70, "i8", 64, "bf16")


def dense_weights():
    ids, weights, out = f"tensor<?x{TOPK}xi32>", f"tensor<?x{TOPK}xf32>", f"tensor<?x{EXPERTS}xf32>"
    return "dense_weights", (
        f"func.func @dense_weights(%ids: {ids}, %tw: {weights}, %o: {out}) -> {out} {{\n"
        f"  %a = moe.dense_weights topk(%ids, %tw : {ids}, {weights}) outs(%o : {out}) -> {out}\n"
        f"  return %a : {out}\n}}\n")


def topk(number, elem, experts, count, clauses, bias=False):
    name = f"topk_{number}_{elem}"
    logits, ids, weights = (f"tensor<?x{experts}x{elem}>", f"tensor<?x{count}xi32>",
                            f"tensor<?x{count}xf32>")
    arguments = f"%l: {logits}, %i: {ids}, %w: {weights}"
    text = f"logits(%l : {logits})"
    if bias:
        arguments += f", %b: tensor<{experts}xf32>"
        text += f" bias(%b : tensor<{experts}xf32>)"
    return name, (
        f"func.func @{name}({arguments}) -> ({ids}, {weights}) {{\n"
        f"  %y:2 = moe.topk {text} {clauses}\n"
        f"    outs(%i, %w : {ids}, {weights}) -> {ids}, {weights}\n"
        f"  return %y#0, %y#1 : {ids}, {weights}\n}}\n")


def routers():
    """Every scoring with and without groups, bias and what follows."""
    for number, (experts, count, clauses, bias) in enumerate((
            (8, 2, "", False), (60, 4, "scoring = softmax renormalize", False),
            (33, 5, "scoring = softmax_selected", True), (128, 8, "scoring = sigmoid", True),
            (64, 6, "scoring = softmax groups = 8 of_groups = 3 scale = 16.0", False),
            (32, 4, "scoring = sigmoid groups = 4 of_groups = 2 group_score = top2_sum "
                    "renormalize scale = 2.5", True))):
        yield topk(number, "f32", experts, count, clauses, bias)


def all_functions():
    """Pairs of name and text."""
    for elem, layout, block in itertools.product(("f32", "bf16", "f16"), LAYOUTS, (1, 16)):
        yield dispatch_combine(elem, layout, block, True, False)
        yield gather_gemm(elem, layout, block, 64, 48)
    for weighted, add in ((False, False), (False, True), (True, True)):
        yield dispatch_combine("bf16", "expert_sorted", 1, weighted, add)
    for elem, (first, second) in itertools.product(("f32", "bf16"),
                                                   itertools.product(LAYOUTS, LAYOUTS)):
        # One block table serves both sides of a GEMM.
        if {first, second} != {"expert_sorted", "expert_sorted_padded"}:
            yield slots_gemm(elem, first, second, 16)
    for elem in ("f32", "bf16", "f16"):
        yield gather_gemm(elem, "flat_topk", 1, 61, 43)
        yield gather_gemm(elem, "flat_topk", 1, 5, 3)
        yield gather_gemm(elem, "expert_sorted", 1, 300, 129)
        yield token_gemm(elem)
    yield from quantisations()
    yield dense_weights()
    yield from routers()


def some_functions():
    """One of every kind, for instruction sets below the machine's."""
    yield dispatch_combine("bf16", "expert_sorted_padded", 16, True, True)
    yield gather_gemm("f16", "expert_sorted", 1, 300, 129)
    yield gather_gemm("f32", "flat_topk", 1, 61, 43)
    yield slots_gemm("bf16", "expert_sorted", "flat_topk", 16)
    yield token_gemm("f32")
    yield quantize("bf16", 256)
    yield quantize("f32", 200)
    yield quantize("f32", 77, "f8E5M2FNUZ", 16, "f8E8M0FNU")
    yield quantize("bf16", 77, "i8", 0)
    yield dense_weights()
    yield from routers()


GROUPS = {"all": all_functions, "some": some_functions}
