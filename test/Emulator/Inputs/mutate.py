#!/usr/bin/env python3
"""Deletes or changes what orders, waits and masks in a kernel, one line at a time.

usage: mutate.py DRIVER [--terms] [--reasons=FILE] KERNEL.mlir[:PLAN.mlir]...

With --terms, for kernels that a compiler wrote: also every comparison holds, every XOR and every
clamp is its first operand. KERNEL+OTHER is one kernel with several inputs: the same lines change in
all of them, and one has to notice. Every mutant must be noticed: a finding, a wrong result or a deadlock under one of
the schedules. A line that says `// equivalent: reason` must survive, so that the
list of survivors with their reasons is exactly what stands in the kernels. For a compiler's kernels
the reasons stand in a file, `REGULAR EXPRESSION => reason` a line, of the line's indentation and what is said of it.
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


# What --terms changes: operation, what it becomes, what is said of it.
TERMS = [
    (re.compile(r"arith\.cmpi \w+, (%\w+), %\w+ : (\w+)$"), r"arith.cmpi eq, \1, \1 : \2", "always holds"),
    (re.compile(r"arith\.xori (%\w+), %\w+ : (i32|i64)$"), r"arith.ori \1, \1 : \2", "without its second operand"),
    (re.compile(r"arith\.(?:min|max)[us]i (%\w+), %\w+ : (\w+)$"), r"arith.ori \1, \1 : \2", "without its bound"),
]


def mutants(lines, terms):
    """Yields (line number, what, mutated lines)."""
    kernel = False
    for number, line in enumerate(lines):
        code, _, comment = line.partition("//")
        # Of a compiler's output the kernels; what a test wrote around them has no launch.
        kernel = "moe.launch" in code if "llvm.func" in code else kernel
        for pattern, changed, what in TERMS if terms and kernel else []:
            text = pattern.sub(changed, code.rstrip())
            if text != code.rstrip():
                yield number, what, lines[:number] + [text] + lines[number + 1:]
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


def kernel_line(lines):
    return next(i for i, line in enumerate(lines) if "moe.launch" in line and "llvm.func" in line)


def elsewhere(lines, other, text, number):
    """The lines of `other` with what has changed in line `number` from `lines` to `text`: gone or different."""
    at = number - kernel_line(lines) + kernel_line(other)
    assert len(lines) - number == len(other) - at and lines[number] == other[at], "not the same kernel"
    return other[:at] + ([text[number]] if len(text) == len(lines) else []) + other[at + 1:]


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
    terms, reasons = "--terms" in sys.argv, []
    for path in [p[10:] for p in sys.argv[2:] if p.startswith("--reasons=")]:
        with open(path, encoding="utf-8") as file:
            reasons += [line.strip().split(" => ") for line in file if line.strip()]
    for path in [p for p in sys.argv[2:] if not p.startswith("--")]:
        path, _, plan = path.partition(":")
        inputs = []
        for one in path.split("+"):
            with open(one, encoding="utf-8") as file:
                inputs.append(file.read().split("\n"))
        lines = inputs[0]
        name = os.path.basename(path.split("+")[0])
        for one in inputs:
            assert finding(driver, one, plan) is None, f"{name} is not clean as it stands"
        kinds = collections.Counter()
        for number, what, text in mutants(lines, terms):
            found = finding(driver, text, plan)
            for other in inputs[1:]:
                found = found or finding(driver, elsewhere(lines, other, text, number), plan)
            reason = re.search(r"// equivalent: (.*)", lines[number])
            place = f"{name}:{number + 1}: {lines[number].partition('//')[0].strip()[:90]}: {what}"
            indent = len(lines[number]) - len(lines[number].lstrip())
            known = [why for pattern, why in reasons if re.search(pattern, f"{indent} {place}")]
            total += 1
            kinds[found or "survived"] += 1
            if found is None and (reason or known):
                print(f"survivor {place}: {reason.group(1) if reason else known[0]}")
            elif found is None:
                print(f"NOT NOTICED {place}")
                failed += 1
            elif reason:
                print(f"NOT EQUIVALENT {place}: {found}")
                failed += 1
        assert kinds, f"nothing to change in {name}"
        print(f"{name}: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    print(f"{total} mutants, {failed} unexplained")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
