# RUN: %python %s %moec_src
"""Rules that every file of the tree keeps; each violation is one line."""

import os
import re
import shutil
import subprocess
import sys

ROOT = sys.argv[1]
CODE = (".cpp", ".h", ".c", ".td")
TEXT = CODE + (".py", ".mlir", ".test", ".md", ".txt", ".cmake", ".in", ".json", ".map", "dev", "run")
SPDX = "SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception"
# Paths of somebody's machine; the parts are joined so that this file is clean.
MACHINE = re.compile("|".join(["/wo" + "rk/", "/ho" + "me/[a-z]", "/ro" + "ot/"]))


def files():
    for folder, folders, names in os.walk(ROOT):
        # Whatever is not tracked: builds, caches, version control.
        folders[:] = [f for f in folders
                      if f not in (".git", "__pycache__", "out", ".cache")
                      and not f.startswith("build")]
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(TEXT) and not os.path.islink(path):
                yield os.path.relpath(path, ROOT)


def check(path, text):
    """Yields the complaints about one file."""
    parts = path.split(os.sep)
    inputs = "Inputs" in parts
    # The precompiled header is a list of includes, no source of its own.
    if path.endswith(CODE) and not inputs and parts[0] != "cmake" and SPDX not in text[:600]:
        yield f"{path}: no SPDX line in its header"
    for number, line in enumerate(text.splitlines(), 1):
        if line != line.rstrip() and not inputs:
            yield f"{path}:{number}: trailing white space"
        if "\t" in line:
            yield f"{path}:{number}: tab"
        if MACHINE.search(line):
            yield f"{path}:{number}: a path of one machine"
    if text and not text.endswith("\n"):
        yield f"{path}: no newline at the end"
    if parts[0] == "tools" and path.endswith(".cpp") and text.count("\n") >= 100:
        yield f"{path}: {text.count(chr(10))} lines; what a tool does belongs in a library"


def unformatted(paths):
    """Complaints of clang-format, where it is installed."""
    tool = shutil.which("clang-format-22")
    if not tool:
        return []
    done = subprocess.run([tool, "--dry-run", *paths], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    found = re.findall(r"^(\S+?):\d+:\d+: (?:warning|error):", done.stderr, re.M)
    return [f"{path}: not as clang-format writes it (./dev format)"
            for path in sorted(set(found))]


def self_test():
    """Each rule, broken once, is seen."""
    bad = "int a; \n\tint b;\n// /ho" + "me/me/x\nint c;"
    complaints = "\n".join(check("lib/x.cpp", bad))
    for word in ("SPDX", ":1: trailing", ":2: tab", ":3: a path", "no newline"):
        assert word in complaints, (word, complaints)
    assert any("library" in c for c in check("tools/t/t.cpp", "\n" * 100))
    assert not list(check("lib/x.cpp", f"// {SPDX}\nint a;\n"))


self_test()
paths = sorted(files())
assert len(paths) > 100, "the walk lost the tree"
complaints = []
for path in paths:
    with open(os.path.join(ROOT, path), encoding="utf-8") as source:
        complaints += check(path, source.read())
complaints += unformatted(
    [p for p in paths if p.endswith((".cpp", ".h", ".c")) and not p.startswith("cmake")])
print("\n".join(complaints))
sys.exit(1 if complaints else 0)
