"""Runs command lines of moe-run in one process."""

import os
import subprocess
import sys


def run(folder, lines, isa, rest):
    """Appends what all lines share; workers alternate between one and three.
    Prints nothing but failures and the last line; returns the exit status."""
    path = os.path.join(folder, "batch.txt")
    limit = [] if isa == "native" else ["--isa", isa]
    with open(path, "w", encoding="utf-8") as file:
        for number, line in enumerate(lines):
            words = [line, "--workers", str(1 + number % 2 * 2), *limit, *rest]
            file.write(" ".join(words) + "\n")
    done = subprocess.run(["moe-run", "--batch", path], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    output = done.stdout.splitlines()
    passed = sum(line.startswith("  check ") and line.endswith(" ok") for line in output)
    for line in output[:-1]:
        if not (line.startswith("  check ") and line.endswith(" ok")) and (
                line.startswith("  check ") or "error" in line or "failed" in line):
            print(line)
    print(f"{passed} checks passed, {output[-1] if output else 'no output'}")
    return done.returncode


def write(folder, name, text):
    """Writes a module; its path."""
    path = os.path.join(folder, name + ".mlir")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def main(generate):
    """Runs generate(folder, *arguments up to the instruction set)."""
    count = generate.__code__.co_argcount - 1
    folder, *words = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    lines = list(generate(folder, *words[:count]))
    sys.exit(run(folder, lines, words[count], words[count + 1:]))
