# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Recorded ids for 8 experts, top-2, with one mistake each: bad-ids.py FOLDER"""

import sys

import numpy as np


def write(name, ids):
    np.save(f"{sys.argv[1]}/{name}.npy", ids)


good = np.array([[0, 1], [2, 3], [0, 7], [0, 5], [6, 1]], dtype="int32")
large, negative = good.copy(), good.copy()
large[3, 1], negative[0, 0] = 8, -2
write("good", good)
write("large", large)
write("negative", negative)
write("three", np.zeros((4, 3), dtype="int32"))
write("nowhere", np.full((4, 2), -1, dtype="int32"))
write("floats", good.astype("float32"))
