# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Artifacts as callables on NumPy arrays and PyTorch tensors."""

import ctypes
import json
import os
import threading
import weakref
from ctypes import byref
from typing import NamedTuple, Optional, Tuple

import numpy as np

from . import _dtypes, _library, _pool, _torch


class Argument(NamedTuple):
    """A tensor of the layer's interface."""

    name: str
    dtype: str
    role: str  #: "input" or "output"
    optional: bool
    align: int  #: bytes
    shape: Tuple[str, ...]  #: as in the manifest, e.g. ("T", "2048")


class Variant(NamedTuple):
    """One compiled form of the layer. None = unknown."""

    target: str
    isa: str
    code: str
    tokens: Tuple[int, Optional[int]]  #: first and last, None = unbounded
    runnable: bool
    launches: int
    config: Tuple[str, ...]
    registers: Optional[int]
    shared_memory: Optional[int]
    spills: Optional[int]


class RunStats(NamedTuple):
    """What the last run of this thread did. variant is None if nothing had to be launched."""

    variant: Optional[int]
    launches: int
    workers: int
    workspace_bytes: int
    seconds: float
    kernel_seconds: float


def load(directory, *, isa=None, function=None, pool=None, manifest_only=False, target=None):
    """Opens the artifact `directory` as a Layer.

    isa: use no instruction set above this one.
    function: an entry of the manifest's "functions" in the place of the layer.
    pool: a moec.Pool; None = one for the process, with a worker per CPU.
    manifest_only: for looking at an artifact that cannot run here.
    target: "cpu", "cuda", "cuda:N", "hip" or "hip:N": open for that machine now. None: for the CPU if the
      artifact has code for one, and for a GPU when the first tensor on it is passed.
    """
    return Layer(directory, isa=isa, function=function, pool=pool, manifest_only=manifest_only,
                 target=target)


