"""Compiles one model in every --dtype, runs the artifacts against the reference.

usage: run_dtypes.py FOLDER CONFIG ISA
"""

import os
import subprocess
import sys

import batch

# Every name of the list.
DTYPES = ("f32 bf16 f16 fp8-block fp8-token fp8-tensor w4a16-g128 w4a16-g128-exllama w4a16-g64 "
          "w4a16-g32 w4a16-g128-zp mxfp4 mxfp8 nvfp4 w8a8 w8a16").split()


def compile_model(folder, config, dtype):
    return subprocess.run(
        ["moe-compile", "--hf-config", config, "--dtype", dtype, "--target", "cpu", "--isa",
         "native", "--tokens", "16", "-o", os.path.join(folder, dtype)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def generate(folder, config):
    known = subprocess.run(
        ["moe-compile", "--hf-config", config, "--dtype", "?", "--target", "cpu", "-o", folder],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
    listed = set(known.split("known are:")[1].split())
    if listed != set(DTYPES):
        sys.exit(f"the compiler lists {sorted(listed)}")
    for dtype in DTYPES:
        done = compile_model(folder, config, dtype)
        if done.returncode:
            sys.exit(f"{dtype}: {done.stdout}")
        yield (f"{os.path.join(folder, dtype)} --tokens 0,1,7,33 --routing zipf1 --check "
               "--check-rows 0")


if __name__ == "__main__":
    batch.main(generate)
