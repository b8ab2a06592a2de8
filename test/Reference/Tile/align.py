# RUN: %python %s | FileCheck %s
# CHECK: {{[0-9]+}} routings agree
"""moe_tile.align and the serial loops of moe-to-tile against NumPy, each on its own."""

import re
import subprocess
import sys

import numpy as np


def expected(ids, emap, tokens, topk, experts, block_m, pad, capacity, blocks):
    """What align writes, in the order of its operands."""
    total = tokens * topk
    expert = ids.reshape(-1).astype(np.int64)
    if emap is not None:
        known = (expert >= 0) & (expert < len(emap))
        expert = np.where(known, emap[np.where(known, expert, 0)], -1)
    expert = np.where((expert >= 0) & (expert < experts), expert, -1)
    slots, places = np.full(capacity, total), np.full(total, -1)
    valid = np.where(expert >= 0, np.arange(total), -1)
    table = np.tile([-1, 0, 0, 0], (blocks, 1))
    row = used = 0
    for e in range(experts):
        mine = np.flatnonzero(expert == e)
        slots[row:row + len(mine)] = mine
        places[mine] = np.arange(row, row + len(mine))
        for first in range(0, len(mine), block_m):
            place = first // block_m + (-(-len(mine) // block_m) << 16)
            table[used] = e, row + first, min(block_m, len(mine) - first), place
            used += 1
        row += -(-len(mine) // pad) * pad
    return [slots, places, valid, table.reshape(-1), np.array([used])]


def module(ids, emap, real, tokens, topk, experts, block_m, pad, capacity, blocks):
    """A kernel with one align on the given data."""
    def given(values, kind):
        return f"{{moe_tile.test = {{values = dense<{np.asarray(values).tolist()}> : tensor<{kind}>}}}}"

    def empty(shape):
        return f"{{moe_tile.test = {{shape = array<i64: {shape}>, init = \"undefined\"}}}}"

    args = [f"%ids: memref<?x{topk}xi32> {given(ids, f'{tokens}x{topk}xi32')}"]
    clauses = f"ids(%ids : memref<?x{topk}xi32>)"
    if emap is not None:
        args.append(f"%map: memref<?xi32> {given(emap, f'{len(emap)}xi32')}")
        clauses += " map(%map : memref<?xi32>)"
    args.append(f"%t: index {{moe_tile.test = {{value = {tokens} : index}}}}")
    clauses += " tokens(%t)"
    if real is not None:
        args.append(f"%n: memref<1xi32> {given([real], '1xi32')}")
        clauses += " device_tokens(%n : memref<1xi32>)"
    first = len(args)
    args += [f"%slots: memref<?xi32> {empty(capacity)}", f"%places: memref<?xi32> {empty(tokens * topk)}",
             f"%valid: memref<?xi32> {empty(tokens * topk)}", f"%table: memref<?x4xi32> {empty(f'{blocks}, 4')}",
             f"%count: memref<1xi32> {empty(1)}"]
    return first, f"""moe_tile.kernel @k({', '.join(args)}) {{
  moe_tile.align {clauses} to(%slots, %places, %valid, %table, %count :
    memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts {experts} topk {topk} block_m {block_m} pad {pad}
  moe_tile.return
}}
"""


def serial(text, mapped, topk, experts, first):
    """The kernel of moe-to-tile for the same arguments, without a token count on the device."""
    kind = f"!moe.routing<experts = {experts}, topk = {topk}>"
    extra = ", %map: tensor<?xi32>" if mapped else ""
    clause = " map(%map : tensor<?xi32>)" if mapped else ""
    layer = f"""func.func @l(%x: tensor<?x4xf32>, %ids: tensor<?x{topk}xi32>{extra}, %o: tensor<?x4xf32>) -> tensor<?x4xf32> {{
  %r = moe.align %ids : tensor<?x{topk}xi32>{clause} -> {kind}
  %y = moe.dispatch %x : tensor<?x4xf32> routing(%r : {kind}) layout = expert_sorted
         outs(%o : tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}}
"""
    made = subprocess.run(["moe-opt", "-", "--moe-to-tile=routing=loops"], input=layer, check=True,
                          capture_output=True, text=True).stdout
    kernel = re.search(r"  moe_tile.kernel @l_align.*?\n  \}\n", made, re.S).group(0)
    # Its last argument, the counters, is workspace of a plan that is called like the kernel.
    names = re.findall(r"%(\w+): ", text.split("attributes")[0].split("{\n")[0])
    header = text[text.index("("):text.index(") {\n") + 1]
    types = re.findall(r"%\w+: (memref<[^>]*>|index)", header)
    return kernel + f"""moe_tile.plan @p{header} {{
  %w = moe_tile.workspace() : memref<{experts}xi32>
  %0 = moe_tile.launch @l_align({', '.join('%' + n for n in names)}, %w) : ({', '.join(types)}, memref<{experts}xi32>) -> !moe_tile.token
  moe_tile.return
}}
"""


def run(text, name, first, wanted):
    """Interprets a function and compares what it wrote; gives the number of differences."""
    done = subprocess.run(["moe-opt", "-", f"--moe-tile-interpret=functions={name} print", "-o", "/dev/null"],
                          input=text, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, text)
        return 1
    lines = {int(m.group(1)): m.group(2) for m in re.finditer(r"argument (\d+) = \[(.*)\]", done.stdout)}
    for i, values in enumerate(wanted):
        got = lines[first + i].split(", ")
        if got != [str(v) for v in values]:
            print(f"{name}: result {i} is {got}, expected {list(values)}\n{text}")
            return 1
    return 0


def main():
    rng = np.random.default_rng(7)
    bad = count = 0
    for case in range(24):
        experts, topk = int(rng.integers(1, 9)), int(rng.integers(1, 5))
        tokens, pad = int(rng.integers(1, 14)), 1 if case % 2 else int(rng.choice([1, 4, 16]))
        mapped = case % 3 == 1
        # The loops take the block size that the dispatch asks for.
        block_m = 64 if case % 2 else int(rng.integers(1, 9))
        ids = rng.integers(-2, experts + 2, (tokens, topk)).astype(np.int32)
        ids[rng.random((tokens, topk)) < 0.1] = np.int32(2**31 - 1)
        emap = None
        if mapped:
            emap = rng.integers(-2, experts + 1, experts + 1).astype(np.int32)
        real = int(rng.integers(-1, tokens + 2)) if case % 4 == 2 else None
        capacity = tokens * topk + experts * (pad - 1)
        blocks = -(-(tokens * topk + experts * block_m) // block_m)
        first, text = module(ids, emap, real, tokens, topk, experts, block_m, pad, capacity, blocks)
        seen = ids.copy()
        if real is not None:
            seen[max(real, 0):] = -1
        if emap is not None and real is not None:
            emap = emap.copy()
        wanted = expected(seen, emap, tokens, topk, experts, block_m, pad, capacity, blocks)
        bad += run(text, "k", first, wanted)
        count += 1
        if real is None and block_m == 64 and pad == 1:
            bad += run(text + serial(text, mapped, topk, experts, first), "p", first, wanted)
            count += 1
    print(f"{count} routings agree" if not bad else f"{bad} differ")
    return bool(bad)


sys.exit(main())
