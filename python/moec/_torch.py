# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layers on PyTorch tensors. PyTorch is imported by the caller, never from here."""

import ctypes
import sys
import threading
import weakref
from ctypes import byref

from . import _dtypes, _library

# Name in the manifest: names in torch of the types that may be passed, the first of which
# results have.
TYPES = {
    "f64": ("float64",), "f32": ("float32",), "f16": ("float16",), "bf16": ("bfloat16",),
    "f8E4M3FN": ("float8_e4m3fn", "uint8"), "f8E5M2": ("float8_e5m2", "uint8"),
    "f8E4M3FNUZ": ("float8_e4m3fnuz", "uint8"), "f8E5M2FNUZ": ("float8_e5m2fnuz", "uint8"),
    "f8E8M0FNU": ("float8_e8m0fnu", "uint8"), "i8": ("int8", "uint8"), "u8": ("uint8", "int8"),
    "i16": ("int16",), "i32": ("int32",), "i64": ("int64",), "bool": ("bool",),
}
# Plans that a thread keeps, at most.
LIMIT = 1024


def module():
    """The torch module, None if the program has not imported it."""
    return sys.modules.get("torch")


def gpu_kind():
    """What the run time calls the GPUs that PyTorch calls "cuda", AMD's included."""
    return "hip" if getattr(getattr(module(), "version", None), "hip", None) else "cuda"


def is_tensor(value):
    torch = module()
    return torch is not None and isinstance(value, torch.Tensor)


def accepted(name):
    """The torch.dtypes that may be passed for a manifest's element type."""
    torch = module()
    return tuple(getattr(torch, known) for known in TYPES[name] if hasattr(torch, known))


def describe(name):
    """What to pass for this element type, for messages."""
    return f"{name} ({' or '.join('torch.' + known for known in TYPES[name])})"


class Plan:
    """What all runs of one thread with one token count have in common."""

    def __init__(self, layer, handle, tokens):
        count = len(layer.arguments)
        self.shapes = [layer.shape(argument.name, tokens) for argument in layer.arguments]
        self.tensors = (_library.Tensor * max(count, 1))()
        self.dims = []
        for tensor, argument, shape in zip(self.tensors, layer.arguments, self.shapes):
            dims = (ctypes.c_int64 * max(len(shape), 1))(*shape)
            self.dims.append(dims)
            tensor.dtype = _dtypes.number(argument.dtype)
            tensor.rank = len(shape)
            tensor.dims = dims
        size = ctypes.c_uint64()
        _library.call("moec_workspace_size", handle, None, tokens, byref(size))
        self.workspace = size.value


