"""Two processes write one artifact again and again while it is being run.

usage: two-writers.py DIRECTORY
"""

import os
import subprocess
import sys

ROUNDS = 5


def compile(path, dtype):
    return ["moe-compile", "--model", "tiny", "--dtype", dtype, "--target", "cpu", "--isa", "native",
            "--tokens", "16", "-o", path]


def run(path):
    """Runs what stands there. moe-run opens it twice, for the source and for the code; the
    artifact may be exchanged in between for one of the other dtype, which it must notice and say."""
    done = subprocess.run(["moe-run", path, "--tokens", "3", "--check"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    said = done.returncode == 1 and done.stderr.startswith("moe-run: error: ")
    assert done.returncode == 0 or said, (done.returncode, done.stderr)


def main(directory):
    path = os.path.join(directory, "out")
    subprocess.run(compile(path, "bf16"), check=True)
    for _ in range(ROUNDS):
        writers = [subprocess.Popen(compile(path, dtype), stderr=subprocess.PIPE)
                   for dtype in ("f32", "bf16", "f32")]
        while any(writer.poll() is None for writer in writers):
            run(path)
        for writer in writers:
            assert writer.returncode == 0, writer.stderr.read()
            writer.stderr.close()
    assert os.listdir(directory) == ["out"], os.listdir(directory)
    subprocess.run(["moe-run", path, "--tokens", "3", "--check"], check=True)


main(sys.argv[1])
