# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Recorded expert ids of PyTorch as files for moe-tune and moe-run.

    python -m moec.topk_ids topk_ids_layer3_idx0.pt [...] [-o DIR]

Each FILE.pt with one integer tensor [tokens, k] becomes FILE.npy (int32).
"""

import argparse
import os
import sys


def convert(path, folder, torch, numpy):
    """Writes the .npy file of one .pt file; its path. ValueError says what is wrong with it."""
    tensor = torch.load(path, map_location="cpu", weights_only=True)
    shape = tuple(getattr(tensor, "shape", ()))
    if len(shape) != 2 or not hasattr(tensor, "numpy"):
        raise ValueError(f"{path}: is no tensor [tokens, k]")
    array = numpy.asarray(tensor.numpy())
    if array.dtype.kind not in "iu":
        raise ValueError(f"{path}: has {array.dtype} values, expert ids are integers")
    if array.size and (array.min() < -1 or array.max() >= 2 ** 31):
        raise ValueError(f"{path}: has values outside [-1, 2^31)")
    name = os.path.splitext(os.path.basename(path))[0] + ".npy"
    target = os.path.join(folder or os.path.dirname(path), name)
    numpy.save(target, array.astype(numpy.int32))
    return target


def main(arguments):
    parser = argparse.ArgumentParser(prog="moec.topk_ids", description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("-o", "--out", help="folder; default: beside each file")
    options = parser.parse_args(arguments)
    try:
        import torch
    except ImportError:
        print("moec.topk_ids: .pt files are read by PyTorch, which is not installed",
              file=sys.stderr)
        return 1
    import numpy
    if options.out:
        os.makedirs(options.out, exist_ok=True)
    for path in options.files:
        try:
            print(convert(path, options.out, torch, numpy))
        except (OSError, ValueError, RuntimeError) as error:
            print(f"moec.topk_ids: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
