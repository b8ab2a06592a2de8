# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Experts of Hugging Face checkpoints as the arguments of a layer; see docs/checkpoints.md."""

import json
import os
import re

import numpy as np

from ._dtypes import from_bf16, to_bf16

# Of .safetensors: the NumPy type. What NumPy lacks comes as bits.
TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16,
         "F8_E4M3": np.uint8, "F8_E5M2": np.uint8, "F8_E8M0": np.uint8, "F4": np.uint8,
         "I8": np.int8, "U8": np.uint8, "I16": np.int16, "U16": np.uint16, "I32": np.int32,
         "U32": np.uint32, "I64": np.int64, "U64": np.uint64, "BOOL": np.bool_}
PLAIN = {"f32": "F32", "f16": "F16", "bf16": "BF16"}
EXPERT = re.compile(r"(.*?)layers\.(\d+)\.(mlp|block_sparse_moe|feed_forward)\.experts\.")
# Nibbles of an AWQ word hold these columns of eight.
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
# Nibbles of a word in the exllama packing hold these values of eight.
EXLLAMA_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
# These multiply from the right: [E, K, N].
TRANSPOSED = ("gpt_oss", "qwen3_vl_moe")


class Tensor:
    """One tensor of a file: type, shape and mapped bytes."""

    def __init__(self, where, kind, shape, data):
        self.where, self.kind, self.shape, self.data = where, kind, tuple(shape), data

    def array(self):
        return self.data.view(TYPES[self.kind]).reshape(self.shape)

    def expect(self, kind, shape):
        if self.kind != kind or self.shape != tuple(shape):
            raise ValueError(f"{self.where} is {self.kind}{list(self.shape)}, {kind}{list(shape)} "
                             "is needed")
        return self.array()


def read_file(path):
    """{name: Tensor} of a .safetensors file."""
    size = os.path.getsize(path)
    data = np.memmap(path, np.uint8, "r") if size else np.zeros(0, np.uint8)
    if size < 8:
        raise ValueError(f"{path}: truncated, {size} bytes, the preamble takes 8")
    header = int(data[:8].view("<u8")[0])
    if header > size - 8:
        raise ValueError(f"{path}: truncated, the header takes {header} bytes, {size - 8} are "
                         "there")
    try:
        entries = json.loads(bytes(data[8:8 + header]))
    except ValueError as error:
        raise ValueError(f"{path}: header: {error}") from None
    entries.pop("__metadata__", None)
    tensors = {}
    for name, entry in entries.items():
        where = f"{path}: tensor '{name}'"
        kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if kind not in TYPES:
            raise ValueError(f"{where}: unknown dtype {kind}")
        wanted = int(np.prod(shape, dtype=object)) * np.dtype(TYPES[kind]).itemsize
        if kind == "F4":
            wanted //= 2
        if end > size - 8 - header:
            raise ValueError(f"{where}: its data ends at {end}, {size - 8 - header} bytes are "
                             "there (truncated file?)")
        if end - begin != wanted:
            raise ValueError(f"{where}: {kind}{shape} takes {wanted} bytes, data_offsets span "
                             f"{end - begin}")
        # A copy where the format's lack of alignment would show.
        tensors[name] = Tensor(where, kind, shape,
                               np.array(data[8 + header + begin:8 + header + end]))
    return tensors


