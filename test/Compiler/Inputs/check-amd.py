"""Checks an artifact with code for AMD GPUs.

usage: check-amd.py SOURCE ARTIFACT

Prints for each variant: target, what its code object says of chip and form, its
kernels.
"""

import json
import os
import sys

from json_schema import matches


def main(source, directory):
    with open(source + "/docs/manifest.schema.json", encoding="utf-8") as file:
        schema = json.load(file)
    with open(os.path.join(directory, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    assert matches(manifest, schema, schema), directory
    listed = {"manifest.json", "layer.mlir"}
    for variant in manifest["variants"]:
        listed.add(variant["code"])
        if not variant["target"].startswith("gfx"):
            continue
        assert "ptx" not in variant, variant
        with open(os.path.join(directory, variant["code"]), "rb") as file:
            code = file.read()
        # 64 bits, the ABI of AMD's HSA, a shared object for EM_AMDGPU.
        assert code[:5] == b"\x7fELF\x02" and code[7] == 64, variant["code"]
        assert int.from_bytes(code[16:18], "little") == 3 and int.from_bytes(code[18:20], "little") == 224
        flags = int.from_bytes(code[48:52], "little")
        names = []
        for launch in variant["launches"]:
            assert launch["kernel"].encode() + b".kd" in code
            own = launch["resources"]
            assert own["spills"] == own["scratch"] == 0 and own["registers"] > 0, launch
            assert variant["resources"]["waves_per_simd"] <= own["waves_per_simd"]
            names.append(launch["kernel"])
        print(variant["target"], f"EF_AMDGPU_MACH {flags & 255:#x} version {code[8] + 2}", *names)
    assert set(os.listdir(directory)) == listed, (os.listdir(directory), listed)


main(*sys.argv[1:])
