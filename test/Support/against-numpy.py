"""Conversions, quantisers and tensor files against NumPy code that shares nothing with them.

RUN: %python %s %moec_bin/bin/unittests/SupportProbe %t
"""

import json
import os
import struct
import subprocess
import sys

import numpy as np

probe, work = sys.argv[1:]
os.makedirs(work, exist_ok=True)
IN, OUT = os.path.join(work, "in.npy"), os.path.join(work, "out.bin")
# A new case each time; the seed is printed so that a failure can be repeated.
entropy = int.from_bytes(os.urandom(4), "little")
print("entropy", entropy)
rng = np.random.default_rng(entropy)


def call(*args, code=0):
    done = subprocess.run([probe, *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == code, (args, done)
    return done.stderr


# --- Formats from their definitions: (bits, exponent bits, mantissa bits, bias, kind of specials)
FORMATS = {
    "bf16": (16, 8, 7, 127, "ieee"),
    "f16": (16, 5, 10, 15, "ieee"),
    "f8E5M2": (8, 5, 2, 15, "ieee"),
    "f8E4M3FN": (8, 4, 3, 7, "fn"),
    "f8E4M3FNUZ": (8, 4, 3, 8, "fnuz"),
    "f8E5M2FNUZ": (8, 5, 2, 16, "fnuz"),
    "f4E2M1FN": (4, 2, 1, 1, "finite"),
}


def values_of(name):
    bits, e_bits, m_bits, bias, kind = FORMATS[name]
    out = np.empty(1 << bits)
    for code in range(1 << bits):
        sign = -1.0 if code >> (bits - 1) else 1.0
        e = code >> m_bits & ((1 << e_bits) - 1)
        m = code & ((1 << m_bits) - 1)
        last = e == (1 << e_bits) - 1
        if kind == "ieee" and last:
            out[code] = sign * np.inf if m == 0 else np.nan
        elif kind == "fn" and last and m == (1 << m_bits) - 1:
            out[code] = np.nan
        elif kind == "fnuz" and code == 1 << (bits - 1):
            out[code] = np.nan
        else:
            f = m / (1 << m_bits)
            out[code] = sign * (f * 2.0 ** (1 - bias) if e == 0 else (1 + f) * 2.0 ** (e - bias))
    return out


def nearest(name, x, saturate):
    """Codes of the nearest values, ties to the even code, and a mask of results that must be NaN."""
    bits, _, m_bits, _, kind = FORMATS[name]
    table = values_of(name)[: 1 << (bits - 1)]
    finite = table[np.isfinite(table)]
    a = np.abs(x).astype(np.float64)
    middle = (finite[1:] + finite[:-1]) / 2
    code = np.searchsorted(middle, a, side="left")
    tie = np.isin(a, middle)
    code += tie & (code % 2 == 1)
    # The range ends half a step above the largest value; that tie is even by its mantissa.
    step = finite[-1] - finite[-2]
    limit = finite[-1] + step / 2
    odd = len(finite) % 2 == 0
    over = (a >= limit) if odd else (a > limit)
    nan = np.isnan(x)
    if not saturate and kind == "ieee":
        code[over] = len(finite)
    elif not saturate and kind in ("fn", "fnuz"):
        nan = nan | over
    sign = np.signbit(x).astype(np.int64) << (bits - 1)
    if kind == "fnuz":
        sign[code == 0] = 0
    return code + sign, nan


def storage(name, count):
    raw = np.load(OUT)
    if raw.dtype == np.float16:
        raw = raw.view(np.uint16)
    if FORMATS.get(name, (8,))[0] == 4:
        raw = np.stack([raw & 15, raw >> 4], -1).reshape(-1)
    return raw.astype(np.int64)[:count]


def interesting(name, dtype, count):
    table = values_of(name)
    finite = np.unique(np.abs(table[np.isfinite(table)]))
    middle = (finite[1:] + finite[:-1]) / 2
    edge = finite[-1] + (finite[-1] - finite[-2]) / 2
    x = np.concatenate([finite, middle, [edge, edge * 1.0001, edge * 0.9999, 1e30, np.inf, 0.0]])
    x = np.concatenate([x, rng.normal(size=count) * np.exp(rng.uniform(-12, 8, count))]).astype(dtype)
    x = np.concatenate([x, np.nextafter(x, dtype(np.inf)), np.nextafter(x, dtype(0))])
    x = np.concatenate([x, -x, np.array([np.nan], dtype)])
    return x[: len(x) // 2 * 2]


for name, spec in FORMATS.items():
    for dtype in (np.float32, np.float64):
        x = interesting(name, dtype, 5000)
        np.save(IN, x)
        for mode in ("native", "saturate"):
            call("encode", name, mode, IN, OUT)
            got = storage(name, len(x))
            want, nan = nearest(name, x, mode == "saturate")
            if spec[4] == "finite":
                want[nan] = 7
                nan[:] = False
            is_nan = np.isnan(values_of(name)[got])
            assert (is_nan == nan).all(), (name, mode, x[is_nan != nan])
            bad = ~nan & (got != want)
            assert not bad.any(), (name, mode, x[bad][:5], got[bad][:5], want[bad][:5])
    # Decoding: every code.
    codes = np.arange(1 << spec[0])
    if spec[0] == 4:
        np.save(IN, (codes[::2] | codes[1::2] << 4).astype(np.uint8))
    else:
        np.save(IN, codes.astype(np.uint8 if spec[0] == 8 else np.uint16))
    call("decode", name, IN, OUT)
    np.testing.assert_array_equal(np.load(OUT), values_of(name).astype(np.float32))

# f16 has a second witness: NumPy's own half.
x = rng.normal(size=20000).astype(np.float32) * np.exp(rng.uniform(-20, 12, 20000)).astype(np.float32)
np.save(IN, x)
call("encode", "f16", "native", IN, OUT)
with np.errstate(over="ignore"):
    assert (np.load(OUT).view(np.uint16) == x.astype(np.float16).view(np.uint16)).all()


# --- Quantisers
def load_safetensors(path):
    with open(path, "rb") as f:
        blob = f.read()
    (size,) = struct.unpack("<Q", blob[:8])
    assert (8 + size) % 64 == 0
    kinds = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "U8": "u1", "I8": "i1", "I32": "<i4", "I64": "<i8"}
    tensors = {}
    for name, info in json.loads(blob[8 : 8 + size]).items():
        begin, end = info["data_offsets"]
        kind = kinds.get(info["dtype"], "u1")
        tensors[name] = np.frombuffer(blob[8 + size + begin : 8 + size + end], kind).reshape(info["shape"])
    return tensors


def bf16_to_f32(u):
    return (u.astype(np.uint32) << 16).view(np.float32)


def quantise(x, *args):
    np.save(IN, x.astype(np.float32))
    call(*args, IN, OUT)
    return load_safetensors(OUT)


def spread(array, rows, cols, br, bc):
    return np.repeat(np.repeat(array, br, 0), bc, 1)[:rows, :cols]


def block_max(x, br, bc):
    rows, cols = x.shape
    padded = np.zeros((-(-rows // br) * br, -(-cols // bc) * bc), np.float32)
    padded[:rows, :cols] = np.abs(x)
    return padded.reshape(padded.shape[0] // br, br, padded.shape[1] // bc, bc).max((1, 3))


for rows, cols, br, bc in [(5, 256, 1, 128), (130, 300, 128, 128), (4, 96, 1, 96), (3, 50, 3, 50)]:
    x = rng.normal(size=(rows, cols)).astype(np.float32) * 10
    x[0, : min(bc, cols)] = 0
    for name, largest in (("f8E4M3FN", 448), ("f8E5M2", 57344), ("f8E4M3FNUZ", 240), ("i8", 127)):
        t = quantise(x, "blocks", name, br, bc)
        scale = block_max(x, br, bc) / np.float32(largest)
        scale[scale == 0] = 1
        assert (t["scales"] == scale).all()
        ratio = x / spread(scale, rows, cols, br, bc)
        if name == "i8":
            code = np.clip(np.rint(ratio), -127, 127).astype(np.int64)
            value = code.astype(np.float64)
        else:
            code = nearest(name, ratio.ravel(), True)[0].reshape(rows, cols)
            value = values_of(name)[code]
        assert (t["codes"].astype(np.int64) == code).all(), name
        assert (t["values"] == (value * spread(scale, rows, cols, br, bc)).astype(np.float32)).all()

K_OF_NIBBLE = [0, 2, 4, 6, 1, 3, 5, 7]
for rows, cols, group in [(6, 256, 128), (3, 64, 32), (2, 48, 16)]:
    x = rng.normal(size=(rows, cols)).astype(np.float32)
    x[1, :group] = 0
    for zeros in ("symmetric", "zeros"):
        for scale_type in ("f32", "bf16", "f16"):
            for packing in ("low_even", "exllama"):
                t = quantise(x, "int4", group, zeros, packing, scale_type)
                scale = bf16_to_f32(t["scales"]) if scale_type == "bf16" else t["scales"].astype(np.float32)
                g = x.reshape(rows, -1, group)
                low, high = np.minimum(g.min(2), 0), np.maximum(g.max(2), 0)
                exact = (high - low) / 15 if zeros == "zeros" else np.maximum(high, -low) / 7
                exact[exact == 0] = 1
                assert np.allclose(scale, exact, rtol=2.0**-8 if scale_type == "bf16" else 2.0**-10)
                zero = np.clip(np.rint(-low / scale), 0, 15) if zeros == "zeros" else np.full_like(scale, 8)
                if zeros == "zeros":
                    assert (t["zeros"] == zero).all()
                code = np.clip(np.rint(g / scale[..., None]) + zero[..., None], 0, 15).reshape(rows, cols)
                code = code.astype(np.uint32)
                if packing == "low_even":
                    want = code[:, ::2] | code[:, 1::2] << 4
                    assert (t["codes"] == want).all()
                else:
                    words = code.reshape(rows, -1, 8)
                    want = np.zeros(words.shape[:2], np.uint32)
                    for n, k in enumerate(K_OF_NIBBLE):
                        want |= words[..., k] << np.uint32(4 * n)
                    assert (t["codes"].view(np.uint32) == want).all()
                value = (code.reshape(g.shape) - zero[..., None].astype(np.float64)) * scale[..., None]
                assert (t["values"] == value.reshape(rows, cols).astype(np.float32)).all()


def nibbles(codes):
    return np.stack([codes & 15, codes >> 4], -1).reshape(codes.shape[0], -1).astype(np.int64)


x = (rng.normal(size=(9, 192)) * np.exp(rng.uniform(-30, 30, (9, 1)))).astype(np.float32)
x[2, 32:64] = 0
for name, emax in (("f4E2M1FN", 2), ("f8E4M3FN", 8), ("f8E5M2", 15)):
    t = quantise(x, "mx", name)
    amax = np.abs(x.reshape(9, 6, 32)).max(2)
    exponent = np.where(amax > 0, np.frexp(amax)[1] - 1 - emax, 0)
    assert (t["scales"] == exponent + 127).all()
    ratio = x.reshape(9, 6, 32) / np.exp2(exponent.astype(np.float32))[..., None]
    code = nearest(name, ratio.ravel(), True)[0].reshape(9, 192)
    got = nibbles(t["codes"]) if name == "f4E2M1FN" else t["codes"]
    assert (got == code).all()
    value = values_of(name)[code].reshape(9, 6, 32) * np.exp2(exponent.astype(np.float64))[..., None]
    assert (t["values"] == value.reshape(9, 192).astype(np.float32)).all()

x = rng.normal(size=(7, 96)).astype(np.float32)
x[3, 16:32] = 0
t = quantise(x, "nvfp4", "-")
overall = np.abs(x).max() / np.float32(6 * 448)
assert t["global"][0] == overall
amax = np.abs(x.reshape(7, 6, 16)).max(2)
scale_code = nearest("f8E4M3FN", ((amax / np.float32(6)) / overall).ravel(), True)[0].reshape(7, 6)
scale_code[amax == 0] = 0x38
assert (t["scales"] == scale_code).all()
scale = values_of("f8E4M3FN")[scale_code].astype(np.float32) * overall
code = nearest("f4E2M1FN", (x.reshape(7, 6, 16) / scale[..., None]).ravel(), True)[0]
assert (nibbles(t["codes"]) == code.reshape(7, 96)).all()

# --- Philox, from its paper
M0, M1, W0, W1 = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = M0 * c[0], M1 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + W0) & 0xFFFFFFFF, (k[1] + W1) & 0xFFFFFFFF]
    return c


seed, tensor = (int(v) for v in rng.integers(0, 2**63, 2))
call("fill", "u8", seed, tensor, 1001, OUT)
words = []
for block in range(63):
    words += philox([block, 0, tensor & 0xFFFFFFFF, tensor >> 32], [seed & 0xFFFFFFFF, seed >> 32])
assert (np.load(OUT) == np.array(words, "<u4").view(np.uint8)[:1001]).all()
call("fill", "f32", seed, tensor, 4096, OUT)
z = np.load(OUT)
assert abs(z.mean()) < 0.1 and abs(z.std() - 1) < 0.1
for name in ("bf16", "f8E4M3FN"):
    call("fill", name, seed, tensor, 4096, OUT)
    assert (np.load(OUT) == nearest(name, z, True)[0]).all()

# --- Files that NumPy wrote
for dtype in ("<f8", "<f4", "<f2", "i1", "u1", "<i4", "<i8"):
    for shape in [(), (5,), (2, 3), (3, 1, 4), (0, 2)]:
        for order in "CF":
            a = np.asarray(rng.integers(0, 100, shape), dtype, order=order)
            with open(IN, "wb") as f:
                np.lib.format.write_array(f, a, (int(rng.integers(1, 4)), 0))
            call("read-npy", "-", IN, OUT)
            b = np.load(OUT)
            assert b.dtype == a.dtype and b.shape == a.shape and (a == b).all()
np.save(IN, np.array([b"\x80\x3f", b"\x00\x40"], "V2"))
call("decode", "bf16", IN, OUT)
assert (np.load(OUT) == [1, 2]).all()
for bad, text in [
    (np.zeros(3, ">f4"), "big-endian type '>f4' is not supported"),
    (np.zeros(3, complex), "type '<c16' is not supported"),
    (np.zeros(3, [("a", "<f4")]), "structured arrays are not supported"),
    (np.zeros(3, bool), "type '|b1' is not supported"),
]:
    np.save(IN, bad)
    error = call("read-npy", "-", IN, OUT, code=1)
    assert text in error and IN in error, error

# --- A .safetensors file written here
a = rng.normal(size=(3, 5)).astype(np.float32)
header = {"__metadata__": {"by": "numpy"}, "a": {"dtype": "F32", "shape": [3, 5], "data_offsets": [4, 64]}}
header["b"] = {"dtype": "I32", "shape": [1], "data_offsets": [0, 4]}
text = json.dumps(header).encode()
path = os.path.join(work, "x.safetensors")
with open(path, "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + struct.pack("<i", -7) + a.tobytes())
call("read-safetensors", "a", path, OUT)
assert (np.load(OUT) == a).all()
call("read-safetensors", "b", path, OUT)
assert (np.load(OUT) == [-7]).all()
with open(path, "r+b") as f:
    f.truncate(os.path.getsize(path) - 1)
error = call("read-safetensors", "a", path, OUT, code=1)
assert "data_offsets [4, 64] exceed the 63 bytes of data" in error, error
