# RUN: %python %s %moec_bin/bin/moe-run %t x86-64
# RUN: %if avx2 %{ %python %s %moec_bin/bin/moe-run %t avx2 %}
# RUN: %if avx512f %{ %python %s %moec_bin/bin/moe-run %t avx512 %}
# RUN: %if avx512-bf16 %{ %python %s %moec_bin/bin/moe-run %t avx512bf16 %}
"""Every stored code of a weight comes out as the value that it means.

The layer is linear, its input is the unit matrix and its second weight as well,
so that the result is the first weight, exactly: a code that is decoded wrongly
shows however small it is.
"""

import os
import subprocess
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "Inputs"))

import layers  # pylint: disable=wrong-import-position
import shapes  # pylint: disable=wrong-import-position

SIZE = 256


def float8(code, exponent_bits, bias):
    """The value of an 8-bit float, by the definition of the format."""
    mantissa_bits = 7 - exponent_bits
    sign = -1.0 if code & 0x80 else 1.0
    exponent, mantissa = (code & 0x7F) >> mantissa_bits, code & ((1 << mantissa_bits) - 1)
    fraction = mantissa / (1 << mantissa_bits)
    if exponent == 0:
        return sign * fraction * 2.0 ** (1 - bias)
    return sign * (1 + fraction) * 2.0 ** (exponent - bias)


def pack_low_even(codes):
    return (codes[:, 0::2] | codes[:, 1::2] << 4).astype(np.uint8)


def pack_exllama(codes):
    words = np.zeros((codes.shape[0], codes.shape[1] // 8), np.uint32)
    for pair in range(4):
        words |= codes[:, 2 * pair::8].astype(np.uint32) << (4 * pair)
        words |= codes[:, 2 * pair + 1::8].astype(np.uint32) << (4 * pair + 16)
    return words.view(np.int32)


def bits_to_float(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def run(tool, folder, isa, experts, name, fmt, values, one, pack):
    """values: what code i means, NaN to leave a code out; one: the code of 1.
    Few tokens per expert and many are decoded in different ways."""
    layer = shapes.Layer(name, fmt, experts=experts, topk=1, hidden=SIZE, inner=SIZE,
                         activation="identity", gate_up="")
    random = np.random.default_rng(len(values))
    legal = np.flatnonzero(np.isfinite(values))
    codes = random.permutation(np.resize(legal, SIZE * SIZE)).reshape(SIZE, SIZE)
    assert len(np.unique(codes)) == len(legal)
    zero = int(np.flatnonzero(values == 0)[0])
    unit = np.where(np.eye(SIZE, dtype=bool), one, zero)
    scales = fmt.granule
    scale = np.ones((experts, -(-SIZE // scales[0]), -(-SIZE // scales[1])), np.float32)
    if fmt.scale == "bf16":
        scale = (scale.view(np.uint32) >> 16).astype(np.uint16)
    data = {"x": (np.eye(SIZE, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16),
            "w1": np.stack([pack(codes)] * experts), "w2": np.stack([pack(unit)] * experts), "w1_scale": scale,
            "w2_scale": scale, "topk_weights": np.ones((SIZE, 1), np.float32)}
    os.makedirs(folder, exist_ok=True)
    path = lambda file: os.path.join(folder, file)
    command = [tool, path("layer.mlir"), "--tokens", str(SIZE), "--isa", isa,
               "--output", path("y.npy"), "--check"]
    with open(path("layer.mlir"), "w", encoding="utf-8") as file:
        file.write(layers.layer_mlir(layer))
    for key, value in data.items():
        np.save(path(key + ".npy"), value)
        command += ["--input", f"{key}={path(key + '.npy')}"]
    subprocess.run(command, check=True)
    result = bits_to_float(np.load(path("y.npy")).view(np.uint16))
    wanted = values[codes].T.astype(np.float32)
    wrong = np.unique(codes.T[result != wanted])
    for code in wrong:
        got = np.unique(result[codes.T == code])
        print(f"{name} {isa}: code {code:#x} means {values[code]}, got {got}")
    return len(wrong) == 0


def main(tool, folder, isa):
    plain = lambda codes: codes.astype(np.uint8)
    e4m3 = np.array([np.nan if c & 0x7F == 0x7F else float8(c, 4, 7) for c in range(256)])
    e5m2 = np.array([np.nan if c & 0x7F >= 0x7C else float8(c, 5, 15) for c in range(256)])
    int4 = np.arange(16) - 8.0
    fp4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6] * 2) * np.repeat([1, -1], 8)
    stored = lambda quant, per, cols=128: shapes.Format(
        "stored", "bf16", "i8", quant, "", per, (1, cols), "bf16")
    fp8 = shapes.replace(shapes.FP8_BLOCK, act_quant="")
    fp8_e5 = shapes.replace(fp8, weight="f8E5M2", quant=fp8.quant.replace("E4M3FN", "E5M2"))
    cases = [("e4m3", fp8, e4m3, 0x38, plain), ("e5m2", fp8_e5, e5m2, 0x3C, plain),
             ("low_even", shapes.W4A16, int4, 9, pack_low_even),
             ("exllama", shapes.W4A16_EXLLAMA, int4, 9, pack_exllama),
             ("signed", stored("i4, granule = [1, 128], scale = bf16, packing = low_even", 2),
              (np.arange(16) ^ 8) - 8.0, 1, pack_low_even),
             ("mx", stored("f4E2M1FN, granule = [1, 32], scale = bf16, packing = mx", 2, 32),
              fp4, 2, pack_low_even),
             ("int8", stored("i8, granule = [1, 128], scale = bf16", 1),
              np.arange(256).astype(np.int8).astype(float), 1, plain),
             ("byte", stored("i8, granule = [1, 128], scale = bf16, zero = 131", 1),
              np.arange(256) - 131.0, 132, plain)]
    passed = [run(tool, os.path.join(folder, isa, case[0]), isa, experts, *case)
              for experts in (2, 64) for case in cases]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
