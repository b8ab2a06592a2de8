# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The converter of recorded ids with a PyTorch that is made up: topk-ids.py FOLDER"""

import os
import sys
import types

import numpy
from moec import topk_ids


class Tensor:
    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def numpy(self):
        return self.array


files = {"good": numpy.array([[1, 2], [3, -1]]), "flat": numpy.array([1, 2]),
         "floats": numpy.array([[1.5]]), "wide": numpy.array([[1 << 40]]), "low": numpy.array([[-2]])}
fake = types.ModuleType("torch")
fake.load = lambda path, **options: Tensor(files[os.path.basename(path)[:-3]])
sys.modules["torch"] = fake
folder = sys.argv[1]
assert topk_ids.main([f"{folder}/good.pt"]) == 0
back = numpy.load(f"{folder}/good.npy")
assert back.dtype == numpy.int32 and back.tolist() == [[1, 2], [3, -1]]
assert topk_ids.main([f"{folder}/good.pt", "-o", f"{folder}/new"]) == 0
assert numpy.load(f"{folder}/new/good.npy").shape == (2, 2)
for name, words in (("flat", "is no tensor [tokens, k]"), ("floats", "expert ids are integers"),
                    ("wide", "has values outside"), ("low", "has values outside")):
    try:
        topk_ids.convert(f"{folder}/{name}.pt", None, fake, numpy)
        raise AssertionError(name)
    except ValueError as error:
        assert words in str(error), error
    assert topk_ids.main([f"{folder}/{name}.pt"]) == 1
print("all right")
