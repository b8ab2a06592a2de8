# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""vLLM's fused_experts on compiled layers."""

import threading

import numpy as np

from . import _dtypes, _torch
from ._layer import Layer

# vLLM's words for the operands of moe.fused_experts.
_NAMES = {
    "hidden_states": "x", "topk_weights": "topk_weights", "topk_ids": "topk_ids",
    "w1": "w1", "w2": "w2", "w1_scale": "w1_scale", "w2_scale": "w2_scale",
    "w1_zp": "w1_zero", "w2_zp": "w2_zero", "w1_bias": "b1", "w2_bias": "b2",
    "expert_map": "expert_map",
}
_ACTIVATIONS = {"silu": "swiglu", "gelu": "geglu", "gelu_tanh": "geglu_tanh",
                "swigluoai": "swiglu_oai"}

_lock = threading.Lock()
_layers = []


def register(layer):
    """Lets `fused_experts` choose this layer by the shapes and types of its arguments.

    Of several that fit, the one registered last is taken. Returns the layer.
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"register needs a moec.Layer, not {type(layer).__name__}")
    with _lock:
        _layers.insert(0, layer)
    return layer


def unregister(layer):
    """Undoes `register`."""
    with _lock:
        _layers.remove(layer)


def registered():
    """The registered layers, last one first."""
    with _lock:
        return tuple(_layers)


def _mismatch(layer, arrays, tokens):
    """Why the layer does not take these arrays; None if it does."""
    arguments = {argument.name: argument for argument in layer.arguments}
    for name in arrays:
        if name not in arguments or arguments[name].role != "input":
            return f"it has no input '{name}'"
    for name in layer.inputs:
        if name not in arrays:
            if not arguments[name].optional:
                return f"its input '{name}' is missing"
            continue
        shape = layer.shape(name, tokens)
        if tuple(arrays[name].shape) != shape:
            return f"'{name}' has shape {tuple(arrays[name].shape)}, must be {shape}"
        dtype = arguments[name].dtype
        if _torch.is_tensor(arrays[name]):
            if arrays[name].dtype not in _torch.accepted(dtype):
                return f"'{name}' is {arrays[name].dtype}, must be {_torch.describe(dtype)}"
        elif not _dtypes.accepts(dtype, arrays[name].dtype):
            return f"'{name}' is {arrays[name].dtype}, must be {_dtypes.describe(dtype)}"
    return None


def _choose(arrays, tokens):
    reasons = []
    for layer in registered():
        reason = _mismatch(layer, arrays, tokens)
        if reason is None:
            return layer
        reasons.append(f"{layer.name}: {reason}")
    if not reasons:
        raise LookupError("fused_experts: no layer is registered; pass layer= or use "
                          "moec.register(moec.load(directory))")
    raise LookupError("fused_experts: no registered layer fits: " + "; ".join(reasons))


def _expert_ids(ids, experts):
    """ids as int32. Wider ones are converted, on the CPU after a check that nothing is lost."""
    if _torch.is_tensor(ids):
        # A check would have to wait for the GPU.
        return ids.to(_torch.module().int32) if ids.dtype == _torch.module().int64 else ids
    if ids.dtype == np.int32 or ids.dtype.kind not in "iu":
        return ids
    if ids.size and (ids.min() < -1 or (experts and ids.max() >= experts)):
        raise ValueError(f"fused_experts: topk_ids are in [{ids.min()}, {ids.max()}], must be in "
                         f"[-1, {experts})")
    return ids.astype(np.int32)


def fused_experts(hidden_states, w1, w2, topk_weights, topk_ids, inplace=False,
                  activation="silu", apply_router_weight_on_input=False,
                  global_num_experts=-1, expert_map=None, w1_scale=None, w2_scale=None,
                  w1_zp=None, w2_zp=None, w1_bias=None, w2_bias=None, *, layer=None, out=None):
    """Runs a compiled layer with vLLM's argument order and names.

    layer: the moec.Layer to run; None: the registered one that takes these shapes and types.
    What was fixed at compile time (activation, where the router weight is applied, the number of
    experts) is compared with the layer, not obeyed. inplace writes the result over hidden_states.
    topk_ids may be int32 or int64.
    """
    given = {"hidden_states": hidden_states, "topk_weights": topk_weights, "topk_ids": topk_ids,
             "w1": w1, "w2": w2, "w1_scale": w1_scale, "w2_scale": w2_scale, "w1_zp": w1_zp,
             "w2_zp": w2_zp, "w1_bias": w1_bias, "w2_bias": w2_bias, "expert_map": expert_map}
    for name in ("hidden_states", "topk_weights", "topk_ids", "w1", "w2"):
        if given[name] is None:
            raise TypeError(f"fused_experts: {name} is None")
    arrays = {}
    for name, array in given.items():
        if array is None:
            continue
        if not isinstance(array, np.ndarray) and not _torch.is_tensor(array):
            raise TypeError(f"fused_experts: {name} must be a NumPy array or a PyTorch tensor, is "
                            f"{type(array).__name__}")
        arrays[_NAMES[name]] = array
    if inplace and out is not None:
        raise TypeError("fused_experts: inplace and out exclude each other")
    if hidden_states.ndim != 2:
        raise ValueError(f"fused_experts: hidden_states has rank {hidden_states.ndim}, must be "
                         "[tokens, hidden size]")
    tokens = hidden_states.shape[0]

    experts = layer.dims.get("E") if layer is not None else w1.shape[0] if w1.ndim else 0
    if expert_map is not None:
        experts = expert_map.shape[0] if expert_map.ndim else 0
    arrays["topk_ids"] = _expert_ids(topk_ids, experts)
    if layer is None:
        layer = _choose(arrays, tokens)
    else:
        reason = _mismatch(layer, arrays, tokens)
        if reason is not None:
            raise ValueError(f"fused_experts: layer {layer.name} does not fit: {reason}")

    _compare(layer, activation, apply_router_weight_on_input, global_num_experts)
    result = layer(out=out, tokens=tokens, **arrays)
    if inplace:
        hidden_states[...] = result
        return hidden_states
    return result


def _compare(layer, activation, on_input, global_num_experts):
    """What the caller asks for against what the layer was compiled for."""
    facts = layer.manifest["layer"]
    compiled = facts.get("activation")
    wanted = _ACTIVATIONS.get(activation, activation)
    if compiled is not None and wanted != compiled:
        raise ValueError(f"fused_experts: activation '{activation}' was asked for, layer "
                         f"{layer.name} was compiled with '{compiled}'")
    place = facts.get("weight_place")
    if place is not None and on_input != (place == "input"):
        raise ValueError(f"fused_experts: apply_router_weight_on_input={on_input}, layer "
                         f"{layer.name} was compiled with weight_place '{place}'")
    if place is None and on_input:
        raise ValueError(f"fused_experts: apply_router_weight_on_input=True, layer {layer.name} "
                         "does not say that it does so")
    experts = layer.dims.get("E")
    if global_num_experts != -1 and experts is not None and global_num_experts != experts:
        raise ValueError(f"fused_experts: global_num_experts is {global_num_experts}, layer "
                         f"{layer.name} has {experts}")
