"""Every dtype of the dialect as layers: pairs of properties, or all products."""

import itertools

import shapes

# Stored weights: name, element type, packing, columns per stored element.
WEIGHTS = (("e4m3", "f8E4M3FN", "plain", 1), ("e5m2", "f8E5M2", "plain", 1),
           ("e4m3fnuz", "f8E4M3FNUZ", "plain", 1), ("e5m2fnuz", "f8E5M2FNUZ", "plain", 1),
           ("i8", "i8", "plain", 1), ("i4", "i4", "low_even", 2),
           ("i4x", "i4", "exllama", 8), ("fp4", "f4E2M1FN", "mx", 2))
# Rows and columns that share a scale; 0 = all.
GRANULES = ((0, 0), (1, 0), (128, 128), (1, 128), (1, 64), (1, 32), (1, 16))
SCALES = ("f32", "bf16", "f16", "f8E8M0FNU", "f8E4M3FN")
ZEROS = ("", "constant", "operand")
LAYOUTS = ("row_major", "group_major")
# Quantised activations: "" = none.
ACTIVATIONS = ("", "f8E4M3FN, granule = [1, 128], scale = f32",
               "f8E4M3FN, granule = [1, *], scale = f32",
               "f8E5M2, granule = [1, 64], scale = bf16",
               "f8E4M3FNUZ, granule = [1, 128], scale = f32",
               "f8E5M2FNUZ, granule = [1, *], scale = f16",
               "f8E4M3FN, granule = [1, 32], scale = f8E8M0FNU",
               "i8, granule = [1, *], scale = f32",
               "f4E2M1FN, granule = [1, 32], scale = f8E8M0FNU, packing = mx",
               "f4E2M1FN, granule = [1, 16], scale = f8E4M3FN, packing = mx")
HIDDEN = ("bf16", "f16", "f32")
# Activation, arrangement, bias.
KINDS = (("swiglu", "halves", False), ("swiglu_oai", "interleaved", True),
         ("geglu", "blocks 64, up_first", False), ("silu", "", True))
# Another factor per expert, as nvfp4 has.
FACTORS = (False, True)
PROPERTIES = (WEIGHTS, GRANULES, SCALES, ZEROS, LAYOUTS, ACTIVATIONS, HIDDEN, KINDS, FACTORS)


def legal(choice):
    """Zero points are for integers; f16 does not hold results of fp8 scales."""
    weight, scale, zero, hidden = choice[0], choice[2], choice[3], choice[6]
    if weight and zero and not weight[1].startswith("i"):
        return False
    return not (scale == "f8E4M3FN" and hidden == "f16")


def pairs():
    """Choices in which every legal pair of properties occurs, greedily."""
    missing = set()
    for first, second in itertools.combinations(range(len(PROPERTIES)), 2):
        for x, y in itertools.product(PROPERTIES[first], PROPERTIES[second]):
            choice = [None] * len(PROPERTIES)
            choice[first], choice[second] = x, y
            if legal(choice):
                missing.add((first, x, second, y))
    count = lambda choice: sum(choice[i] == x and choice[j] == y for i, x, j, y in missing)
    while missing:
        # Starts from a missing pair; every other property by what it covers.
        first, x, second, y = min(missing, key=repr)
        choice = [None] * len(PROPERTIES)
        choice[first], choice[second] = x, y
        for number, values in enumerate(PROPERTIES):
            if choice[number] is not None:
                continue
            best = None
            for value in values:
                candidate = choice[:number] + [value] + choice[number + 1:]
                if legal(candidate) and (best is None or count(candidate) > count(best)):
                    best = candidate
            choice = best
        before = len(missing)
        missing = {pair for pair in missing
                   if not (choice[pair[0]] == pair[1] and choice[pair[2]] == pair[3])}
        assert len(missing) < before
        yield tuple(choice)


def products():
    """Every weight with every granule, zero point and quantised activation; what
    else there is alternates."""
    scales, layouts, hidden, kinds, factors = (
        itertools.cycle(values) for values in (SCALES, LAYOUTS, HIDDEN, KINDS, FACTORS))
    for weight, granule, zero, act in itertools.product(WEIGHTS, GRANULES, ZEROS, ACTIVATIONS):
        choice = (weight, granule, next(scales), zero, next(layouts), act, next(hidden),
                  next(kinds), next(factors))
        if legal(choice):
            yield choice


def layers(choices):
    for number, choice in enumerate(choices):
        weight, granule, scale, zero, layout, act, hidden, kind, factor = choice
        name, elem, packing, per_stored = weight
        quant = f"{elem}, granule = [{granule[0] or '*'}, {granule[1] or '*'}], scale = {scale}"
        if zero:
            quant += f", zero = {zero if zero == 'operand' else 7 if elem == 'i4' else 131}"
        if packing != "plain":
            quant += f", packing = {packing}"
        if layout != "row_major":
            quant += f", layout = {layout}"
        fmt = shapes.Format(
            name, hidden, {"plain": elem, "exllama": "i32"}.get(packing, "i8"), quant, act,
            per_stored, granule, scale, zero == "operand", 128, layout == "group_major", factor)
        activation, gate_up, bias = kind
        yield shapes.Layer(f"dtype_{number}_{name}", fmt, experts=5, topk=2, hidden=384,
                           inner=128, activation=activation, gate_up=gate_up, bias=bias)