class Checkpoint:
    """The tensors of a directory, by name; files are opened when they are wanted."""

    def __init__(self, directory):
        self.directory = os.fspath(directory)
        self.opened = {}
        names = sorted(os.listdir(self.directory))
        indices = [name for name in names if name.endswith(".safetensors.index.json")]
        if "model.safetensors.index.json" in indices:
            indices = ["model.safetensors.index.json"]
        if len(indices) > 1:
            raise ValueError(f"{self.directory}: two indices, {indices[0]} and {indices[1]}")
        self.files = {}
        if indices:
            path = os.path.join(self.directory, indices[0])
            with open(path, encoding="utf-8") as file:
                self.files = json.load(file).get("weight_map")
            if not isinstance(self.files, dict):
                raise ValueError(f"{path}: has no object 'weight_map'")
            for name, file in self.files.items():
                if not isinstance(file, str) or os.path.basename(file) != file or not file:
                    raise ValueError(f"{path}: weight_map: '{file}', the file of '{name}', is no "
                                     "plain name of a file")
        for file in () if indices else names:
            if file.endswith(".safetensors"):
                for name in self.open(file):
                    if name in self.files:
                        raise ValueError(f"{self.directory}: tensor '{name}' is in "
                                         f"{self.files[name]} and in {file}")
                    self.files[name] = file
        if not self.files:
            raise ValueError(f"{self.directory}: no .safetensors file is in it")
        with open(os.path.join(self.directory, "config.json"), encoding="utf-8") as file:
            whole = json.load(file)
        inner = whole.get("text_config", whole)
        self.model = inner.get("model_type", whole.get("model_type", "")).removesuffix("_text")
        self.config = inner
        self.quantization = (whole.get("quantization_config") or inner.get("quantization_config")
                             or {})

    def open(self, file):
        if file not in self.opened:
            self.opened[file] = read_file(os.path.join(self.directory, file))
        return self.opened[file]

    def __contains__(self, name):
        return name in self.files

    def __getitem__(self, name):
        if name not in self.files:
            raise KeyError(f"{self.directory}: tensor '{name}' is missing")
        tensors = self.open(self.files[name])
        if name not in tensors:
            raise KeyError(f"{os.path.join(self.directory, self.files[name])}: tensor '{name}' is "
                           "not in the file, as the index says")
        return tensors[name]

    def prefix(self, layer):
        """(layer, "model.layers.3.mlp.")."""
        found = {}
        for name in self.files:
            match = EXPERT.match(name)
            if match and (not match[1] or match[1].endswith(".")):
                found.setdefault(int(match[2]), set()).add(
                    f"{match[1]}layers.{match[2]}.{match[3]}.")
        if not found:
            raise ValueError(f"{self.directory}: no tensor is called like one of an expert "
                             "(layers.N.mlp.experts...)")
        if layer is None:
            layer = min(found)
        if layer not in found:
            raise ValueError(f"{self.directory}: layer {layer} has no experts; layers "
                             f"{min(found)} to {max(found)} have")
        prefixes = sorted(found[layer])
        if len(prefixes) > 1:
            prefixes = [prefix for prefix in prefixes if prefix.startswith("model.")]
        if len(prefixes) != 1:
            raise ValueError(f"{self.directory}: layer {layer} stands there under {len(prefixes)} "
                             "prefixes that begin with 'model.', one is needed")
        return layer, prefixes[0]

    def dtype(self):
        """The name of moe-compile --dtype that the configuration asks for."""
        quant = self.quantization
        method = quant.get("quant_method")
        if not quant:
            kind = self.config.get("dtype") or self.config.get("torch_dtype") or "bfloat16"
            return {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}[kind]
        if method == "mxfp4":
            return "mxfp4"
        if method == "fp8":
            block = quant.get("weight_block_size")
            if block is None:
                return "fp8-tensor"
            if list(block) == [128, 128]:
                return "fp8-block"
        if method in ("gptq", "awq") and quant.get("bits", 4) == 4:
            points = quant.get("zero_point", True) if method == "awq" else not quant.get("sym", True)
            name = f"w4a16-g{quant.get('group_size', 128)}" + ("-zp" if points else "")
            if name in ("w4a16-g128", "w4a16-g64", "w4a16-g32", "w4a16-g128-zp"):
                return name
        raise ValueError(f"{self.directory}: quantization_config {quant} has no dtype; give one")