class Device:
    """A layer opened for one GPU."""

    def __init__(self, layer, index):
        # The layer owns this object.
        self.layer = weakref.proxy(layer)
        self.index = index
        self.handle = layer._open_target(f"{gpu_kind()}:{index}")
        self.types = [accepted(argument.dtype) for argument in layer.arguments]
        self.thread = threading.local()
        self.device = module().device("cuda", index)
        # What inductor and Triton use; the public way makes a Stream object first.
        self.raw_stream = getattr(getattr(module(), "_C", None), "_cuda_getCurrentRawStream",
                                  None)

    def stream(self):
        """The current stream of this device as an integer."""
        if self.raw_stream is not None:
            return self.raw_stream(self.index)
        return module().cuda.current_stream(self.device).cuda_stream

    def plan(self, tokens):
        plans = self.thread.__dict__
        found = plans.get(tokens)
        if found is None:
            if len(plans) >= LIMIT:
                plans.clear()
            found = plans[tokens] = Plan(self.layer, self.handle, tokens)
        return found

    def workspace(self, size):
        """Scratch memory until the end of what is queued now.

        PyTorch keeps what was freed by size and stream, so that the next run on this stream gets
        the same memory, and for a graph that is being captured takes the graph's own.
        """
        return module().empty(size, dtype=module().uint8, device=self.device)

    def run(self, arrays, tokens, device_tokens, workspace=None, launches=None):
        """Fills in the outputs that are missing from `arrays` and enqueues the layer.

        `launches`: a range, to enqueue these launches only.
        """
        layer = self.layer
        plan = self.plan(tokens)
        tensors = plan.tensors
        keep = None
        for i, argument in enumerate(layer.arguments):
            array = arrays.get(argument.name)
            if array is None:
                if argument.role == "input":
                    tensors[i].data = None
                    continue
                array = arrays[argument.name] = module().empty(
                    plan.shapes[i], dtype=self._result_type(i, arrays), device=self.device)
            elif array.dtype not in self.types[i]:
                raise TypeError(f"{layer.name}: '{argument.name}' is {array.dtype}, must be "
                                + describe(argument.dtype))
            elif array.device != self.device:
                raise ValueError(f"{layer.name}: '{argument.name}' is on {array.device}, others "
                                 f"are on {self.device}")
            elif array.shape != plan.shapes[i] or not array.is_contiguous():
                # The run time says what is wrong with it.
                if keep is None:
                    keep = []
                    tensors = (_library.Tensor * len(tensors))(*tensors)
                dims = (ctypes.c_int64 * max(array.dim(), 1))(*array.shape)
                strides = (ctypes.c_int64 * max(array.dim(), 1))(*array.stride())
                keep += [dims, strides]
                tensors[i].rank, tensors[i].dims, tensors[i].strides = array.dim(), dims, strides
            tensors[i].data = array.data_ptr() or None
        stream = self.stream()
        if workspace is not None and workspace.dtype != module().uint8:
            raise TypeError(f"{layer.name}: workspace is {workspace.dtype}, must be torch.uint8")
        if workspace is None and plan.workspace:
            workspace = self.workspace(plan.workspace)
        stats = _library.Stats(struct_size=ctypes.sizeof(_library.Stats))
        name, part = "moec_run_on_stream", ()
        if launches is not None:
            name, part = "moec_run_part_on_stream", (launches.start, len(launches))
        _library.call(name, self.handle, tensors, len(layer.arguments), tokens,
                      workspace.data_ptr() if workspace is not None else None,
                      workspace.numel() if workspace is not None else 0, stream,
                      self._real_tokens(device_tokens, tokens), *part, byref(stats))
        return stats

    def _result_type(self, index, arrays):
        """Results come in the type that inputs of the same kind have."""
        for other in self.layer.arguments:
            if other.dtype == self.layer.arguments[index].dtype and other.name in arrays:
                return arrays[other.name].dtype
        return self.types[index][0]

    def _real_tokens(self, device_tokens, tokens):
        if device_tokens is None:
            return None
        layer = self.layer
        if not is_tensor(device_tokens) or device_tokens.device != self.device:
            raise TypeError(f"{layer.name}: device_tokens must be a tensor on {self.device}")
        kind = layer.device_tokens(tokens)
        if kind is not None and (device_tokens.numel() != 1
                                 or device_tokens.dtype != getattr(module(), TYPES[kind][0])):
            raise TypeError(f"{layer.name}: device_tokens must be one {describe(kind)}, is "
                            f"{device_tokens.dtype}{list(device_tokens.shape)}")
        return device_tokens.data_ptr()


def device_of(layer, arrays):
    """The index of the GPU that the tensors are on."""
    for name, array in arrays.items():
        if not is_tensor(array):
            raise TypeError(f"{layer.name}: '{name}' must be a torch.Tensor like the others, is "
                            f"{type(array).__name__}")
    for name, array in arrays.items():
        if array.device.type != "cuda":
            raise TypeError(f"{layer.name}: '{name}' is on {array.device}; pass tensors of a GPU, "
                            "or NumPy arrays for the CPU")
        return array.device.index
    raise TypeError(f"{layer.name}: no tensor was passed")
