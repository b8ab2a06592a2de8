"""Prints the region coverage of lib/ by directory and the least covered files.

    coverage.py SUMMARY.json ROOT [--floor PERCENT]

SUMMARY.json is what `llvm-cov export -summary-only` writes. The last line is the
coverage of all of lib/; the exit code is 1 if it is below the floor.

Part of moec, under the Apache License v2.0 with LLVM Exceptions.
See LICENSE for licence information.
SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""

import argparse
import collections
import json
import os
import sys


def percent(covered, count):
    return 100.0 * covered / count if count else 100.0


def regions(summary, root):
    """Path below ROOT of every file of lib/, with its covered and all regions."""
    library = os.path.join(os.path.realpath(root), "lib") + os.sep
    found = {}
    for file in summary["data"][0]["files"]:
        path = os.path.realpath(file["filename"])
        if path.startswith(library):
            numbers = file["summary"]["regions"]
            found["lib/" + path[len(library):]] = (numbers["covered"], numbers["count"])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("summary")
    parser.add_argument("root")
    parser.add_argument("--floor", type=float, default=0.0)
    options = parser.parse_args()
    with open(options.summary, encoding="utf-8") as file:
        files = regions(json.load(file), options.root)
    if not files:
        sys.exit("no file of lib/ was measured")
    folders = collections.defaultdict(lambda: [0, 0])
    for path, numbers in files.items():
        for total in (folders[os.path.dirname(path)], folders[""]):
            total[0] += numbers[0]
            total[1] += numbers[1]
    whole = folders.pop("")
    print("least covered files:")
    worst = sorted(files.items(), key=lambda item: item[1][0] - item[1][1])[:20]
    for path, (covered, count) in worst:
        if covered < count:
            print(f"  {percent(covered, count):5.1f} %  {count - covered:4} of {count} missed  {path}")
    print("regions covered:")
    for path, (covered, count) in sorted(folders.items()):
        print(f"  {percent(covered, count):5.1f} %  {covered:5} of {count:5}  {path}")
    print(f"  {percent(*whole):5.1f} %  {whole[0]:5} of {whole[1]:5}  lib")
    return 1 if percent(*whole) < options.floor else 0


if __name__ == "__main__":
    sys.exit(main())
