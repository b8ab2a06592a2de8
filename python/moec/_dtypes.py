# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Element types: which arrays may be passed for which argument."""

import numpy as np

# Name in the manifest: number in moec_dtype, NumPy type of results, further types accepted.
# The last are names, since ml_dtypes may not be installed.
TABLE = {
    "f64": (0, np.float64, ()),
    "f32": (1, np.float32, ()),
    "f16": (2, np.float16, ()),
    "bf16": (3, np.uint16, ("bfloat16",)),
    "f8E4M3FN": (4, np.uint8, ("float8_e4m3fn",)),
    "f8E5M2": (5, np.uint8, ("float8_e5m2",)),
    "f8E4M3FNUZ": (6, np.uint8, ("float8_e4m3fnuz",)),
    "f8E5M2FNUZ": (7, np.uint8, ("float8_e5m2fnuz",)),
    "f8E8M0FNU": (8, np.uint8, ("float8_e8m0fnu",)),
    "i8": (9, np.int8, ("uint8",)),
    "u8": (10, np.uint8, ("int8",)),
    "i16": (11, np.int16, ()),
    "i32": (12, np.int32, ()),
    "i64": (13, np.int64, ()),
    "bool": (14, np.bool_, ()),
}


def number(name):
    """The moec_dtype of a manifest's name."""
    return TABLE[name][0]


def result_type(name):
    """The NumPy type of a result of this element type."""
    return np.dtype(TABLE[name][1])


def accepts(name, dtype):
    """Whether an array of NumPy type `dtype` may be passed for element type `name`."""
    _, plain, others = TABLE[name]
    return dtype.isnative and (dtype == np.dtype(plain) or dtype.name in others)


def describe(name):
    """What to pass for this element type, for messages."""
    _, plain, others = TABLE[name]
    names = [np.dtype(plain).name, *others]
    hint = ", e.g. from moec.to_bf16" if name == "bf16" else ""
    return f"{name} ({' or '.join(names)}{hint})"


def to_bf16(array):
    """float32 values as bf16 bits (uint16), rounded to nearest, ties to even."""
    values = np.ascontiguousarray(array, dtype=np.float32)
    bits = values.view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    # Rounding must not turn a NaN into an infinity: keep it, quiet.
    quiet = ((bits >> 16) | 0x40).astype(np.uint16)
    return np.where(np.isnan(values), quiet, rounded).reshape(np.shape(array))


def from_bf16(array):
    """bf16 bits (uint16) or an ml_dtypes.bfloat16 array as float32 values, exactly."""
    array = np.asarray(array)
    if array.dtype.name == "bfloat16":
        array = array.view(np.uint16)
    if array.dtype != np.uint16:
        raise TypeError(f"bf16 bits are uint16, not {array.dtype}")
    return (array.astype(np.uint32) << 16).view(np.float32)
