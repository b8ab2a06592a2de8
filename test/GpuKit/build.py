# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Collects the GPU kit: build.py SOURCE BUILD KIT [ARTIFACT...] [--kernels ARTIFACT...]
[--sweep FOLDER...] [--probes FOLDER]

The run time, the Python package, this folder's programs and the artifacts (folders with a
manifest.json, or folders of such folders), in KIT, which may be copied to any Linux host. Those
behind --kernels are single products for `run kernels`, those behind --sweep were written by
sweep.py for `run sweep`, the one behind --probes by moe-compile --probes for `run calibrate`.
"""

import os
import shutil
import sys

LIMIT = 60 << 20


def artifacts(folder):
    """The artifacts that a path means."""
    if os.path.exists(os.path.join(folder, "manifest.json")):
        return [folder]
    inside = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    found = [path for path in inside if os.path.exists(os.path.join(path, "manifest.json"))]
    if not found:
        sys.exit(f"gpu-kit: no manifest.json in {folder} or below it")
    return found


def choose(given):
    """The artifacts of some paths, each with a name of its own."""
    chosen = [path for folder in given for path in artifacts(folder)]
    names = [os.path.basename(os.path.abspath(path)) for path in chosen]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        sys.exit(f"gpu-kit: two artifacts are called {', '.join(twice)}")
    return chosen


def copy_python(source, target):
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))


def size_of(folder):
    return sum(os.path.getsize(os.path.join(place, name))
               for place, _, names in os.walk(folder) for name in names)


def main(source, build, kit, *given):
    groups, kind = {"": [], "--kernels": [], "--sweep": [], "--probes": []}, ""
    for word in given:
        if word in groups:
            kind = word
        else:
            groups[kind].append(word)
    chosen, kernels = choose(groups[""]), choose(groups["--kernels"])
    sweeps = groups["--sweep"]
    for path in sweeps:
        if not os.path.exists(os.path.join(path, "sweep.json")):
            sys.exit(f"gpu-kit: no sweep.json in {path}")
    if len(groups["--probes"]) > 1:
        sys.exit("gpu-kit: one folder of probes at a time")
    for path in groups["--probes"]:
        if not os.path.exists(os.path.join(path, "manifest.json")):
            sys.exit(f"gpu-kit: no manifest.json in {path}")
    # Made beside it: a kit is whole or it is not there.
    part = kit + ".part"
    shutil.rmtree(part, ignore_errors=True)
    here = os.path.dirname(os.path.abspath(__file__))
    os.makedirs(os.path.join(part, "artifacts"))
    copy_python(os.path.join(source, "python", "moec"), os.path.join(part, "python", "moec"))
    copy_python(os.path.join(here, "gpukit"), os.path.join(part, "python", "gpukit"))
    library = "libmoec_runtime.so.1"
    shutil.copy(os.path.realpath(os.path.join(build, "lib", library)),
                os.path.join(part, "python", "moec", library))
    shutil.copy(os.path.join(here, "run"), part)
    shutil.copy(os.path.join(source, "LICENSE"), part)
    for folder, paths in (("artifacts", chosen), ("kernels", kernels), ("sweeps", sweeps)):
        for path in paths:
            name = os.path.basename(os.path.abspath(path))
            shutil.copytree(path, os.path.join(part, folder, name))
    for path in groups["--probes"]:
        shutil.copytree(path, os.path.join(part, "probes"))
    size = size_of(part)
    if size > LIMIT:
        shutil.rmtree(part)
        sys.exit(f"gpu-kit: {size / 2 ** 20:.1f} MiB, more than {LIMIT >> 20} MiB")
    shutil.rmtree(kit, ignore_errors=True)
    os.rename(part, kit)
    more = f", {len(kernels)} kernels" if kernels else ""
    more += f", {len(sweeps)} sweeps" if sweeps else ""
    print(f"{kit}: {len(chosen)} artifacts{more}, {size / 2 ** 20:.1f} MiB; {kit}/run check, "
          f"{kit}/run bench" + (f", {kit}/run kernels" if kernels else "")
          + (f", {kit}/run sweep" if sweeps else "")
          + (f", {kit}/run calibrate" if groups["--probes"] else ""))


main(*sys.argv[1:])
