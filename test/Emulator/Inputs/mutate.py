#!/usr/bin/env python3
"""Deletes or changes what orders, waits and masks in a kernel, one line at a time.

usage: mutate.py DRIVER KERNEL.mlir[:PLAN.mlir]...

Every mutant must be noticed: a finding, a wrong result or a deadlock under one of
the schedules. A line that says `// equivalent: reason` must survive, so that the
list of survivors with their reasons is exactly what stands in the kernels.
`// mutate: OLD => NEW` adds a change of the line, as long as it is not the last.
"""

import collections
import os
import re
import subprocess
import sys
import tempfile

DELETED = re.compile(
    r"^\s*(%\w+ = )?(nvvm\.barrier|nvvm\.bar\.warp\.sync|nvvm\.cluster\.(arrive|wait)|nvvm\.fence|nvvm\.griddepcontrol wait"
    r"|moe_nv\.(wait_parity|await|signal)|nvvm\.mbarrier\.(arrive|init)|nvvm\.wgmma\.(fence|commit|wait)"
    r"|nvvm\.cp\.async\.(commit|wait|mbarrier|bulk\.commit|bulk\.wait)|llvm\.fence"
    r"|amdgpu\.(lds_barrier|memory_counter_wait)|rocdl\.(barrier|s\.barrier|s\.barrier\.signal|s\.barrier\.wait|s\.waitcnt|s\.wait\.loadcnt))\b")
SCHEDULES = [["--async=late"], ["--async=early"], ["--async=random", "--seed=1"],
             ["--async=late", "--seed=2"], ["--async=random", "--seed=3"], ["--async=early", "--seed=4"]]


def mutants(lines):
    """Yields (line number, what, mutated lines)."""
    for number, line in enumerate(lines):
        code, _, comment = line.partition("//")
        if DELETED.match(code):
            yield number, "deleted", lines[:number] + lines[number + 1:]
        changed = re.sub(r"(moe_nv\.wgmma_wait) \d+ \(", r"\1 7 (", code)
        if changed != code:
            yield number, "waits for nothing", lines[:number] + [changed] + lines[number + 1:]
        request = re.match(r"\s*mutate: (.*) => (\S+)", comment)
        if request:
            old, new = request.groups()
            assert old in code, (number + 1, line)
            place = code.rindex(old)
            changed = code[:place] + new + code[place + len(old):]
            yield number, f"{old} is {new}", lines[:number] + [changed] + lines[number + 1:]


def finding(driver, text, plan):
    """The first thing that a schedule complains of, or None."""
    extra = [f"--plan={plan}"] if plan else []
    with tempfile.NamedTemporaryFile("w", suffix=".mlir", delete=False) as file:
        file.write("\n".join(text))
    try:
        for schedule in SCHEDULES:
            done = subprocess.run([driver, file.name, "--max-reports=1", *extra, *schedule], text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
            if done.returncode < 0 or "error:" in done.stderr:
                sys.exit(f"the driver failed: {done.returncode}\n{done.stderr}")
            if done.returncode:
                kind = re.match(r"\S*: ([a-z ]+): '", done.stdout)
                return kind.group(1) if kind else "wrong result"
        return None
    finally:
        os.unlink(file.name)


def main():
    driver, failed, total = sys.argv[1], 0, 0
    for path in sys.argv[2:]:
        path, _, plan = path.partition(":")
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
        name = os.path.basename(path)
        assert finding(driver, lines, plan) is None, f"{name} is not clean as it stands"
        kinds = collections.Counter()
        for number, what, text in mutants(lines):
            found = finding(driver, text, plan)
            reason = re.search(r"// equivalent: (.*)", lines[number])
            place = f"{name}:{number + 1}: {lines[number].partition('//')[0].strip()[:90]}: {what}"
            total += 1
            kinds[found or "survived"] += 1
            if found is None and reason:
                print(f"survivor {place}: {reason.group(1)}")
            elif found is None:
                print(f"NOT NOTICED {place}")
                failed += 1
            elif reason:
                print(f"NOT EQUIVALENT {place}: {found}")
                failed += 1
        print(f"{name}: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    print(f"{total} mutants, {failed} unexplained")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
