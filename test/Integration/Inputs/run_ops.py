"""Compiles and runs the chains of ops.py against the reference.

usage: run_ops.py FOLDER GROUP ISA [--reference]
"""

import batch
import ops
import shapes


def generate(folder, group):
    for name, text in ops.GROUPS[group]():
        path = batch.write(folder, name, text)
        yield f"{path} --tokens {','.join(map(str, shapes.TOKENS))} --check"


if __name__ == "__main__":
    batch.main(generate)
