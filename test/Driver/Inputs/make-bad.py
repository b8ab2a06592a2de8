"""Writes good and broken tensor files and modules into the folder argv[1]."""

import json
import os
import struct
import sys

import numpy as np

os.chdir(sys.argv[1])
random = np.random.default_rng(1)


def write(name, data):
    with open(name, "wb") as file:
        file.write(data)


x = random.standard_normal((4, 8), dtype=np.float32)
np.save("x.npy", x)
np.save("double.npy", x.astype(np.float64))
write("truncated.npy", open("x.npy", "rb").read()[:-5])
header = json.dumps({"x": {"dtype": "F32", "shape": [4, 8], "data_offsets": [0, 128]}}).encode()
header += b" " * (-len(header) % 8)
safetensors = struct.pack("<Q", len(header)) + header + x.tobytes()
write("x.safetensors", safetensors)
write("truncated.safetensors", safetensors[:-1])

ids = np.array([[0, 1], [2, 0], [1, 2], [-1, 2]], np.int32)
np.save("ids.npy", ids)
np.save("ids2.npy", ids[:2].astype(np.int64))
for name, place, value in (("large", (2, 1), 4), ("negative", (3, 0), -2)):
    broken = ids.copy()
    broken[place] = value
    np.save(name + ".npy", broken)

scale = np.ones((2, 2, 3), np.float32)
scale[1, 0, 2] = np.nan
np.save("scale.npy", scale)
np.save("map.npy", np.array([-1, 0, 1, 2, -1, 0], np.int32))

write("broken.mlir", b"func.func @f( {\n")
write("two.mlir", b"".join(b"func.func @f%d(%%x: tensor<?x4xf32>) -> tensor<?x4xf32> {\n"
                           b"  return %%x : tensor<?x4xf32>\n}\n" % i for i in (1, 2)))