def check_scales(tensor, values, positive):
    """Refuses scales that mean nothing."""
    wrong = ~np.isfinite(values) | (values == 0)
    if positive:
        wrong |= values < 0
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        value = values[index]
        text = ("NaN" if np.isnan(value) else "infinite" if np.isinf(value)
                else "0" if value == 0 else "negative")
        raise ValueError(f"{tensor.where}: the scale at {list(index)} is {text}")


def floats(tensor):
    array = tensor.array()
    return from_bf16(array) if tensor.kind == "BF16" else array.astype(np.float32)


def unpack(words, order=range(8)):
    """[..., n] words of eight nibbles as [..., n, 8] values in their places."""
    values = np.empty((*words.shape, 8), np.uint8)
    for place, at in enumerate(order):
        values[..., at] = words.view(np.uint32) >> (4 * place) & 15
    return values


def pack(codes, dtype):
    """Codes [N, K] as the dtype's packing has them."""
    if dtype.endswith("exllama"):
        groups = codes.reshape(codes.shape[0], -1, 8).astype(np.uint32)
        words = np.zeros(groups.shape[:2], np.uint32)
        for place, at in enumerate(EXLLAMA_ORDER):
            words |= groups[..., at] << np.uint32(4 * place)
        return words.view(np.int32)
    return (codes[:, 0::2] | codes[:, 1::2] << 4).view(np.int8)


