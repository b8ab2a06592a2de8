"""Compiles and runs the chains of ops.py against the reference.

usage: run_ops.py FOLDER ISA [--reference]
"""

import os
import subprocess
import sys

import ops
import shapes


def main(folder, isa, *rest):
    os.makedirs(folder, exist_ok=True)
    lines = []
    for name, text in ops.all_functions():
        path = os.path.join(folder, name + ".mlir")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        lines.append(f"{path} --tokens {','.join(map(str, shapes.TOKENS))} --check --workers 2 "
                     f"--isa {isa} {' '.join(rest)}")
    batch = os.path.join(folder, "batch.txt")
    with open(batch, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return subprocess.run(["moe-run", "--batch", batch], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
