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
    packed = to == "f4E2M1FN"
    x, q = f"tensor<?x{cols}x{elem}>", f"tensor<?x{cols}x{to}>"
    if packed:
        q = f"tensor<?x{cols // 2}xi8>"
    s = f"tensor<?x{groups}x{scale}>"
    return name, (
        f"#q = #moe.quant<{to}, granule = [1, {granule or '*'}], scale = {scale}"
        f"{', packing = mx' if packed else ''}>\n"
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


    # Packed codes; 6 of 70 columns are a short group. f16 and fp8 scales of small
    # values round to zero.
    for elem in ("f32", "bf16"):
        yield quantize(elem, 96, "f4E2M1FN", 32, "f8E8M0FNU")
        yield quantize(elem, 70, "f4E2M1FN", 16, "f8E4M3FN")
    yield quantize("f32", 34, "f4E2M1FN", 0, "f32")
    yield quantize("bf16", 64, "f4E2M1FN", 2, "f16")
    yield quantize("f32", 77, "f8E4M3FN", 16, "f8E4M3FN")


def simple(name, op, arguments, results, prefix=""):
    """A function of one op: pairs of argument name and type, result types; the
    last arguments are the destinations."""
    outs = ", ".join(f"%{a}" for a, _ in arguments[-len(results):])
    kinds = ", ".join(results)
    values = ", ".join(f"%y#{i}" for i in range(len(results))) if len(results) > 1 else "%y"
    bind = f"%y:{len(results)}" if len(results) > 1 else "%y"
    head, _, tail = op.partition("@OUTS")
    listed = ", ".join(f"%{a}: {kind}" for a, kind in arguments)
    return name, (f"{prefix}func.func @{name}({listed}) -> ({kinds}) {{\n"
                  f"  {bind} = {head} outs({outs} : {kinds}){tail} -> {kinds}\n"
                  f"  return {values} : {kinds}\n}}\n")


def activate(elem, to, cols, gate_up=""):
    """silu(g) u, or relu^2 without gate."""
    name = f"activate_{elem}_{to}_{cols}_{gate_up.replace(' ', '').replace(',', '')}"
    x, out = f"tensor<?x{cols * (2 if gate_up else 1)}x{elem}>", f"tensor<?x{cols}x{to}>"
    body = ("^bb0(%v: f32):\n    %z = arith.constant 0.0 : f32\n"
            "    %m = arith.maximumf %v, %z : f32\n    %r = arith.mulf %m, %m : f32\n")
    if gate_up:
        body = ("^bb0(%g: f32, %u: f32):\n    %n = arith.negf %g : f32\n"
                "    %e = math.exp %n : f32\n    %one = arith.constant 1.0 : f32\n"
                "    %d = arith.addf %e, %one : f32\n    %s = arith.divf %g, %d : f32\n"
                "    %r = arith.mulf %s, %u : f32\n")
    clause = f" gate_up <{gate_up}>" if gate_up else ""
    return simple(name, f"moe.activate %x : {x}{clause}@OUTS {{\n  {body}"
                  "    moe.yield %r : f32\n  }", [("x", x), ("o", out)], [out])


STORED = {"plain": 1, "low_even": 2, "mx": 2, "exllama": 8}


def quant(elem, rows, cols, scale, zero="", packing="plain", layout=""):
    """#moe.quant<...>; a granule of 0 is all."""
    text = f"#moe.quant<{elem}, granule = [{rows or '*'}, {cols or '*'}], scale = {scale}"
    text += f", zero = {zero}" if zero != "" else ""
    text += f", packing = {packing}" if packing != "plain" else ""
    return text + (f", layout = {layout}>" if layout else ">")


def dequantize(elem, to, shape, granule, scale, zero="", packing="plain", layout=""):
    """shape: batches, rows, columns."""
    *batch, rows, cols = shape
    kind = lambda *parts: "tensor<" + "x".join(map(str, parts)) + ">"
    stored = {"plain": elem, "exllama": "i32"}.get(packing, "i8")
    groups = [-(-extent // (part or extent)) for extent, part in zip((rows, cols), granule)]
    groups = groups[::-1] if layout else groups
    name = "_".join(map(str, ["dequantize", elem, to, *shape, *granule, scale, zero, packing,
                              layout]))
    w, out = kind(*batch, rows, cols // STORED[packing], stored), kind(*batch, rows, cols, to)
    s = kind(*batch, *groups, scale)
    arguments, clause = [("w", w), ("s", s)], ""
    if zero == "operand":
        z = kind(*batch, *groups, "i8")
        arguments.append(("z", z))
        clause = f" zero(%z : {z})"
    return simple(name, f"moe.dequantize %w : {w} scale(%s : {s}){clause} quant #q@OUTS",
                  arguments + [("o", out)], [out],
                  f"#q = {quant(elem, *granule, scale, zero, packing, layout)}\n")


def dequantisations():
    """Every element type and packing; every granule, zero point and layout."""
    for elem in ("f8E4M3FN", "f8E5M2", "f8E4M3FNUZ", "f8E5M2FNUZ", "i8"):
        yield dequantize(elem, "f32", (3, 8, 77), (4, 16), "f32")
        yield dequantize(elem, "bf16", (5, 33), (0, 0), "bf16")
    for packing, elem in (("low_even", "i4"), ("exllama", "i4"), ("mx", "f4E2M1FN")):
        yield dequantize(elem, "f32", (2, 6, 88), (1, 16), "f8E8M0FNU", packing=packing)
        yield dequantize(elem, "bf16", (2, 3, 7, 24), (1, 8), "f16", packing=packing)
        yield dequantize(elem, "f16", (9, 40), (1, 0), "f8E4M3FN", packing=packing)
    for packing in ("low_even", "exllama"):
        for zero in (8, 3, "operand"):
            yield dequantize("i4", "f32", (2, 5, 104), (1, 32), "bf16", zero, packing)
        yield dequantize("i4", "f32", (2, 6, 64), (2, 32), "f32", "operand", packing, "group_major")
    for zero in (200, "operand"):
        yield dequantize("i8", "f32", (2, 6, 50), (3, 32), "f32", zero)
    yield dequantize("i4", "f32", (6, 30), (1, 6), "f32", 8, "low_even")


def repack(source, target, shape):
    """source, target: element type and packing."""
    *batch, rows, cols = shape
    kinds = []
    for elem, packing in (source, target):
        stored = {"plain": elem, "exllama": "i32"}.get(packing, "i8")
        kinds.append("tensor<" + "x".join(
            map(str, [*batch, rows, cols // STORED[packing], stored])) + ">")
    quants = [quant(elem, 1, 0, "f32", packing=packing) for elem, packing in (source, target)]
    name = "_".join(map(str, ("repack", *source, *target, *shape)))
    return simple(name, f"moe.repack %w : {kinds[0]} from #a to #b@OUTS",
                  [("w", kinds[0]), ("o", kinds[1])], [kinds[1]],
                  f"#a = {quants[0]}\n#b = {quants[1]}\n")


def repacks():
    low, words, mx = ("i4", "low_even"), ("i4", "exllama"), ("f4E2M1FN", "mx")
    for shape in ((7, 8), (3, 5, 72), (2, 2, 3, 264)):
        yield repack(low, words, shape)
        yield repack(words, low, shape)
    yield repack(low, low, (2, 3, 10))
    yield repack(mx, mx, (3, 34))
    yield repack(("i8", "plain"), ("i8", "plain"), (3, 19))
    yield repack(("f8E4M3FN", "plain"), ("f8E4M3FNUZ", "plain"), (4, 3, 131))


def group_sum(elem, cols, group):
    x, out = f"tensor<37x{cols}x{elem}>", f"tensor<{cols // group}x37xf32>"
    return simple(f"group_sum_{elem}_{cols}_{group}", f"moe.group_sum %x : {x} group = {group}@OUTS",
                  [("x", x), ("o", out)], [out])


def group_sums():
    for elem in ("f32", "bf16", "f16"):
        yield group_sum(elem, 256, 128)
        yield group_sum(elem, 42, 14)
        yield group_sum(elem, 5, 1)


def row_sum_gemm(granule, zero, packing="low_even", gate_up="", config=""):
    """B with zero points that are corrected by the sums of A's rows; granule 0:
    one scale per row, applied in the epilogue."""
    inner, cols = 256, 48
    rows = cols * (2 if gate_up else 1)
    name = f"row_sum_{granule}_{zero}_{packing}_{gate_up.replace(' ', '').replace(',', '')}"
    function = Function(name)
    x = function.argument("x", f"tensor<?x{inner}xbf16>")
    routing = function.align()
    groups = inner // granule if granule else 1
    stored, elem = {"low_even": ("i8", "i4"), "exllama": ("i32", "i4"),
                    "plain": ("i8", "i8")}[packing]
    w = f"tensor<{EXPERTS}x{rows}x{inner // STORED[packing]}x{stored}>"
    s, z = f"tensor<{EXPERTS}x{rows}x{groups}xbf16>", f"tensor<{EXPERTS}x{rows}x{groups}xi8>"
    weight, scale = function.argument("w", w), function.argument("s", s)
    text = f"b({weight} : {w}"
    plan = f"b = promote {granule}"
    if granule:
        text += f" scale {scale} : {s}"
    else:
        plan = "b = epilogue"
    if zero == "operand":
        text += f" zero {function.argument('z', z)} : {z}"
    sums_kind = f"tensor<{groups}x?xf32>"
    zero_index = function.add("arith.constant 0 : index")
    tokens = function.add(f"tensor.dim {x}, {zero_index} : tensor<?x{inner}xbf16>")
    sums = function.add(f"tensor.empty({tokens}) : {sums_kind}")
    sums = function.add(f"moe.group_sum {x} : tensor<?x{inner}xbf16> group = "
                        f"{granule or inner} outs({sums} : {sums_kind}) -> {sums_kind}")
    out, kind = function.slots(routing, "flat_topk", cols, "f32")
    accs = "%g: f32, %u: f32" if gate_up else "%g: f32"
    body = "    %r = arith.mulf %g, %u : f32\n    moe.yield %r : f32\n" if gate_up else (
        "    moe.yield %g : f32\n")
    col = ""
    if not granule:
        flat = f"tensor<{EXPERTS}x{rows}xbf16>"
        moved = function.add(f"tensor.collapse_shape {scale} [[0], [1, 2]] : {s} into {flat}")
        col = f" col({moved} : {flat})"
        accs += ", %sg: f32, %su: f32" if gate_up else ", %sg: f32"
        body = ("    %a = arith.mulf %g, %sg : f32\n    %b = arith.mulf %u, %su : f32\n"
                "    %r = arith.mulf %a, %b : f32\n    moe.yield %r : f32\n") if gate_up else (
                    "    %r = arith.mulf %g, %sg : f32\n    moe.yield %r : f32\n")
    value = function.add(
        f"moe.grouped_gemm a({x} : tensor<?x{inner}xbf16> sums {sums} : {sums_kind}) "
        f"{text} quant #w) routing({routing} : {function.routing}) rows = gather "
        f"a_layout = token out = flat_topk{' gate_up <' + gate_up + '>' if gate_up else ''}{col} "
        f"scales <a = none, {plan}, zero = row_sum> outs({out} : {kind}) {{\n"
        f"  ^bb0({accs}):\n{body}  }} -> {kind}")
    result = function.combine(value, kind, routing, "flat_topk", cols, "f32")
    alias = f"#w = {quant(elem, 1, granule, 'bf16', zero, packing)}\n"
    return name, alias + function.text(result, f"tensor<?x{cols}xf32>")


def row_sum_gemms():
    for granule in (0, 128, 256):
        for zero in (8, "operand"):
            yield row_sum_gemm(granule, zero)
    yield row_sum_gemm(128, "operand", "exllama", "halves")
    yield row_sum_gemm(128, "operand", "low_even", "interleaved")
    yield row_sum_gemm(0, "operand", "low_even", "halves, up_first")
    yield row_sum_gemm(0, 130, "plain", "interleaved")
    yield row_sum_gemm(128, "operand", "plain")


def adding_gemm(elem):
    """Rows are added to their token's in memory, in any order."""
    function = Function(f"adds_{elem}")
    x_kind, kind = f"tensor<?x96x{elem}>", f"tensor<?x40x{elem}>"
    x = function.argument("x", x_kind)
    routing = function.align()
    out = function.argument("out", kind)
    result, _ = function.gemm(x, x_kind, routing, "token", "token", 96, 40, elem, out)
    text = function.text(result, kind)
    config = '#moe.config<block = [16, 64, 0], reduce_by = "add_f32">'
    return function.name, text.replace("out = token outs", f"out = token config [{config}] outs")


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
    yield from dequantisations()
    yield from repacks()
    yield from group_sums()
    yield from row_sum_gemms()
    for gate_up in ("", "halves", "interleaved", "blocks 3", "halves, up_first"):
        yield activate("f32", "bf16", 45, gate_up)
        yield activate("bf16", "f32", 96, gate_up)
    for elem in ("f32", "bf16", "f16"):
        yield adding_gemm(elem)
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
    yield quantize("bf16", 70, "f4E2M1FN", 16, "f8E4M3FN")
    yield dequantize("f8E4M3FNUZ", "bf16", (3, 8, 77), (4, 16), "f32")
    yield dequantize("i4", "f32", (2, 5, 104), (1, 32), "bf16", "operand", "exllama")
    yield dequantize("i4", "f32", (2, 6, 88), (1, 22), "bf16", packing="low_even")
    yield dequantize("f4E2M1FN", "f16", (2, 6, 88), (1, 16), "f8E8M0FNU", packing="mx")
    yield repack(("i4", "low_even"), ("i4", "exllama"), (3, 5, 72))
    yield repack(("i4", "exllama"), ("i4", "low_even"), (3, 5, 72))
    yield repack(("f8E4M3FN", "plain"), ("f8E4M3FNUZ", "plain"), (4, 3, 131))
    yield group_sum("bf16", 42, 14)
    yield row_sum_gemm(128, "operand")
    yield row_sum_gemm(0, 8)
    yield activate("bf16", "f32", 45, "blocks 3")
    yield adding_gemm("bf16")
    yield dense_weights()
    yield from routers()


GROUPS = {"all": all_functions, "some": some_functions}
