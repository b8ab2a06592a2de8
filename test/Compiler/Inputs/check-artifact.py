"""Checks an artifact: its manifest, its files and the symbols of its code.

usage: check-artifact.py SOURCE NM READELF ARTIFACT ...

Prints one line per artifact: its instruction sets, token ranges, number of code
objects.
"""

import json
import os
import subprocess
import sys

from json_schema import matches

LIBM = set("acos acosh asin asinh atan atan2 atanh cbrt ceil cos cosh erf erfc exp exp2 expm1 fabs "
           "floor fma fmax fmin fmod frexp ldexp log log10 log1p log2 modf nearbyint pow rint round "
           "roundeven sin sinh sqrt tan tanh trunc".split())
LIBC = {"memcpy", "memmove", "memset", "memcmp"}


def lines(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()


def check(schema, nm, readelf, directory):
    with open(os.path.join(directory, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    assert matches(manifest, schema, schema), directory
    codes = {variant["code"] for variant in manifest["variants"]}
    assert set(os.listdir(directory)) == codes | {"manifest.json", "layer.mlir"}, directory
    kernels = {code: set() for code in codes}
    for variant in manifest["variants"]:
        kernels[variant["code"]] |= {launch["kernel"] for launch in variant["launches"]}
    for code in codes:
        path = os.path.join(directory, code)
        undefined = {line.split()[-1].split("@")[0] for line in lines(nm, "-D", "-u", path)}
        foreign = {name for name in undefined
                   if name not in LIBC | LIBM and not (name.endswith("f") and name[:-1] in LIBM)}
        assert not foreign, (path, foreign)
        defined = {line.split()[-1] for line in lines(nm, "-D", "--defined-only", path)}
        assert defined == kernels[code], (path, defined ^ kernels[code])
        needed = [line for line in lines(readelf, "-d", path) if "NEEDED" in line]
        assert all("libm.so.6" in line or "libc.so.6" in line for line in needed), (path, needed)
    ranges = sorted({str(variant["tokens"]) for variant in manifest["variants"]})
    isas = sorted({variant["isa"] for variant in manifest["variants"]})
    print(os.path.basename(directory), " ".join(isas), "tokens", " ".join(ranges), "code", len(codes))


def main(source, nm, readelf, *directories):
    with open(source + "/docs/manifest.schema.json", encoding="utf-8") as file:
        schema = json.load(file)
    for directory in directories:
        check(schema, nm, readelf, directory)


main(*sys.argv[1:])
