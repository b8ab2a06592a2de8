"""Kills compilations at many moments; the artifact is whole or not there.

usage: interrupt.py DIRECTORY COUNT COMMAND ...

COMMAND is moe-compile without -o. First into a directory without the artifact,
then into one that has one of another dtype, which must stay or be replaced.
"""

import json
import os
import subprocess
import sys
import time


def state(path):
    """The dtype of a whole artifact, None for none."""
    if not os.path.exists(path):
        return None
    with open(os.path.join(path, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    files = {variant["code"] for variant in manifest["variants"]} | {"manifest.json", "layer.mlir"}
    # More files than these would be rests of another one.
    assert files == set(os.listdir(path)), (files, os.listdir(path))
    assert all(os.path.getsize(os.path.join(path, file)) for file in files)
    return manifest["layer"]["dims"]["dtype"]


def main(directory, count, *command):
    path = os.path.join(directory, "out")
    # What comes later takes what is made here from the cache: only then is a time one to divide.
    for dtype in ("f16", "f32", "f32"):
        begin = time.monotonic()
        subprocess.run([*command, "--dtype", dtype, "-o", path], check=True)
        whole = time.monotonic() - begin
    assert state(path) == "f32"
    fates = {"absent": 0, "kept": 0, "replaced": 0}
    for i in range(int(count)):
        fresh = i % 2 == 0
        target = os.path.join(directory, f"fresh{i}") if fresh else path
        before = state(target)
        dtype = "f16" if before == "f32" else "f32"
        # Most of the moments lie around the writing, at the end.
        delay = whole * (0.2 + i / int(count))
        process = subprocess.Popen([*command, "--dtype", dtype, "-o", target])
        try:
            process.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        after = state(target)
        assert after in (before, dtype), (before, after)
        fates["replaced" if after == dtype else "absent" if after is None else "kept"] += 1
    assert sum(fates.values()) == int(count) and fates["absent"] + fates["kept"] > 0, fates
    print("interrupted, never in pieces")


main(*sys.argv[1:])