class Layer:
    """An opened artifact; see `load`.

    Calling it takes the inputs in the manifest's order, or by name, and returns the output
    (a tuple if there are several). Optional inputs may be None. Keywords:
      out: array, or dict of name to array, that outputs are written to; default: new ones.
      tokens: the token count; default: taken from the shapes.
    Arrays are checked, never converted or copied: element type, shape, row-major order.

    Given PyTorch tensors on a GPU it runs there: it enqueues its kernels on the current stream,
    waits for nothing and may be captured by torch.cuda.graph. A further keyword is then
      device_tokens: a tensor with the real token count, at most `tokens`, read by the kernels.
      workspace: a torch.uint8 tensor of workspace_size(tokens) bytes to use instead of memory from PyTorch.
      launches: a range of the variant's launches, to enqueue these only and time kernels alone;
        a complete run with the same arguments and workspace must have gone before.

    Several threads may call one layer at the same time; each keeps a workspace of its own. On a
    GPU it is PyTorch's allocator that keeps it, for each stream.
    """

    def __init__(self, directory, *, isa=None, function=None, pool=None, manifest_only=False,
                 target=None):
        self.directory = os.fspath(directory)
        self._library = _library.library()
        self._isa = isa
        self._function = function
        self._target = target
        self._pool = pool
        self._thread = threading.local()
        self._lock = threading.Lock()
        self._finalizers = []
        #: Handles by target.
        self._opened = {}
        self._devices = {}
        #: How the token count follows from shapes; made when first needed.
        self._token_dims = None
        self._manifest_only = manifest_only
        flags = _library.OPEN_MANIFEST_ONLY if manifest_only else 0
        try:
            handle = self._open_target(target, flags)
        except _library.Error as error:
            if target is not None or error.status != "MOEC_ERR_UNSUPPORTED":
                raise
            handle = self._open_target(None, _library.OPEN_MANIFEST_ONLY)
            if not self._is_for_gpus(handle):
                raise
        self._handle = handle
        #: The manifest as a dict.
        self.manifest = json.loads(self._library.moec_manifest(handle))
        #: The layer's or function's name.
        self.name = self._library.moec_layer_name(handle).decode()
        #: E, k, H, I, ... as in the manifest.
        self.dims = dict(self.manifest["layer"].get("dims") or {})
        entry = self.manifest
        if function is not None:
            entry = next(f for f in entry["functions"] if f["name"] == function)
        self._entry = entry
        #: All Arguments, in order.
        self.arguments = tuple(self._argument(i, raw)
                               for i, raw in enumerate(entry["arguments"]))
        self._packed_by = {raw["name"]: raw.get("packed_by") for raw in entry["arguments"]}
        #: All Variants, in order.
        self.variants = tuple(self._variant(i)
                              for i in range(self._library.moec_variant_count(handle)))
        self._index = {argument.name: i for i, argument in enumerate(self.arguments)}
        if target is not None and target.startswith(("cuda", "hip")):
            self._opened[self.target] = handle
        self.inputs = tuple(a.name for a in self.arguments if a.role == "input")
        self.outputs = tuple(a.name for a in self.arguments if a.role == "output")

    def _open_target(self, target, flags=0):
        """A handle for this machine, closed with the layer."""
        handle = self._opened.get(target)
        if handle is not None:
            return handle
        options = _library.OpenOptions(
            struct_size=ctypes.sizeof(_library.OpenOptions),
            isa=None if self._isa is None else self._isa.encode(),
            function=None if self._function is None else self._function.encode(),
            flags=flags, target=None if target is None else target.encode())
        handle = ctypes.c_void_p()
        _library.call("moec_open", os.fsencode(self.directory), byref(options), byref(handle))
        self._finalizers.append(weakref.finalize(self, self._library.moec_close, handle))
        if target is not None and target != "cpu":
            self._opened[target] = handle
        return handle

    def _is_for_gpus(self, handle):
        """Whether there is code for NVIDIA GPUs and none for CPUs."""
        targets = [self._raw_variant(handle, i).target
                   for i in range(self._library.moec_variant_count(handle))]
        return b"cpu" not in targets and any(name.startswith(b"sm_") for name in targets)

    def _raw_variant(self, handle, index):
        info = _library.VariantInfo(struct_size=ctypes.sizeof(_library.VariantInfo))
        _library.call("moec_variant", handle, index, byref(info))
        return info

    def _argument(self, index, raw):
        info = _library.ArgumentInfo(struct_size=ctypes.sizeof(_library.ArgumentInfo))
        _library.call("moec_argument", self._handle, index, byref(info))
        return Argument(info.name.decode(), self._library.moec_dtype_name(info.dtype).decode(),
                        "output" if info.role else "input", bool(info.optional), info.align,
                        tuple(_size_text(size) for size in raw["shape"]))

    def _variant(self, index):
        info = self._raw_variant(self._handle, index)
        config = []
        for entry in range(info.configs):
            text = ctypes.c_char_p()
            _library.call("moec_variant_config", self._handle, index, entry, byref(text))
            config.append(text.value.decode())
        known = [None if n < 0 else n for n in (info.tokens_hi, info.registers,
                                                info.shared_memory, info.spills)]
        return Variant(info.target.decode(), info.isa.decode(), info.code.decode(),
                       (info.tokens_lo, known[0]), bool(info.runnable), info.launches,
                       tuple(config), *known[1:])

    # Queries.

    def shape(self, name, tokens):
        """The shape of an argument for this many tokens."""
        dims = (ctypes.c_int64 * _library.MAX_RANK)()
        index = self._index_of(name)
        _library.call("moec_argument_shape", self._open(), index, tokens, dims,
                      _library.MAX_RANK)
        return tuple(dims[:len(self.arguments[index].shape)])

    def select(self, tokens):
        """Index of the variant that runs this many tokens; None: nothing to launch."""
        index = ctypes.c_int32()
        _library.call("moec_select_variant", self._runner(), tokens, byref(index))
        return None if index.value < 0 else index.value

    def workspace_size(self, tokens):
        """Bytes of scratch memory of one run on this layer's pool or GPU."""
        size = ctypes.c_uint64()
        handle = self._runner()
        pool = None if self._on_gpu(handle) else self.pool.handle
        _library.call("moec_workspace_size", handle, pool, tokens, byref(size))
        return size.value

    def device_tokens(self, tokens):
        """The type, "i32" or "i64", in which kernels for this many tokens read the real count.

        None if they do not.
        """
        for variant in self._entry["variants"]:
            low, high = variant["tokens"]
            if not variant["target"].startswith("sm_") or tokens < low or (
                    high is not None and tokens > high):
                continue
            for launch in variant["launches"]:
                for argument in launch["args"]:
                    if argument.get("device_tokens") is not None:
                        return argument["device_tokens"]
        return None

    @property
    def target(self):
        """Where queries and calls with arrays go: "cpu", "cuda:0", ...; "" if nowhere yet."""
        return self._library.moec_layer_target(self._open()).decode()

    def function(self, name):
        """A function of the same artifact as a Layer."""
        return Layer(self.directory, isa=self._isa, function=name, pool=self._pool,
                     target=self._target)

    def pack(self, name, *inputs, **named):
        """Argument `name` in the layout its kernels want, from the plain tensors.

        Runs the function that the manifest names for it; for weights, once after loading.
        """
        self._index_of(name)
        if self._packed_by[name] is None:
            raise TypeError(f"{self.name}: '{name}' is not packed, pass it as it is")
        with self.function(self._packed_by[name]) as function:
            return function(*inputs, **named)

    @property
    def pool(self):
        """The moec.Pool this layer runs on."""
        return self._pool if self._pool is not None else _pool.default()

    @property
    def stats(self):
        """RunStats of this thread's last run, None before the first."""
        stats = getattr(self._thread, "stats", None)
        if stats is None:
            return None
        return RunStats(None if stats.variant < 0 else stats.variant, stats.launches,
                        stats.workers, stats.workspace_bytes, stats.nanoseconds * 1e-9,
                        stats.kernel_nanoseconds * 1e-9)

    # Life.

    def close(self):
        """Unloads the code. No run may be under way."""
        for finalizer in self._finalizers:
            finalizer()
        self._handle = None
        self._devices = {}
        self._opened = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        arguments = ", ".join(f"{a.name}: {a.dtype}[{', '.join(a.shape)}]"
                              for a in self.arguments)
        return f"<moec.Layer {self.name}({arguments})>"

    def _open(self):
        if self._handle is None:
            raise ValueError(f"{self.name}: the layer is closed")
        return self._handle

    def _on_gpu(self, handle):
        return self._library.moec_layer_target(handle).startswith((b"cuda", b"hip"))

    def _runner(self):
        """The handle that answers what depends on where the layer runs."""
        handle = self._open()
        if self._manifest_only or self._library.moec_layer_target(handle):
            return handle
        with self._lock:
            return next(iter(self._opened.values()), None) or self._open_target(_torch.gpu_kind())

    def _device(self, index):
        """The layer on this GPU, opened when first needed."""
        if self._manifest_only:
            raise _library.Error("MOEC_ERR_INVALID_ARGUMENT", f"{self.name}: only the manifest was "
                                 "opened, nothing can run")
        found = self._devices.get(index)
        if found is None:
            with self._lock:
                self._open()
                if index not in self._devices:
                    self._devices[index] = _torch.Device(self, index)
                found = self._devices[index]
        return found

    def _index_of(self, name):
        if name not in self._index:
            raise TypeError(f"{self.name} has no argument '{name}', only "
                            + ", ".join(self._index))
        return self._index[name]

    # Running.

    def __call__(self, *inputs, out=None, tokens=None, device_tokens=None, workspace=None,
                 launches=None, **named):
        self._open()
        arrays = self._bind(inputs, out, named)
        if any(_torch.is_tensor(array) for array in arrays.values()):
            index = _torch.device_of(self, arrays)
            if tokens is None:
                tokens = self._tokens_of(arrays)
            self._thread.stats = self._device(index).run(arrays, tokens, device_tokens, workspace,
                                                         launches)
        else:
            for name, value in (("device_tokens", device_tokens), ("workspace", workspace),
                                ("launches", launches)):
                if value is not None:
                    raise TypeError(f"{self.name}: {name} is for tensors on a GPU")
            if self.target != "cpu" and not self._manifest_only:
                raise TypeError(f"{self.name}: this layer runs on GPUs; pass PyTorch tensors that "
                                "are on one")
            self._check_arrays(arrays)
            if tokens is None:
                tokens = self._tokens_of(arrays)
            self._make_outputs(arrays, tokens)
            self._run([arrays.get(a.name) for a in self.arguments], tokens)
        results = tuple(arrays[name] for name in self.outputs)
        return results[0] if len(results) == 1 else results

    def _bind(self, inputs, out, named):
        """Arrays by argument name; every input that must be there is."""
        if len(inputs) > len(self.inputs):
            raise TypeError(f"{self.name} takes {len(self.inputs)} inputs, "
                            f"{len(inputs)} were given")
        arrays = dict(zip(self.inputs, inputs))
        for name, array in named.items():
            if name in arrays:
                raise TypeError(f"{self.name}: input '{name}' was given twice")
            if self.arguments[self._index_of(name)].role == "output":
                raise TypeError(f"{self.name}: '{name}' is an output; pass it as out=")
            arrays[name] = array
        if out is not None:
            if not isinstance(out, dict):
                if len(self.outputs) != 1:
                    raise TypeError(f"{self.name} has {len(self.outputs)} outputs; pass out= as "
                                    "a dict of name to array")
                out = {self.outputs[0]: out}
            for name, array in out.items():
                if self.arguments[self._index_of(name)].role != "output":
                    raise TypeError(f"{self.name}: '{name}' is not an output")
                arrays[name] = array
        arrays = {name: array for name, array in arrays.items() if array is not None}
        for argument in self.arguments:
            if argument.role == "input" and not argument.optional and argument.name not in arrays:
                raise TypeError(f"{self.name}: input '{argument.name}' is missing")
        return arrays

    def _check_arrays(self, arrays):
        """Refuses what the C interface cannot see."""
        for argument in self.arguments:
            array = arrays.get(argument.name)
            if array is None:
                continue
            if not isinstance(array, np.ndarray):
                raise TypeError(f"{self.name}: '{argument.name}' must be a NumPy array, is "
                                f"{type(array).__name__}")
            if not _dtypes.accepts(argument.dtype, array.dtype):
                raise TypeError(f"{self.name}: '{argument.name}' is {array.dtype}, must be "
                                + _dtypes.describe(argument.dtype))
            if argument.role == "output" and not array.flags.writeable:
                raise ValueError(f"{self.name}: output '{argument.name}' is read-only")

    def _find_token_dims(self):
        """(dimension, size at 0, step) of an argument's dimensions that grow evenly with T."""
        if not any(self.shape(name, 0) != self.shape(name, 1 << 20) for name in self._index):
            return None
        found = {}
        for name in self._index:
            at = [self.shape(name, tokens) for tokens in (0, 1, 2)]
            found[name] = [(dim, zero, one - zero) for dim, (zero, one, two) in enumerate(zip(*at))
                           if one > zero and two - one == one - zero]
        return found

    def _tokens_of(self, arrays):
        """The token count of the first dimension that grows evenly with it."""
        if self._token_dims is None:
            # A list, since None says that nothing depends on it.
            self._token_dims = [self._find_token_dims()]
        if self._token_dims[0] is None:
            # A function that packs weights, say.
            return 1
        for name, array in arrays.items():
            for dim, zero, step in self._token_dims[0][name]:
                if dim >= array.ndim:
                    continue
                tokens, rest = divmod(array.shape[dim] - zero, step)
                if rest or tokens < 0:
                    raise ValueError(
                        f"{self.name}: dimension {dim} of '{name}' is {array.shape[dim]}, must "
                        f"be {self.arguments[self._index[name]].shape[dim]} for some T")
                return tokens
        raise TypeError(f"{self.name}: no shape tells the token count; pass tokens=")

    def _make_outputs(self, arrays, tokens):
        for argument in self.arguments:
            if argument.role != "output" or argument.name in arrays:
                continue
            dtype = _dtypes.result_type(argument.dtype)
            # Results come in the type that inputs of the same kind have.
            for other in self.arguments:
                if other.dtype == argument.dtype and other.name in arrays:
                    dtype = arrays[other.name].dtype
                    break
            arrays[argument.name] = aligned_empty(self.shape(argument.name, tokens), dtype,
                                                  max(argument.align, _library.WORKSPACE_ALIGN))

    def _run(self, arrays, tokens):
        tensors = (_library.Tensor * max(len(arrays), 1))()
        keep = []
        for tensor, array, argument in zip(tensors, arrays, self.arguments):
            tensor.dtype = _dtypes.number(argument.dtype)
            if array is None:
                continue
            if array.size and any(stride % array.itemsize for stride in array.strides):
                raise ValueError(f"{self.name}: the strides {array.strides} of '{argument.name}' "
                                 f"are no multiples of its {array.itemsize}-byte elements")
            dims = (ctypes.c_int64 * max(array.ndim, 1))(*array.shape)
            strides = (ctypes.c_int64 * max(array.ndim, 1))(
                *(stride // array.itemsize for stride in array.strides))
            keep += [dims, strides]
            tensor.data = array.ctypes.data if array.size else None
            tensor.rank = array.ndim
            tensor.dims = dims
            tensor.strides = strides
        size = self.workspace_size(tokens)
        workspace = self._workspace(size)
        stats = _library.Stats(struct_size=ctypes.sizeof(_library.Stats))
        _library.call("moec_run", self._open(), self.pool.handle, tensors, len(arrays), tokens,
                      workspace.ctypes.data if size else None, size, byref(stats))
        self._thread.stats = stats

    def _workspace(self, size):
        """This thread's scratch memory, grown when needed."""
        workspace = getattr(self._thread, "workspace", None)
        if workspace is None or workspace.nbytes < size:
            self._thread.workspace = None
            workspace = aligned_empty((size,), np.uint8, _library.WORKSPACE_ALIGN)
            self._thread.workspace = workspace
        return workspace


def aligned_empty(shape, dtype, align):
    """A new array whose data lie on a multiple of `align` bytes."""
    dtype = np.dtype(dtype)
    count = 1
    for size in shape:
        count *= size
    memory = np.empty(count * dtype.itemsize + align, np.uint8)
    offset = -memory.ctypes.data % align
    return memory[offset:offset + count * dtype.itemsize].view(dtype).reshape(shape)


def _size_text(size):
    if not isinstance(size, dict):
        return str(size)
    text = f"{size.get('T') or 0}*T + {size.get('const') or 0}"
    return f"ceil(({text}) / {size['div']})" if (size.get("div") or 1) != 1 else text
