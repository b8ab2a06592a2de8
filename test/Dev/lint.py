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
# Lines of tests for each line of C++, at least.
MIN_TESTS = 0.6
# Paths of somebody's machine; the parts are joined so that this file is clean.
MACHINE = re.compile("|".join(["/wo" + "rk/", "/ho" + "me/[a-z]", "/ro" + "ot/"]))
# The project speaks of itself, not of how it came to be.
WORKSHOP = re.compile(r"(?i)\b(?:" + "|".join(
    ["(?:this|that|an|the|next|later|former) iss" + "ue", "iss" + r"ue #?\d",
     "(?:this|next|later|former|another) sess" + "ion", "help" + "ers?", "TO" + "DO", "FIX" + "ME"]) +
    r")\b")

# The floors of docs/architecture.md: a file includes what stands below its own, or
# a file of its own folder. What reads `Dialect/Moe` belongs to `Dialect`.
FLOORS = [["Support", "Runtime"], ["Target", "Routing"], ["CostModel", "TunedConfigs"], ["Dialect"],
          ["Conversion", "Frontend", "Reference", "Emulator", "Calibration"], ["Pipelines", "InitAll.h"], ["Compiler"],
          ["Driver", "CAPI"], ["Tuner"], ["tools"]]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def files():
    for folder, folders, names in os.walk(ROOT):
        # Whatever is not tracked: builds, caches, version control.
        folders[:] = [f for f in folders
                      if f not in (".git", "__pycache__", "out", ".cache", "gpu-kit")
                      and not f.startswith("build")]
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(TEXT) and not os.path.islink(path):
                yield os.path.relpath(path, ROOT)


def part_of(path):
    """The part of the tree that a source belongs to, None for one that is in no part."""
    parts = path.split(os.sep)
    if parts[:2] == ["include", "moec"] or parts[0] == "lib":
        return parts[2 if parts[0] == "include" else 1]
    if parts[:2] == ["include", "moec-c"]:
        return "Runtime"
    return "tools" if parts[0] == "tools" else None


def check_floors(path, text):
    """Yields the includes that lead upwards or sideways."""
    own = part_of(path)
    if own is None:
        return
    if own not in FLOOR:
        yield f"{path}: '{own}' has no floor"
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'#\s*include [<"](moec|moec-c)/([\w.]+)', line)
        if not match:
            continue
        other = "Runtime" if match[1] == "moec-c" else match[2]
        if other not in FLOOR:
            yield f"{path}:{number}: '{other}' has no floor"
        elif other != own and FLOOR[other] >= FLOOR[own] and other != "InitAll.h":
            yield f"{path}:{number}: '{own}' is not above '{other}'"
        elif other == "InitAll.h" and FLOOR[own] < FLOOR["InitAll.h"]:
            yield f"{path}:{number}: '{own}' is not above '{other}'"


def count_lines(paths):
    """Lines of the compiler's own C++, of its tests, and of its descriptions."""
    count = {"C++": 0, "TableGen": 0, "tests": 0, "Python": 0}
    for path in paths:
        parts = path.split(os.sep)
        with open(os.path.join(ROOT, path), encoding="utf-8") as source:
            lines = sum(1 for line in source if line.strip())
        if parts[0] == "test":
            count["tests"] += lines
        elif path.endswith((".cpp", ".h", ".c")) and parts[0] in ("lib", "include", "tools"):
            count["C++"] += lines
        elif path.endswith(".td"):
            count["TableGen"] += lines
        elif path.endswith(".py"):
            count["Python"] += lines
    return count


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
        if WORKSHOP.search(line) and path != "LICENSE":
            yield f"{path}:{number}: speaks of the workshop: {WORKSHOP.search(line)[0]}"
    if path.endswith(CODE):
        yield from check_floors(path, text)
        if text.count("\n") >= 900 and parts[0] != "test":
            yield f"{path}: {text.count(chr(10))} lines; one idea each"
    # Files of others stay as they are.
    if text and not text.endswith("\n") and "moe-configs" not in parts:
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
    assert any("workshop" in c for c in check("docs/x.md", "as this iss" + "ue wants\n"))

    def floors(path, header):
        return list(check(path, f'// {SPDX}\n#include "{header}"\n'))
    good = [("lib/Dialect/Moe/IR/x.cpp", "moec/Support/a.h"),
            ("lib/Dialect/Moe/IR/x.cpp", "moec/Dialect/MoeTile/a.h"),
            ("include/moec/Compiler/x.h", "moec-c/Runtime.h"),
            ("lib/Compiler/x.cpp", "moec/InitAll.h"), ("tools/t/t.cpp", "moec/Driver/a.h")]
    bad = [("lib/Support/x.cpp", "moec/Dialect/a.h"), ("lib/Runtime/x.cpp", "moec/Support/a.h"),
           ("lib/Frontend/x.cpp", "moec/Reference/a.h"), ("lib/Reference/x.cpp", "moec/InitAll.h"),
           ("lib/Nowhere/x.cpp", "moec/Support/a.h"), ("lib/Dialect/x.cpp", "moec/Nowhere/a.h")]
    for path, header in good:
        assert not floors(path, header), (path, header)
    for path, header in bad:
        assert floors(path, header), (path, header)
    assert not list(check("lib/Support/x.cpp", f"// {SPDX}\nint a;\n"))


self_test()
paths = sorted(files())
assert len(paths) > 100, "the walk lost the tree"
complaints = []
for path in paths:
    with open(os.path.join(ROOT, path), encoding="utf-8") as source:
        complaints += check(path, source.read())
complaints += unformatted(
    [p for p in paths if p.endswith((".cpp", ".h", ".c")) and not p.startswith("cmake")])
counts = count_lines(paths)
print(", ".join(f"{name}: {lines} lines" for name, lines in counts.items()))
if counts["tests"] < MIN_TESTS * counts["C++"]:
    complaints.append(f"fewer than {MIN_TESTS} lines of tests for each line of C++")
print("\n".join(complaints))
sys.exit(1 if complaints else 0)
