# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""libmoec_runtime by ctypes: structures, prototypes, errors. Mirrors moec-c/Runtime.h."""

import ctypes
import threading
from ctypes import (POINTER, Structure, c_char_p, c_int32, c_int64, c_size_t, c_uint32,
                    c_uint64, c_void_p)
from pathlib import Path

ABI = 1
WORKSPACE_ALIGN = 64
MAX_RANK = 8
OPEN_MANIFEST_ONLY = 1
POOL_PIN = 1


class Error(RuntimeError):
    """A call that the run time refused. `status` is e.g. "MOEC_ERR_SHAPE"."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status

    def __reduce__(self):
        return Error, (self.status, str(self))


class Tensor(Structure):
    _fields_ = [("data", c_void_p), ("dtype", c_int32), ("rank", c_int32),
                ("dims", POINTER(c_int64)), ("strides", POINTER(c_int64))]


class OpenOptions(Structure):
    _fields_ = [("struct_size", c_size_t), ("isa", c_char_p), ("function", c_char_p),
                ("flags", c_uint32), ("target", c_char_p), ("driver", c_char_p)]


class ArgumentInfo(Structure):
    _fields_ = [("struct_size", c_size_t), ("name", c_char_p), ("dtype", c_int32),
                ("role", c_int32), ("optional", c_int32), ("rank", c_int32),
                ("align", c_int64)]


class VariantInfo(Structure):
    _fields_ = [("struct_size", c_size_t), ("target", c_char_p), ("isa", c_char_p),
                ("code", c_char_p), ("tokens_lo", c_int64), ("tokens_hi", c_int64),
                ("runnable", c_int32), ("launches", c_int32), ("configs", c_int32),
                ("registers", c_int64), ("shared_memory", c_int64), ("spills", c_int64)]


class Stats(Structure):
    _fields_ = [("struct_size", c_size_t), ("variant", c_int32), ("launches", c_int32),
                ("workers", c_int32), ("workspace_bytes", c_uint64), ("nanoseconds", c_uint64),
                ("kernel_nanoseconds", c_uint64)]


# Of functions that return a moec_status.
_CHECKED = {
    "moec_pool_create": [c_int32, c_uint32, POINTER(c_void_p)],
    "moec_open": [c_char_p, POINTER(OpenOptions), POINTER(c_void_p)],
    "moec_layer_dim": [c_void_p, c_char_p, POINTER(c_int64)],
    "moec_argument": [c_void_p, c_int32, POINTER(ArgumentInfo)],
    "moec_argument_shape": [c_void_p, c_int32, c_int64, POINTER(c_int64), c_int32],
    "moec_variant": [c_void_p, c_int32, POINTER(VariantInfo)],
    "moec_variant_config": [c_void_p, c_int32, c_int32, POINTER(c_char_p)],
    "moec_select_variant": [c_void_p, c_int64, POINTER(c_int32)],
    "moec_workspace_size": [c_void_p, c_void_p, c_int64, POINTER(c_uint64)],
    "moec_run": [c_void_p, c_void_p, POINTER(Tensor), c_int32, c_int64, c_void_p, c_uint64,
                 POINTER(Stats)],
    "moec_run_on_stream": [c_void_p, POINTER(Tensor), c_int32, c_int64, c_void_p, c_uint64,
                           c_void_p, c_void_p, POINTER(Stats)],
    "moec_run_part_on_stream": [c_void_p, POINTER(Tensor), c_int32, c_int64, c_void_p, c_uint64,
                                c_void_p, c_void_p, c_int32, c_int32, POINTER(Stats)],
}
# Of the others: result, arguments.
_PLAIN = {
    "moec_abi_version": (c_int32, []),
    "moec_version": (c_char_p, []),
    "moec_last_error": (c_char_p, []),
    "moec_status_name": (c_char_p, [c_int32]),
    "moec_dtype_name": (c_char_p, [c_int32]),
    "moec_dtype_size": (c_int64, [c_int32]),
    "moec_cpu_isa": (c_char_p, []),
    "moec_cpu_supports": (c_int32, [c_char_p]),
    "moec_pool_destroy": (None, [c_void_p]),
    "moec_pool_workers": (c_int32, [c_void_p]),
    "moec_close": (None, [c_void_p]),
    "moec_manifest": (c_char_p, [c_void_p]),
    "moec_layer_name": (c_char_p, [c_void_p]),
    "moec_layer_target": (c_char_p, [c_void_p]),
    "moec_argument_count": (c_int32, [c_void_p]),
    "moec_variant_count": (c_int32, [c_void_p]),
}

_lock = threading.Lock()
_library = None
_path = None


def set_library(path):
    """Use this libmoec_runtime.so. To be called before anything is loaded."""
    global _path
    with _lock:
        if _library is not None:
            raise RuntimeError("libmoec_runtime is loaded already")
        _path = str(path)


def _candidates():
    if _path is not None:
        return [_path]
    here = Path(__file__).resolve().parent
    name = "libmoec_runtime.so.1"
    found = [here / name]
    # Installed: PREFIX/share/moec/python/moec beside PREFIX/lib.
    if here.parts[-4:-1] == ("share", "moec", "python"):
        prefix = here.parents[3]
        found += [folder / name for folder in [prefix / "lib", *sorted(prefix.glob("lib*/*-*"))]]
    found = [str(path) for path in found if path.exists()]
    # Then as the system finds it, then this checkout's default build.
    return found + [name, str(here.parents[1] / "build" / "lib" / name)]


def _load():
    reasons = []
    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            reasons.append(str(error))
            continue
        library.moec_abi_version.restype = c_int32
        found = library.moec_abi_version()
        if found != ABI:
            raise ImportError(f"{path} has ABI {found}, this package needs {ABI}")
        for name, arguments in _CHECKED.items():
            getattr(library, name).argtypes = arguments
            getattr(library, name).restype = c_int32
        for name, (result, arguments) in _PLAIN.items():
            getattr(library, name).argtypes = arguments
            getattr(library, name).restype = result
        return library
    raise ImportError("libmoec_runtime.so.1 was not found; build it, or name it with "
                      "moec.set_library: " + "; ".join(reasons))


def library():
    """The loaded library."""
    global _library
    with _lock:
        if _library is None:
            _library = _load()
        return _library


def call(name, *arguments):
    """Calls a function of the table above; raises Error unless it returns MOEC_OK."""
    loaded = library()
    status = getattr(loaded, name)(*arguments)
    if status:
        raise Error(loaded.moec_status_name(status).decode(),
                    loaded.moec_last_error().decode(errors="replace"))


def version():
    """Version of libmoec_runtime."""
    return library().moec_version().decode()


def cpu_isa():
    """The highest instruction set of this machine, e.g. "avx512"."""
    return library().moec_cpu_isa().decode()


def cpu_supports(isa):
    """Whether code for this instruction set runs here."""
    return bool(library().moec_cpu_supports(isa.encode()))
