# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Losses that --explain tells must not grow from one text to the next on the standard input."""

import re
import sys

losses = [float(text) for text in re.findall(r"the largest predicted loss is ([0-9.]+) %",
                                             sys.stdin.read())]
assert len(losses) == 2 and losses[1] <= losses[0], losses
