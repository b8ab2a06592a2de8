"""Compares the constraint labels in descriptions, checks and tests of moe_tile."""

import pathlib
import re
import sys

LABEL = re.compile(r"\b[a-z][a-z_]*_c[0-9]+\b")


def labels(paths):
    """All labels in the given files."""
    found = set()
    for path in paths:
        found |= set(LABEL.findall(path.read_text(encoding="utf-8")))
    return found


def main():
    root = pathlib.Path(sys.argv[1])
    described = labels((root / "include/moec/Dialect/MoeTile").rglob("*.td"))
    checked = labels((root / "lib/Dialect/MoeTile").rglob("*.cpp"))
    tests = root / "test/Dialect/MoeTile"
    tested = labels(tests / name for name in ("invalid.mlir", "verify-sync.mlir"))
    bad = False
    for left, right, text in (
        (described, checked, "described, but no check names it"),
        (checked, described, "checked, but no description names it"),
        (described, tested, "described, but no invalid program tests it"),
        (tested, described, "tested, but no description names it"),
    ):
        for label in sorted(left - right):
            print(f"{label}: {text}")
            bad = True
    # An empty set would agree with everything.
    print(f"{len(described)} labels")
    return 1 if bad or len(described) < 60 else 0


sys.exit(main())