class Reader:
    """Matrices of one checkpoint in the form of one dtype."""

    def __init__(self, checkpoint, dtype):
        self.checkpoint, self.dtype = checkpoint, dtype
        self.group = int(dtype.split("-g")[1].split("-")[0]) if dtype.startswith("w4a16") else None
        if not (dtype in PLAIN or dtype.startswith(("fp8-", "w4a16-")) or dtype == "mxfp4"):
            raise ValueError(f"no layout of checkpoints is known for dtype {dtype}")
        self.plain = dtype if dtype in PLAIN else "bf16"

    def stands(self, base):
        return base + ".weight" in self.checkpoint or base + ".qweight" in self.checkpoint

    def matrix(self, base, shape, shared=False):
        """{"": values, "_scale": ..., "_zero": ...} of one matrix [n, k]."""
        n, k = shape
        if self.dtype in PLAIN:
            return {"": self.checkpoint[base + ".weight"].expect(PLAIN[self.dtype], (n, k))}
        if self.dtype.startswith("fp8-"):
            return self.fp8(base, n, k)
        if self.dtype.startswith("w4a16-"):
            return self.int4(base, n, k, shared)
        raise ValueError(f"{self.checkpoint.directory}: '{base}': dtype {self.dtype} is read from "
                         "tensors of all experts (_blocks, _scales) only")

    def fp8(self, base, n, k):
        values = self.checkpoint[base + ".weight"].expect("F8_E4M3", (n, k))
        block = self.dtype == "fp8-block"
        tensor = self.checkpoint[base + (".weight_scale_inv" if block else ".weight_scale")]
        shape = {"fp8-block": (-(-n // 128), -(-k // 128)), "fp8-token": (n, 1),
                 "fp8-tensor": (1, 1)}[self.dtype]
        single = np.prod(shape) == 1 and all(extent == 1 for extent in tensor.shape)
        flat = shape[1] == 1 and tensor.shape == shape[:1]
        if tensor.kind not in ("F32", "BF16", "F16"):
            tensor.expect("F32", shape)
        if not single and not flat:
            tensor.expect(tensor.kind, shape)
        scales = floats(tensor)
        check_scales(tensor, scales, positive=True)
        return {"": values, "_scale": scales.reshape(shape)}

    def int4(self, base, n, k, shared):
        weight, zeros, scales = (self.checkpoint[base + name]
                                 for name in (".qweight", ".qzeros", ".scales"))
        if n % 8 or k % 8:
            raise ValueError(f"{weight.where}: a matrix of {n} x {k} is not packed by eight")
        if k % self.group:
            raise ValueError(f"{scales.where}: groups of {self.group} do not divide K = {k}")
        groups = k // self.group
        awq = weight.shape == (k, n // 8)
        if weight.kind != "I32" or not (awq or weight.shape == (k // 8, n)):
            raise ValueError(f"{weight.where} is {weight.kind}{list(weight.shape)}, "
                             f"I32{[k // 8, n]} (GPTQ) or I32{[k, n // 8]} (AWQ) is needed")
        points = zeros.expect("I32", (groups, n // 8))
        factors = scales.expect("BF16" if scales.kind == "BF16" else "F16", (groups, n))
        factors = from_bf16(factors) if scales.kind == "BF16" else factors.astype(np.float32)
        order = AWQ_ORDER if awq else range(8)
        if awq:
            codes = unpack(weight.array(), order).reshape(k, n).T
        else:
            self.check_order(base + ".g_idx", k)
            codes = unpack(weight.array()).transpose(1, 0, 2).reshape(n, k)
        check_scales(scales, factors, positive=False)
        offset = 0 if awq or self.checkpoint.quantization.get("checkpoint_format") == "gptq_v2" \
            else 1
        points = unpack(points, order).reshape(groups, n).T.astype(np.int8) + np.int8(offset)
        result = {"": pack(np.ascontiguousarray(codes), self.dtype),
                  "_scale": to_bf16(np.ascontiguousarray(factors.T))}
        if self.dtype.endswith("-zp") and not shared:
            result["_zero"] = np.ascontiguousarray(points)
        elif (points != 8).any():
            row, group = (int(i) for i in np.argwhere(points != 8)[0])
            raise ValueError(f"{zeros.where}: the zero point of row {row}, group {group} is "
                             f"{points[row, group]}, dtype {self.dtype} has 8 everywhere")
        return result

    def check_order(self, name, k):
        if name not in self.checkpoint:
            return
        tensor = self.checkpoint[name]
        order = tensor.expect("I32", (k,))
        wanted = np.arange(k) // self.group
        if (order != wanted).any():
            at = int(np.argmax(order != wanted))
            raise ValueError(f"{tensor.where}: entry {at} is {order[at]}, groups of {self.group} "
                             f"in order need {wanted[at]}; act-order (desc_act) is not supported")

    def gate_up(self, gate, up, shape, shared=False):
        """Two matrices [n, k], the gate on top."""
        n, k = shape
        if self.dtype == "fp8-block" and n % 128:
            raise ValueError(f"{self.checkpoint.directory}: '{gate}' has {n} rows, not a multiple "
                             "of the 128 that share a scale, so that it cannot stand above the up "
                             "projection")
        upper, lower = (self.matrix(base, (n, k), shared) for base in (gate, up))
        if self.dtype == "fp8-tensor":
            if upper["_scale"] != lower["_scale"]:
                raise ValueError(
                    f"{self.checkpoint.directory}: '{gate}' has the scale "
                    f"{upper['_scale'].item():f}, its up projection has "
                    f"{lower['_scale'].item():f}; dtype fp8-tensor has one for both")
            return {"": np.concatenate([upper[""], lower[""]]), "_scale": upper["_scale"]}
        return {name: np.concatenate([upper[name], lower[name]]) for name in upper}

    def fused(self, name, sizes):
        """A tensor of all experts [E, N, K]."""
        if self.dtype == "mxfp4":
            values, scales = self.checkpoint[name + "_blocks"], self.checkpoint[name + "_scales"]
            experts, n, k = sizes
            if k % 32:
                raise ValueError(f"{self.checkpoint.directory}: '{name}_blocks': blocks of 32 do "
                                 f"not divide K = {k}")
            blocks = values.expect("U8", (experts, n, k // 32, 16))
            factors = scales.expect("U8", (experts, n, k // 32))
            if (factors == 255).any():
                index = [int(i) for i in np.argwhere(factors == 255)[0]]
                raise ValueError(f"{scales.where}: the scale at {index} is NaN")
            return {"": blocks.reshape(experts, n, k // 2).view(np.int8), "_scale": factors}
        if self.dtype not in PLAIN:
            raise ValueError(f"{self.checkpoint.directory}: '{name}' is of all experts; dtype "
                             f"{self.dtype} is read expert by expert only")
        tensor = self.checkpoint[name]
        experts, n, k = sizes
        crosswise = self.checkpoint.model in TRANSPOSED if n == k else tensor.shape == (
            experts, k, n)
        array = tensor.expect(PLAIN[self.dtype], (experts, k, n) if crosswise else sizes)
        return {"": np.ascontiguousarray(array.transpose(0, 2, 1)) if crosswise else array}


def read_experts(directory, layer=None, dtype=None):
    """The arguments w1, w1_scale, w2, b1, ... of one decoder layer, by name.

    `layer`: its number; None: the first that has experts. `dtype`: how the layer stores its
    weights, a name of moe-compile --dtype; None: what config.json says. Raises ValueError or
    KeyError, which name the tensor and both numbers; nothing is converted but what
    docs/checkpoints.md says.
    """
    checkpoint = Checkpoint(directory)
    reader = Reader(checkpoint, dtype or checkpoint.dtype())
    layer, prefix = checkpoint.prefix(layer)
    config = checkpoint.config
    experts = next(config[key] for key in ("num_local_experts", "num_experts", "n_routed_experts")
                   if config.get(key))
    hidden = config["hidden_size"]
    inner = config.get("moe_intermediate_size") or config["intermediate_size"]
    base = prefix + "experts."
    result = {}

    def add(name, parts):
        result.update({name + suffix: array for suffix, array in parts.items()})

    if base + "gate_up_proj" in checkpoint or base + "gate_up_proj_blocks" in checkpoint:
        add("w1", reader.fused(base + "gate_up_proj", (experts, 2 * inner, hidden)))
        add("w2", reader.fused(base + "down_proj", (experts, hidden, inner)))
    else:
        names = ("gate_proj", "up_proj", "down_proj")
        if reader.stands(base + "0.w2"):
            names = ("w1", "w3", "w2")
        parts = [[], []]
        for expert in range(experts):
            gate, up, down = (f"{base}{expert}.{name}" for name in names)
            parts[0].append(reader.gate_up(gate, up, (inner, hidden)))
            parts[1].append(reader.matrix(down, (hidden, inner)))
        if reader.stands(f"{base}{experts}.{names[2]}"):
            raise ValueError(f"{checkpoint.directory}: '{base}{experts}.{names[2]}' exists, but the "
                             f"layer has {experts} experts")
        for name, list_ in zip(("w1", "w2"), parts):
            add(name, {suffix: np.stack([part[suffix] for part in list_]) for suffix in list_[0]})
    if checkpoint.model == "gpt_oss":
        for name, tensor, width in (("b1", "gate_up_proj_bias", 2 * inner),
                                    ("b2", "down_proj_bias", hidden)):
            result[name] = checkpoint[base + tensor].expect(PLAIN[reader.plain], (experts, width))
    width = config.get("shared_expert_intermediate_size") or (
        (config.get("n_shared_experts") or 0) * inner)
    if width:
        shared = prefix + "shared_expert."
        if not reader.stands(shared + "down_proj"):
            shared = prefix + "shared_experts."
        add("shared_w1", reader.gate_up(shared + "gate_proj", shared + "up_proj", (width, hidden),
                                        shared=True))
        add("shared_w2", reader.matrix(shared + "down_proj", (hidden, width), shared=True))
        if config.get("shared_expert_intermediate_size"):
            gate = checkpoint[prefix + "shared_expert_gate.weight"]
            result["shared_gate"] = gate.expect(PLAIN[reader.plain], (1, hidden)).reshape(hidden)
    return result
