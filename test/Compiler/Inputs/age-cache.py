# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Makes all entries of a cache those of another format: age-cache.py FOLDER"""

import pathlib
import sys

entries = [path for path in pathlib.Path(sys.argv[1]).rglob("*") if path.is_file()]
assert entries
for path in entries:
    first, rest = path.read_bytes().split(b"\n", 1)
    assert first.endswith(b" 1"), first
    path.write_bytes(first[:-1] + b"0\n" + rest)
