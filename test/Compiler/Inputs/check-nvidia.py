"""Checks the NVIDIA variants of artifacts.

usage: check-nvidia.py SOURCE ARTIFACT ...

Prints for each variant: target, tokens, the kinds of its files, its kernels
with their resources.
"""

import json
import os
import sys

from json_schema import matches


def check(schema, directory):
    with open(os.path.join(directory, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    assert matches(manifest, schema, schema), directory
    listed = {"manifest.json", "layer.mlir"}
    for variant in manifest["variants"]:
        listed |= {name for name in (variant["code"], variant.get("ptx")) if name}
        if not variant["target"].startswith("sm_"):
            continue
        with open(os.path.join(directory, variant["ptx"]), encoding="utf-8") as file:
            ptx = file.read()
        assert f".target {variant['target']}" in ptx
        kinds = ["ptx"]
        if variant["code"]:
            with open(os.path.join(directory, variant["code"]), "rb") as file:
                code = file.read()
            assert code[:4] == b"\x7fELF" and int.from_bytes(code[18:20], "little") == 190, variant["code"]
            kinds.append("cubin")
        names = []
        for launch in variant["launches"]:
            assert f".visible .entry {launch['kernel']}(" in ptx, launch["kernel"]
            if variant["code"]:
                assert launch["kernel"].encode() in code
            own = launch["resources"]
            known = [value is not None for value in own.values()]
            assert all(known) if variant["code"] else not any(known), launch
            names.append(f"{launch['kernel']}({own['registers']}, {own['shared_memory']}, {own['spills']})")
        print(os.path.basename(directory), variant["target"], variant["tokens"], *kinds, *names)
    assert set(os.listdir(directory)) == listed, (directory, os.listdir(directory), listed)


def main(source, *directories):
    with open(source + "/docs/manifest.schema.json", encoding="utf-8") as file:
        schema = json.load(file)
    for directory in directories:
        check(schema, directory)


main(*sys.argv[1:])
