"""Tiny checkpoints of every layout, with what a layer should get from them.

usage: checkpoints.py DIRECTORY

Weights are drawn as numbers and packed here by plain loops. They are read by moe-run, which runs
and checks a layer with them, and by moec.read_experts; both must give the same bits.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np

import moec

HOME = sys.argv[1]
E, H, I = 4, 256, 128
TYPES = {"float32": "F32", "float16": "F16", "uint16": "BF16", "int32": "I32", "uint8": "U8"}
random = np.random.default_rng(5)


class Fp8(np.ndarray):
    """Bytes that are f8E4M3FN."""


def write(path, tensors):
    header, blobs, offset = {}, [], 0
    for name, array in tensors.items():
        kind = "F8_E4M3" if isinstance(array, Fp8) else TYPES[array.dtype.name]
        blob = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    # An odd header: the format promises no alignment.
    text += b" " * (1 - len(text) % 2)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    size = int.from_bytes(data[:8], "little")
    kinds = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I32": "<i4", "U8": "u1", "I8": "i1",
             "F8_E4M3": "u1", "F8_E8M0": "u1"}
    result = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        begin, end = entry["data_offsets"]
        result[name] = np.frombuffer(data[8 + size + begin:8 + size + end],
                                     kinds[entry["dtype"]]).reshape(entry["shape"])
    return result


def bf16(*shape, scale=0.06):
    return moec.to_bf16(random.normal(size=shape).astype(np.float32) * scale)


def f16(*shape, scale=0.06):
    return (random.normal(size=shape) * scale).astype(np.float16)


def fp8(*shape):
    codes = random.integers(0, 0x60, shape).astype(np.uint8)
    codes |= random.integers(0, 2, shape).astype(np.uint8) << 7
    return codes.view(Fp8)


def scales(*shape):
    return random.uniform(0.001, 0.004, shape)


# Layouts: each gives (config, tensors below the prefix, expected arguments).

def base(model, **more):
    config = {"model_type": model, "hidden_size": H, "num_experts_per_tok": 2, "hidden_act": "silu",
              "moe_intermediate_size": I, "num_experts": E, "torch_dtype": "bfloat16"}
    return {**config, **more}


def plain():
    tensors, w1, w2 = {}, [], []
    for expert in range(E):
        gate, up, down = bf16(I, H), bf16(I, H), bf16(H, I)
        for name, array in (("gate_proj", gate), ("up_proj", up), ("down_proj", down)):
            tensors[f"experts.{expert}.{name}.weight"] = array
        w1.append(np.concatenate([gate, up]))
        w2.append(down)
    return base("qwen3_moe"), tensors, {"w1": np.stack(w1), "w2": np.stack(w2)}


def mixtral():
    config = base("mixtral", num_local_experts=E, intermediate_size=I, torch_dtype="float16")
    tensors, w1, w2 = {}, [], []
    for expert in range(E):
        gate, up, down = f16(I, H), f16(I, H), f16(H, I)
        for name, array in (("w1", gate), ("w3", up), ("w2", down)):
            tensors[f"experts.{expert}.{name}.weight"] = array
        w1.append(np.concatenate([gate, up]))
        w2.append(down)
    return config, tensors, {"w1": np.stack(w1), "w2": np.stack(w2)}


def fused():
    config = base("qwen3_5_moe", shared_expert_intermediate_size=64)
    w1, w2 = bf16(E, 2 * I, H), bf16(E, H, I)
    gate, up, down, shared_gate = bf16(64, H), bf16(64, H), bf16(H, 64), bf16(1, H)
    tensors = {"experts.gate_up_proj": w1, "experts.down_proj": w2,
               "shared_expert.gate_proj.weight": gate, "shared_expert.up_proj.weight": up,
               "shared_expert.down_proj.weight": down, "shared_expert_gate.weight": shared_gate}
    return config, tensors, {"w1": w1, "w2": w2, "shared_w1": np.concatenate([gate, up]),
                             "shared_w2": down, "shared_gate": shared_gate[0]}


def crosswise():
    # 2 I = H: the family decides.
    w1, w2 = bf16(E, 2 * I, H), bf16(E, H, I)
    tensors = {"experts.gate_up_proj": np.swapaxes(w1, 1, 2),
               "experts.down_proj": np.swapaxes(w2, 1, 2)}
    inner = base("qwen3_vl_moe_text")
    return {"model_type": "qwen3_vl_moe", "text_config": inner}, tensors, {"w1": w1, "w2": w2}


def fp8_block():
    config = base("deepseek_v3", n_routed_experts=E, n_shared_experts=2, n_group=1, topk_group=1,
                  quantization_config={"quant_method": "fp8", "weight_block_size": [128, 128]})
    tensors = {}

    def matrix(name, n, k):
        values, factors = fp8(n, k), scales(-(-n // 128), -(-k // 128)).astype(np.float32)
        tensors[name + ".weight"], tensors[name + ".weight_scale_inv"] = values, factors
        return values, factors

    def expert(name, width):
        parts = [matrix(f"{name}.{part}_proj", *size) for part, size in (
            ("gate", (width, H)), ("up", (width, H)), ("down", (H, width)))]
        return [np.concatenate([parts[0][i], parts[1][i]]) for i in (0, 1)], parts[2]
    experts = [expert(f"experts.{number}", I) for number in range(E)]
    shared = expert("shared_experts", 2 * I)
    return config, tensors, {
        "w1": np.stack([each[0][0] for each in experts]),
        "w1_scale": np.stack([each[0][1] for each in experts]),
        "w2": np.stack([each[1][0] for each in experts]),
        "w2_scale": np.stack([each[1][1] for each in experts]),
        "shared_w1": shared[0][0], "shared_w1_scale": shared[0][1],
        "shared_w2": shared[1][0], "shared_w2_scale": shared[1][1]}


def low_even(codes):
    result = np.zeros((codes.shape[0], codes.shape[1] // 2), np.uint8)
    for k in range(codes.shape[1]):
        result[:, k // 2] |= codes[:, k] << (4 * (k % 2))
    return result.view(np.int8)


def exllama(codes):
    words = np.zeros((codes.shape[0], codes.shape[1] // 8), np.int64)
    for k in range(codes.shape[1]):
        place = {0: 0, 2: 1, 4: 2, 6: 3, 1: 4, 3: 5, 5: 6, 7: 7}[k % 8]
        words[:, k // 8] |= codes[:, k].astype(np.int64) << (4 * place)
    return words.astype(np.uint32).view(np.int32)


def words(columns, order):
    """[r, n] nibbles as [r, n / 8] words; nibble i of a word is column order[i] of its eight."""
    result = np.zeros((columns.shape[0], columns.shape[1] // 8), np.int64)
    for word in range(result.shape[1]):
        for i in range(8):
            result[:, word] |= columns[:, 8 * word + order[i]].astype(np.int64) << (4 * i)
    return result.astype(np.uint32).view(np.int32)


def int4(method, group, symmetric, offset=0, pack=low_even, **quant):
    config = base("qwen3_moe", quantization_config={
        "quant_method": method, "bits": 4, "group_size": group, "sym": symmetric,
        "zero_point": not symmetric, **quant})
    tensors = {}

    def matrix(name, n, k):
        codes = random.integers(0, 16, (n, k)).astype(np.uint8)
        zero = np.full((n, k // group), 8) if symmetric else random.integers(1, 16, (n, k // group))
        factors = f16(n, k // group, scale=0.01) + np.float16(0.001)
        factors[factors == 0] = 1
        straight, mixed = range(8), (0, 2, 4, 6, 1, 3, 5, 7)
        if method == "gptq":
            tensors[name + ".qweight"] = np.ascontiguousarray(words(codes, straight).T)
            tensors[name + ".g_idx"] = (np.arange(k) // group).astype(np.int32)
        else:
            tensors[name + ".qweight"] = words(np.ascontiguousarray(codes.T), mixed)
        tensors[name + ".qzeros"] = words(zero.T - offset, straight if method == "gptq" else mixed)
        tensors[name + ".scales"] = np.ascontiguousarray(factors.T)
        parts = {"": pack(codes), "_scale": moec.to_bf16(factors.astype(np.float32))}
        if not symmetric:
            parts["_zero"] = zero.astype(np.int8)
        return parts
    w1, w2 = [], []
    for expert in range(E):
        gate, up, down = (matrix(f"experts.{expert}.{name}_proj", *size) for name, size in (
            ("gate", (I, H)), ("up", (I, H)), ("down", (H, I))))
        w1.append({key: np.concatenate([gate[key], up[key]]) for key in gate})
        w2.append(down)
    expected = {}
    for name, parts in (("w1", w1), ("w2", w2)):
        expected.update({name + key: np.stack([part[key] for part in parts]) for key in parts[0]})
    return config, tensors, expected


def gpt_oss():
    config = {"model_type": "gpt_oss", "hidden_size": H, "intermediate_size": I,
              "num_local_experts": E, "num_experts_per_tok": 2, "hidden_act": "silu",
              "swiglu_limit": 7.0, "torch_dtype": "bfloat16",
              "quantization_config": {"quant_method": "mxfp4"}}
    tensors, expected = {}, {}
    for name, argument, n, k in (("gate_up_proj", "1", 2 * I, H), ("down_proj", "2", H, I)):
        blocks = random.integers(0, 256, (E, n, k // 32, 16)).astype(np.uint8)
        factors = random.integers(118, 122, (E, n, k // 32)).astype(np.uint8)
        bias = bf16(E, n)
        tensors.update({f"experts.{name}_blocks": blocks, f"experts.{name}_scales": factors,
                        f"experts.{name}_bias": bias})
        expected.update({"w" + argument: blocks.reshape(E, n, k // 2).view(np.int8),
                         f"w{argument}_scale": factors, "b" + argument: bias})
    return config, tensors, expected


LAYOUTS = {
    "plain": (plain, "mlp", {}), "mixtral": (mixtral, "block_sparse_moe", {}),
    "fused": (fused, "mlp", {}), "crosswise": (crosswise, "mlp", {}),
    "fp8-block": (fp8_block, "mlp", {}),
    "gptq": (lambda: int4("gptq", 128, True, 1), "mlp", {}),
    "gptq-g32": (lambda: int4("gptq", 32, True, 1), "mlp", {}),
    "gptq-zp": (lambda: int4("gptq", 128, False, 1), "mlp", {}),
    "gptq-v2": (lambda: int4("gptq", 128, False, 0, checkpoint_format="gptq_v2"), "mlp", {}),
    "gptq-exllama": (lambda: int4("gptq", 128, True, 1, pack=exllama), "mlp",
                     {"dtype": "w4a16-g128-exllama"}),
    "awq": (lambda: int4("awq", 128, False), "mlp", {}),
    "gpt-oss": (gpt_oss, "mlp", {}),
}
PREFIX = {"crosswise": "model.language_model."}


def save(name, config, block, tensors):
    """Layer 0 has no experts, layer 1 is the wanted one; two files and an index, or one file."""
    folder = os.path.join(HOME, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    stem = PREFIX.get(name, "model.")
    whole = {f"{stem}layers.1.{block}.{key}": array for key, array in tensors.items()}
    whole[f"{stem}layers.0.mlp.gate_proj.weight"] = bf16(3, 2)
    # Predicts further tokens, and is no decoder layer.
    whole[f"mtp.layers.1.{block}.experts.0.gate_proj.weight"] = bf16(3, 2)
    names = sorted(whole)
    if name in ("mixtral", "gpt-oss"):
        write(os.path.join(folder, "model.safetensors"), whole)
    else:
        halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
        for file, part in halves.items():
            write(os.path.join(folder, file), {key: whole[key] for key in part})
        with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as f:
            json.dump({"metadata": {}, "weight_map": {
                key: file for file, part in halves.items() for key in part}}, f)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    return folder


def same(found, expected, who):
    assert sorted(found) == sorted(expected), (who, sorted(found), sorted(expected))
    for name, array in expected.items():
        bits = np.ascontiguousarray(array).view(np.uint8)
        other = np.ascontiguousarray(found[name]).view(np.uint8)
        assert found[name].shape == array.shape, (who, name, found[name].shape, array.shape)
        assert (bits == other).all(), (who, name)


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def compiled(name, folder, more):
    out = os.path.join(HOME, name + ".moec")
    done = run("moe-compile", "--hf-config", folder, "--target", "cpu", "--isa",
               "x86-64", "--tokens", "4", "-o", out, *more)
    assert done.returncode == 0, done.stderr
    return out


def run_in_python(name, directory, saved, weights):
    """The layer takes what read_experts gives, and does with it what moe-run did."""
    inputs = {key: np.array(array) for key, array in read(saved).items()
              if key in ("x", "topk_ids", "topk_weights")}
    with moec.load(directory) as layer:
        result = layer(**inputs, **weights)
    expected = np.load(os.path.join(HOME, name + ".npy"))
    assert (result.view(np.uint8) == expected.view(np.uint8)).all(), name
    assert (result.view(np.uint16) & 0x7fff).any(), name


def check_layouts():
    for name, (make, block, options) in LAYOUTS.items():
        config, tensors, expected = make()
        folder = save(name, config, block, tensors)
        more = ["--dtype", options["dtype"]] if options else []
        layer = compiled(name, folder, more)
        saved = os.path.join(HOME, name + ".safetensors")
        done = run("moe-run", layer, "--checkpoint", folder, "--tokens", "3", "--check",
                   "--save-inputs", saved, "--output", os.path.join(HOME, name + ".npy"))
        assert done.returncode == 0, (name, done.stdout, done.stderr)
        arguments = {key: array for key, array in read(saved).items()
                     if key not in ("x", "topk_ids", "topk_weights")}
        same(arguments, expected, name + " by moe-run")
        same(moec.read_experts(folder, **options), expected, name + " by Python")
        same(moec.read_experts(folder, layer=1, **options), expected, name + " by Python")
        run_in_python(name, layer, saved, moec.read_experts(folder, **options))
        print(name, "ok")


# What is wrong, with what both readers must say of it.

def poke(name, index, value):
    def change(config, tensors):
        tensors[name][index] = value
    return change


def drop(name):
    return lambda config, tensors: tensors.pop(name)


def put(name, function):
    def change(config, tensors):
        tensors[name] = function(tensors[name])
    return change


GATE = "experts.2.gate_proj"
BAD = [
    ("plain", drop(GATE + ".weight"), r"layers.1.mlp.experts.2.gate_proj.weight' is missing"),
    ("plain", put(GATE + ".weight", lambda a: a[:-1]),
     r"gate_proj.weight' is BF16\[127, ?\d+\], BF16\[128, ?256\] is needed"),
    ("plain", put(GATE + ".weight", lambda a: a.view(np.float16)), r"is F16\[128, ?256\], BF16\["),
    ("plain", lambda config, tensors: config.update(num_experts=E - 1),
     r"experts.3.down_proj' exists, but the layer has 3 experts"),
    ("fused", put("experts.down_proj", lambda a: a[:2]),
     r"down_proj' is BF16\[2, ?256, ?128\], BF16\[4, ?256, ?128\] is needed"),
    ("fp8-block", drop(GATE + ".weight_scale_inv"), r"weight_scale_inv' is missing"),
    ("fp8-block", put(GATE + ".weight_scale_inv", lambda a: np.repeat(a, 128, 0)),
     r"weight_scale_inv' is F32\[128, ?2\], F32\[1, ?2\] is needed"),
    ("fp8-block", poke(GATE + ".weight_scale_inv", (0, 1), np.nan), r"scale at \[0, 1\] is NaN"),
    ("fp8-block", poke(GATE + ".weight_scale_inv", (0, 1), np.inf), r"at \[0, 1\] is infinite"),
    ("fp8-block", poke(GATE + ".weight_scale_inv", (0, 0), 0), r"scale at \[0, 0\] is 0"),
    ("fp8-block", poke(GATE + ".weight_scale_inv", (0, 0), -1), r"scale at \[0, 0\] is negative"),
    ("fp8-block", lambda config, tensors: config.update(moe_intermediate_size=192),
     r"192 .*not a multiple of the .*128"),
    ("gptq", poke(GATE + ".g_idx", 3, 1),
     r"g_idx': entry 3 is 1, groups of 128 in order need 0; act-order \(desc_act\) is not"),
    ("gptq", poke(GATE + ".qzeros", (1, 2), 0x77777776),
     r"qzeros': the zero point of row 16, group 1 is 7, dtype w4a16-g128 has 8 everywhere"),
    ("gptq", put(GATE + ".scales", lambda a: np.repeat(a, 2, 0)),
     r"scales' is F16\[4, ?128\], F16\[2, ?128\] is needed"),
    ("gptq", poke(GATE + ".scales", (1, 5), np.float16("nan")), r"scale at \[1, 5\] is NaN"),
    ("gptq", put(GATE + ".qweight", lambda a: a[:-1]),
     r"qweight' is I32\[31, ?128\], I32\[32, ?128\] \(GPTQ\) or I32\[256, ?16\] \(AWQ\) is needed"),
    ("awq", poke(GATE + ".scales", (0, 7), 0), r"scale at \[0, 7\] is 0"),
    ("gpt-oss", poke("experts.down_proj_scales", (3, 9, 2), 255), r"scale at \[3, 9, 2\] is NaN"),
    ("gpt-oss", put("experts.gate_up_proj_blocks", lambda a: a[:, :, :-1]),
     r"gate_up_proj_blocks' is U8\[4, ?256, ?7, ?16\], U8\[4, ?256, ?8, ?16\] is needed"),
    ("gpt-oss", drop("experts.down_proj_bias"), r"down_proj_bias' is missing"),
]


def refused(name, folder, message):
    layer = os.path.join(HOME, name + ".moec")
    done = run("moe-run", layer, "--checkpoint", folder, "--tokens", "1")
    pattern = message.replace(r", ?", ", ")
    assert done.returncode == 1 and re.search(pattern, done.stderr), (name, done.stderr, pattern)
    assert done.stderr.count("\n") == 1, done.stderr
    try:
        moec.read_experts(folder)
    except (ValueError, KeyError) as error:
        assert re.search(pattern, str(error)), (name, str(error), pattern)
    else:
        raise AssertionError((name, "read", message))


def check_bad():
    for name, change, message in BAD:
        make, block, _ = LAYOUTS[name]
        config, tensors, _ = make()
        # What other tests have made stays as it was.
        tensors = {key: array.copy() for key, array in tensors.items()}
        change(config, tensors)
        refused(name, save(name, config, block, tensors), message)
    # Files and indices.
    config, tensors, _ = plain()
    folder = save("plain", config, "mlp", tensors)
    index = os.path.join(folder, "model.safetensors.index.json")
    with open(os.path.join(folder, "b.safetensors"), "rb+") as file:
        file.truncate(os.path.getsize(file.name) - 5000)
    refused("plain", folder, r"truncated")
    save("plain", config, "mlp", tensors)
    with open(index, encoding="utf-8") as file:
        good = file.read()
    for bad, message in ((good.replace("a.safetensors", "../a.safetensors"), "no plain name"),
                         (good.replace('"b.safe', '"a.safe'), "not in the file, as the index says"),
                         ('{"map": {}}', "has no object 'weight_map'")):
        with open(index, "w", encoding="utf-8") as file:
            file.write(bad)
        refused("plain", folder, message)
    os.remove(index)
    layer = os.path.join(HOME, "plain.moec")
    # Without an index all files are looked at.
    done = run("moe-run", layer, "--checkpoint", folder, "--tokens", "2", "--check")
    assert done.returncode == 0, done.stderr
    shutil.copy(os.path.join(folder, "a.safetensors"), os.path.join(folder, "c.safetensors"))
    refused("plain", folder, r"is in a.safetensors and in c.safetensors")
    for file in "abc":
        os.remove(os.path.join(folder, file + ".safetensors"))
    refused("plain", folder, "no .safetensors file is in it")
    # Another layer, and another one's weights.
    save("plain", config, "mlp", tensors)
    done = run("moe-run", layer, "--checkpoint", folder, "--layer", "7", "--tokens", "1")
    assert "layer 7 has no experts; layers 1 to 1 have" in done.stderr, done.stderr
    done = run("moe-run", os.path.join(HOME, "gpt-oss.moec"), "--checkpoint", folder, "--tokens", "1")
    assert "is read from tensors of all experts" in done.stderr, done.stderr
    done = run("moe-run", os.path.join(HOME, "fused.moec"), "--checkpoint", folder, "--tokens", "1")
    assert "has nothing for argument 'shared_w1'" in done.stderr, done.stderr
    done = run("moe-run", layer, "--layer", "1", "--tokens", "1")
    assert "--layer is one of a --checkpoint" in done.stderr, done.stderr
    print("bad ones ok")


check_layouts()
check_bad()
