"""What the moe dialect means, in NumPy, for checking the reference interpreter.

Written from the op descriptions alone: codecs are nearest-value searches in
tables, products are matrix products in f64, and nothing is shared with the C++
code. A `Tensor` holds storage codes as the compiler sees them (bf16 as uint16,
f8 as uint8, packed nibbles as bytes or i32 words).
"""

import math

import numpy as np

# ---------------------------------------------------------------------------
# Element types
# ---------------------------------------------------------------------------

# name: (exponent bits, mantissa bits, bias, kind of the special codes)
FLOATS = {
    "bf16": (8, 7, 127, "ieee"),
    "f16": (5, 10, 15, "ieee"),
    "f8E5M2": (5, 2, 15, "ieee"),
    "f8E4M3FN": (4, 3, 7, "fn"),
    "f8E5M2FNUZ": (5, 2, 16, "fnuz"),
    "f8E4M3FNUZ": (4, 3, 8, "fnuz"),
    "f4E2M1FN": (2, 1, 1, "finite"),
}
STORAGE = {
    "f64": np.float64, "f32": np.float32, "bf16": np.uint16, "f16": np.uint16,
    "f8E5M2": np.uint8, "f8E4M3FN": np.uint8, "f8E5M2FNUZ": np.uint8,
    "f8E4M3FNUZ": np.uint8, "f8E8M0FNU": np.uint8, "f4E2M1FN": np.uint8,
    "i4": np.uint8, "i8": np.uint8, "i32": np.int32, "i64": np.int64,
    "index": np.int64,
}
QUANT_MAX = {"f8E4M3FN": 448.0, "f8E5M2": 57344.0, "f8E4M3FNUZ": 240.0,
             "f8E5M2FNUZ": 57344.0, "i8": 127.0, "f4E2M1FN": 6.0}


def small_float_table(name):
    """Value of every code of a small float type."""
    ebits, mbits, bias, kind = FLOATS[name]
    values = []
    for code in range(1 << (1 + ebits + mbits)):
        sign = -1.0 if code >> (ebits + mbits) else 1.0
        exponent = (code >> mbits) % (1 << ebits)
        mantissa = code % (1 << mbits)
        if exponent == 0:
            value = mantissa * 2.0 ** (1 - bias - mbits)
        else:
            value = (1 + mantissa / 2.0 ** mbits) * 2.0 ** (exponent - bias)
        top = exponent == (1 << ebits) - 1
        if kind == "ieee" and top:
            value = math.inf if mantissa == 0 else math.nan
        if kind == "fn" and top and mantissa == (1 << mbits) - 1:
            value = math.nan
        if kind == "fnuz" and sign < 0 and exponent == 0 and mantissa == 0:
            value = math.nan
        values.append(sign * value)
    return np.array(values)


TABLES = {name: small_float_table(name) for name in FLOATS}


def decode(elem, codes):
    """Storage codes to f64."""
    codes = np.asarray(codes)
    if elem in TABLES:
        return TABLES[elem][codes]
    if elem == "f8E8M0FNU":
        return np.where(codes == 255, np.nan, 2.0 ** (codes.astype(np.float64) - 127))
    if elem == "i4":
        return np.where(codes > 7, codes.astype(np.float64) - 16, codes)
    if elem == "i8":
        return codes.astype(np.uint8).view(np.int8).astype(np.float64)
    return codes.astype(np.float64)


