# RUN: %python %s
"""What the lowering computes for workgroups of dies, by evaluating its operations.

For every number of workgroups and of entries each entry is taken once, the entries of a die are a run of the list, and
no workgroup takes more than without dies. Where there are no dies, workgroups take entries in turn.
"""

import re
import subprocess
import sys

import numpy as np

KERNEL = """
!F = !moe_tile.frag<16x16xf32>
moe_tile.kernel @k(%table: memref<?x4xi32>, %n: index, %Y: memref<?x48xf32>) attributes {form = #moe_tile.form<explicit>,
    exec = #moe_tile.exec<threads = THREADS>, target = "CHIP"} {
  %zero = arith.constant 0.0 : f32
  %list = moe_tile.block_list %table count(%n) columns 48 by 16 : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(expert_major) claim(stride)DIES {
    %e, %row0, %rows, %n0 = moe_tile.coords %t : index
  }
  moe_tile.return
}
"""
COLUMNS = 3


def lower(chip, dies):
    clause = f" dies({dies})" if dies else ""
    text = KERNEL.replace("CHIP", chip).replace("DIES", clause).replace("THREADS", "256")
    done = subprocess.run(["moe-opt", "-convert-moe-tile-to-rocdl"], input=text, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def evaluate(text, blocks, rows):
    """First entry, end and step of all workgroups."""
    number = re.search(r"@k\(%\w+: !llvm.ptr<1>, (%\w+): i32", text).group(1)
    values = {number: np.uint32(rows)}
    two = {"addi": np.add, "subi": np.subtract, "muli": np.multiply, "divui": np.floor_divide, "remui": np.remainder,
           "minui": np.minimum}
    for line in text.splitlines():
        if loop := re.search(r"scf.for %\w+ = (%\w+) to (%\w+) step (%\w+)", line):
            return [np.broadcast_to(values[v], blocks).astype(np.int64) for v in loop.groups()]
        if not (made := re.match(r"\s*(%\w+) = ([\w.]+) ?(.*)", line)):
            continue
        name, op, rest = made.groups()
        operands = [values.get(v) for v in re.findall(r"%\w+", rest)]
        known = all(v is not None for v in operands)
        if op == "rocdl.workgroup.id.x":
            values[name] = np.arange(blocks, dtype=np.uint32)
        elif op == "rocdl.grid.dim.x":
            values[name] = np.uint32(blocks)
        elif op == "arith.constant" and rest.endswith("i32"):
            values[name] = np.uint32(int(rest.split()[0]) & 0xFFFFFFFF)
        elif op == "arith.cmpi" and rest.startswith("ult") and known:
            values[name] = operands[0] < operands[1]
        elif op == "arith.extui" and known:
            values[name] = np.asarray(operands[0]).astype(np.uint32)
        elif op.removeprefix("arith.") in two and known:
            values[name] = two[op.removeprefix("arith.")](*operands)
    sys.exit("no loop over tiles:\n" + text)


def check(text, dies, blocks, rows):
    first, end, step = evaluate(text, blocks, rows)
    entries = rows * COLUMNS
    counts = np.maximum(0, -(-(end - first) // step))
    taken = np.concatenate([np.arange(f, e, s) for f, e, s in zip(first, end, step)] + [np.empty(0, int)])
    who = np.repeat(np.arange(blocks) % dies, counts)
    where = f"{dies} dies, {blocks} workgroups, {entries} entries"
    assert np.array_equal(np.sort(taken), np.arange(entries)), where
    assert np.all(np.diff(who[np.argsort(taken)]) >= 0), where
    assert counts.max() <= -(-entries // blocks), where


for chip, dies in (("gfx942", 8), ("gfx950", 8), ("gfx942", 4), ("gfx950", 2)):
    code, text, errors = lower(chip, dies)
    assert code == 0, errors
    for blocks in [*range(1, 35), 255, 256, 303, 304, 608]:
        for rows in [*range(0, 24), blocks - 1, blocks, 2 * blocks + 1, 8 * blocks + 5, 100_003]:
            check(text, dies, blocks, rows)

for chip in ("gfx942", "gfx1100", "gfx1201"):
    code, text, errors = lower(chip, 0)
    assert code == 0, errors
    first, end, step = evaluate(text, 7, 5)
    assert list(first) == list(range(7)) and set(end) == {15} and set(step) == {7}

# A chip has its dies or a part of them.
for chip, dies, has in (("gfx1100", 8, 1), ("gfx1151", 2, 1), ("gfx1201", 8, 1), ("gfx942", 3, 8), ("gfx950", 16, 8)):
    code, text, errors = lower(chip, dies)
    message = f"'moe_tile.for_tiles' op {chip}: rule dies: tiles are shared by {dies} dies (xcd), the chip has {has}"
    assert code != 0 and message in errors, errors