def encode(elem, values, saturate=False):
    """f64 to the nearest storage code, ties to the even one."""
    values = np.asarray(values, np.float64)
    if elem in ("f32", "f64"):
        with np.errstate(over="ignore"):
            return values.astype(STORAGE[elem])
    if elem in ("i8", "i4"):
        top = 127 if elem == "i8" else 7
        rounded = np.clip(np.rint(np.nan_to_num(values)), -top - 1, top).astype(np.int64)
        return (rounded & (0xFF if elem == "i8" else 0xF)).astype(np.uint8)
    if elem == "i32":
        return np.rint(values).astype(np.int32)
    if elem == "f8E8M0FNU":  # powers of two only, by the nearest exponent
        with np.errstate(divide="ignore"):
            code = np.clip(np.rint(np.log2(np.nan_to_num(values, nan=1))), -127, 127) + 127
        return np.where(np.isnan(values), 255, code).astype(np.uint8)
    table = TABLES[elem]
    positive = table[: len(table) // 2]
    finite = positive[np.isfinite(positive)]
    middles = (finite[:-1] + finite[1:]) / 2
    size = np.abs(values)
    code = np.searchsorted(middles, np.nan_to_num(size, posinf=1e308))
    tie = (code < len(middles)) & (size == middles[np.minimum(code, len(middles) - 1)])
    code = np.where(tie & (code % 2 == 1), code + 1, code)
    kind = FLOATS[elem][3]
    beyond = finite[-1] + (finite[-1] - finite[-2]) / 2
    # The largest code is odd except for the "fn" kind, so its tie overflows.
    over = (size >= beyond) if kind != "fn" else (size > beyond)
    special = len(finite)  # infinity, or NaN where there is none
    half = len(table) // 2
    negative = np.signbit(values)
    result = code + half * negative
    if kind == "fnuz":
        result = np.where(code == 0, 0, result)
    if not saturate and kind != "finite":
        result = np.where(over, half if kind == "fnuz" else special + half * negative, result)
    nan = {"ieee": special + (1 << (FLOATS[elem][1] - 1)), "fn": special, "fnuz": half,
           "finite": len(finite) - 1}[kind]
    result = np.where(np.isnan(values), nan, result)
    return result.astype(STORAGE[elem])


class Tensor:
    """Storage codes with their element type."""

    def __init__(self, elem, codes):
        self.elem = elem
        self.codes = np.array(codes, STORAGE[elem], order="C")

    @property
    def shape(self):
        return self.codes.shape

    def values(self):
        return decode(self.elem, self.codes)

    @staticmethod
    def of(elem, values, saturate=False):
        return Tensor(elem, encode(elem, values, saturate))


# ---------------------------------------------------------------------------
# Packings
# ---------------------------------------------------------------------------

EXLLAMA = [0, 2, 4, 6, 1, 3, 5, 7]


def pack(packing, nibbles):
    """[..., C] values 0..15 to stored elements."""
    nibbles = np.asarray(nibbles, np.uint32)
    if packing in ("low_even", "mx"):
        return (nibbles[..., 0::2] + 16 * nibbles[..., 1::2]).astype(np.uint8)
    words = nibbles.reshape(nibbles.shape[:-1] + (nibbles.shape[-1] // 8, 8))
    total = np.zeros(words.shape[:-1], np.uint32)
    for place, column in enumerate(EXLLAMA):
        total += words[..., column] * np.uint32(16 ** place)
    return total.view(np.int32)


def unpack(packing, stored):
    if packing in ("low_even", "mx"):
        out = np.zeros(stored.shape[:-1] + (2 * stored.shape[-1],), np.uint8)
        out[..., 0::2] = stored % 16
        out[..., 1::2] = stored // 16
        return out
    words = stored.view(np.uint32)
    out = np.zeros(stored.shape + (8,), np.uint8)
    for place, column in enumerate(EXLLAMA):
        out[..., column] = (words // np.uint32(16 ** place)) % 16
    return out.reshape(stored.shape[:-1] + (8 * stored.shape[-1],))


# ---------------------------------------------------------------------------
# #moe.quant
# ---------------------------------------------------------------------------


class Quant:
    """`#moe.quant`; granule extents are numbers or None for the whole extent,
    zero is None, a number or "operand"."""

    def __init__(self, elem, granule, scale="f32", zero=None, packing="plain",
                 layout="row_major"):
        self.elem, self.granule, self.scale = elem, granule, scale
        self.zero, self.packing, self.layout = zero, packing, layout

    def text(self):
        rows, cols = ("*" if g is None else g for g in self.granule)
        text = f"#moe.quant<{self.elem}, granule = [{rows}, {cols}], scale = {self.scale}"
        if self.zero is not None:
            text += f", zero = {self.zero}"
        if self.packing != "plain":
            text += f", packing = {self.packing}"
        if self.layout != "row_major":
            text += f", layout = {self.layout}"
        return text + ">"

    def storage(self):
        return {"plain": self.elem, "low_even": "i8", "mx": "i8", "exllama": "i32"}[self.packing]

    def unit(self):
        return {"plain": 1, "low_even": 2, "mx": 2, "exllama": 8}[self.packing]

    def counts(self, rows, cols):
        counts = [1 if g is None else -(-extent // g)
                  for g, extent in zip(self.granule, (rows, cols))]
        return counts if self.layout == "row_major" else counts[::-1]

    def spread(self, table, rows, cols):
        """A scale (zero) table to one value per element."""
        if self.layout == "group_major":
            table = np.swapaxes(table, -1, -2)
        row = np.arange(rows) // (self.granule[0] or max(rows, 1))
        col = np.arange(cols) // (self.granule[1] or max(cols, 1))
        return table[..., row, :][..., col]

    def codes(self, stored):
        """Stored elements to code values in f64."""
        if self.packing == "plain":
            nibbles = stored.codes
        else:
            nibbles = unpack(self.packing, stored.codes)
        if self.zero is not None:
            return nibbles.astype(np.float64)
        return decode(self.elem, nibbles)

    def dequantise(self, stored, scale, zero=None):
        codes = self.codes(stored)
        rows, cols = codes.shape[-2:]
        if self.zero == "operand":
            codes = codes - self.spread(zero.codes.astype(np.float64), rows, cols)
        elif self.zero is not None:
            codes = codes - self.zero
        return codes * self.spread(scale.values(), rows, cols)

    def random(self, rng, batch, rows, cols):
        """Random finite stored values, positive scales, zero points."""
        shape = tuple(batch) + (rows, cols)
        if self.packing != "plain":
            stored = pack(self.packing, rng.integers(0, 16, shape))
        else:
            stored = rng.integers(0, 256, shape).astype(np.uint8)
            if self.elem in TABLES:
                # Small codes too often make sums of very different sizes.
                values = rng.standard_normal(shape)
                stored = encode(self.elem, values)
        table = tuple(batch) + tuple(self.counts(rows, cols))
        if self.scale == "f8E8M0FNU":
            scale = Tensor(self.scale, rng.integers(121, 126, table))
        else:
            scale = Tensor.of(self.scale, rng.uniform(0.02, 0.2, table))
        zero = None
        if self.zero == "operand":
            zero = Tensor("i8", rng.integers(0, 16, table))
        return Tensor(self.storage(), stored), scale, zero


def quantize(values, quant):
    """`moe.quantize` of f32 values [rows, C]."""
    values = np.asarray(values, np.float64).astype(np.float32)
    rows, cols = values.shape
    width = quant.granule[1] or cols
    groups = -(-cols // width)
    codes = np.zeros((rows, cols), np.uint8)
    scales = np.zeros((rows, groups), STORAGE[quant.scale])
    for g in range(groups):
        part = values[:, g * width:(g + 1) * width]
        amax = np.max(np.abs(part), axis=1, initial=0).astype(np.float32)
        scale = (np.maximum(amax, np.float32(2.0 ** -100)) / np.float32(QUANT_MAX[quant.elem]))
        if quant.scale == "f8E8M0FNU":
            code = np.clip(np.ceil(np.log2(scale.astype(np.float64))), -127, 127) + 127
            code = np.where(np.isnan(scale), 255, code)
        else:
            code = encode(quant.scale, scale, saturate=True)
        scales[:, g] = code.astype(STORAGE[quant.scale])
        stored = decode(quant.scale, scales[:, g]).astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            quotient = np.where(stored[:, None] == 0, np.float32(0), part / stored[:, None])
        if quant.elem == "i8":
            quotient = np.clip(quotient, -127, 127)
        codes[:, g * width:(g + 1) * width] = encode(quant.elem, quotient, saturate=True)
    if quant.packing != "plain":
        codes = pack(quant.packing, codes)
    if quant.layout == "group_major":
        scales = scales.T
    return Tensor(quant.storage(), codes), Tensor(quant.scale, scales)


def repack(stored, source, target):
    if source.packing == target.packing:
        codes = stored.codes
        if source.elem != target.elem:
            values = decode("f8E4M3FN", codes)
            codes = encode("f8E4M3FNUZ", values / 2, saturate=False)
        return Tensor(target.storage(), codes)
    return Tensor(target.storage(), pack(target.packing, unpack(source.packing, stored.codes)))


def group_sum(values, group):
    rows, cols = values.shape
    return values.reshape(rows, cols // group, group).sum(axis=2).T


# ---------------------------------------------------------------------------
# Routing
# ---------------------------------------------------------------------------


def topk(logits, bias, k, scoring="softmax", groups=1, of_groups=1, group_score="max",
         renormalize=False, scale=1.0):
    tokens, experts = logits.shape
    ids = np.zeros((tokens, k), np.int32)
    weights = np.zeros((tokens, k), np.float32)
    for t in range(tokens):
        row = logits[t]
        if scoring == "softmax":
            score = np.exp(row - row.max())
            score /= score.sum()
        elif scoring == "sigmoid":
            score = 1 / (1 + np.exp(-row))
        else:
            score = row
        biased = score + (0 if bias is None else bias)
        size = experts // groups
        rating = []
        for g in range(groups):
            best = sorted(biased[g * size:(g + 1) * size], reverse=True)
            rating.append(best[0] if group_score == "max" else best[0] + best[1])
        allowed = sorted(range(groups), key=lambda g: (-rating[g], g))[:of_groups]
        experts_left = [e for e in range(experts) if e // size in allowed]
        order = sorted(experts_left, key=lambda e: (-biased[e], e))[:k]
        chosen = score[order]
        if scoring == "softmax_selected":
            chosen = np.exp(chosen - chosen.max())
            chosen = chosen / chosen.sum()
        if renormalize and chosen.sum() != 0:
            chosen = chosen / chosen.sum()
        ids[t] = order
        weights[t] = chosen * scale
    return ids, weights


def local_experts(ids, expert_map=None):
    """Local expert of every slot, [T, k]; -1 for nowhere."""
    out = np.full(ids.shape, -1, np.int64)
    for place in np.argwhere(ids >= 0):
        expert = ids[tuple(place)]
        out[tuple(place)] = expert if expert_map is None else expert_map[expert]
    return out


class Routing:
    """Rows of every layout, from the local expert of every slot [T, k]."""

    def __init__(self, local, experts, block_m=1):
        self.tokens, self.k = local.shape
        self.experts, self.block_m = experts, block_m
        self.expert = local.reshape(-1)
        slots = self.expert.size
        self.by_expert = [np.flatnonzero(self.expert == e) for e in range(experts)]
        self.capacity = slots + min(slots, experts) * (block_m - 1)
        plain, padded, self.blocks = [], [], []
        self.offsets, self.padded_offsets = [0], [0]
        for e, members in enumerate(self.by_expert):
            blocks = -(-len(members) // block_m)
            plain.extend(members)
            padded.extend(members)
            padded.extend([slots] * (blocks * block_m - len(members)))
            self.blocks.extend([e] * blocks)
            self.offsets.append(len(plain))
            self.padded_offsets.append(len(padded))
        self.blocks += [-1] * (-(-self.capacity // block_m) - len(self.blocks))
        self.sorted = plain + [slots] * (slots - len(plain))
        self.padded = padded + [slots] * (self.capacity - len(padded))

    def tables(self):
        """As the interpreter returns a routing value."""
        return [np.array(part, np.int32) for part in
                (self.sorted, self.padded, self.blocks, self.offsets, self.padded_offsets,
                 self.expert)]

    def rows(self, layout):
        """Number of rows, and the row of every slot (-1: none)."""
        slots = self.expert.size
        valid = self.expert >= 0
        if layout == "token":
            return self.tokens, np.where(valid, np.arange(slots) // self.k, -1)
        if layout == "flat_topk":
            return slots, np.where(valid, np.arange(slots), -1)
        order = self.sorted if layout == "expert_sorted" else self.padded
        row = np.full(slots, -1)
        for place, slot in enumerate(order):
            if slot < slots:
                row[slot] = place
        return len(order), row

    def scatter(self, values, layout):
        """Slot rows [T * k, N] to a layout; rows of no slot are NaN."""
        count, row = self.rows(layout)
        out = np.full((count,) + values.shape[1:], np.nan)
        for slot in range(row.size):
            if row[slot] >= 0:
                out[row[slot]] = values[slot]
        return out

    def valid_rows(self, layout):
        count, row = self.rows(layout)
        mask = np.zeros(count, bool)
        mask[row[row >= 0]] = True
        return mask


def route_all(tokens, experts, block_m=1):
    return Routing(np.tile(np.arange(experts), (tokens, 1)), experts, block_m)


def dense_weights(local, weights, experts, factor=None):
    alpha = np.zeros((local.shape[0], experts))
    for t in range(local.shape[0]):
        for j in range(local.shape[1]):
            if local[t, j] >= 0:
                alpha[t, local[t, j]] += weights[t, j]
    return alpha if factor is None else alpha * factor


def combine(routing, rows, layout, weights=None, add=None, add_gate=None):
    place = routing.rows(layout)[1]
    out = np.zeros((routing.tokens, rows.shape[1]))
    for slot in range(place.size):
        if place[slot] >= 0:
            weight = 1.0 if weights is None else weights.reshape(-1)[slot]
            out[slot // routing.k] += weight * rows[place[slot]]
    if add is not None:
        gate = 1.0 if add_gate is None else 1 / (1 + np.exp(-add_gate[:, None]))
        out = out + gate * add
    return out


# ---------------------------------------------------------------------------
# Activations
# ---------------------------------------------------------------------------

erf = np.vectorize(math.erf, otypes=[np.float64])


def sigma(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


PLAIN = {"identity": lambda x: x, "silu": lambda x: x * sigma(x), "gelu": gelu,
         "gelu_tanh": gelu_tanh, "relu": lambda x: np.maximum(x, 0),
         "relu2": lambda x: np.maximum(x, 0) ** 2}
GATED = {"swiglu": "silu", "geglu": "gelu", "geglu_tanh": "gelu_tanh", "reglu": "relu"}


def activation(kind, gate, up=None, alpha=1.702, limit=None):
    if kind in PLAIN:
        return PLAIN[kind](gate)
    if limit is None:
        limit = 7.0 if kind == "swiglu_oai" else 0.0
    if limit:
        gate, up = np.minimum(gate, limit), np.clip(up, -limit, limit)
    if kind == "swiglu_oai":
        return (up + 1) * gate * sigma(alpha * gate)
    return PLAIN[GATED[kind]](gate) * up


def gate_up_rows(kind, inter, block=1, up_first=False):
    """Rows of w1 that hold the gate and the up values of every column."""
    rows = np.arange(2 * inter)
    if kind == "halves":
        first = rows < inter
    elif kind == "interleaved":
        first = rows % 2 == 0
    else:
        first = (rows // block) % 2 == 0
    gate, up = rows[first], rows[~first]
    return (up, gate) if up_first else (gate, up)


# ---------------------------------------------------------------------------
# Projections
# ---------------------------------------------------------------------------


def grouped_product(routing, a, a_row, b):
    """acc [T * k, N] for values a [rows, K] and b [E, N, K]; NaN for no slot."""
    acc = np.full((routing.expert.size, b.shape[1]), np.nan)
    for e, slots in enumerate(routing.by_expert):
        if len(slots):
            acc[slots] = a[a_row[slots]] @ b[e].T
    return acc


def sum_slots(routing, values):
    return combine(routing, values, "flat_topk")


def round_rows(values, quant, elem):
    """The rounding point in front of a projection."""
    if quant is None:
        return decode(elem, encode(elem, values))
    stored, scale = quantize(values, quant)
    return quant.dequantise(stored, scale)


def expert_pair(routing, x, w1, w2, act, gate_up, act_quant, x_elem, b1=None, b2=None, g1=None,
                g2=None, input_weights=None):
    """Second projection of every slot; x is rounded already."""
    expert = np.maximum(routing.expert, 0)
    token = np.arange(routing.expert.size) // routing.k
    first = grouped_product(routing, x, token, w1)
    if g1 is not None:
        first = first * g1[expert][:, None]
    if input_weights is not None:
        first = first * input_weights.reshape(-1, 1)
    if b1 is not None:
        first = first + b1[expert]
    if gate_up is None:
        middle = activation(act[0], first)
    else:
        gate, up = gate_up_rows(gate_up[0], w2.shape[2], *gate_up[1:])
        middle = activation(act[0], first[:, gate], first[:, up], **act[1])
    valid = routing.expert >= 0
    middle = np.where(valid[:, None], middle, 0)
    middle = round_rows(middle, act_quant, x_elem)
    second = grouped_product(routing, middle, np.arange(valid.size), w2)
    if g2 is not None:
        second = second * g2[expert][:, None]
    if b2 is not None:
        second = second + b2[expert]
    return second


def fused_experts(x, local, weights, w1, w2, act, gate_up, act_quant=None,
                  weight_place="epilogue", shared=None, **extras):
    """Layer result in f64. x: Tensor; w1, w2: values; act: (kind, options);
    gate_up: None or (kind, block, up_first); shared: (s1, s2, gate or None)."""
    routing = Routing(local, w1.shape[0])
    plain = x.values()
    rounded = plain if act_quant is None else round_rows(plain, act_quant, x.elem)
    rows = expert_pair(routing, rounded, w1, w2, act, gate_up, act_quant, x.elem,
                       input_weights=weights if weight_place == "input" else None, **extras)
    weighted = weight_place in ("epilogue", "combine")
    y = combine(routing, rows, "flat_topk", weights if weighted else None)
    if shared is not None:
        s1, s2, gate = shared
        every = route_all(x.shape[0], 1)
        part = expert_pair(every, rounded, s1[None], s2[None], act, gate_up, act_quant, x.elem)
        if gate is not None:
            part = part * sigma(plain @ gate)[:, None]
        y = y + part
    return y
