# RUN: %python %s | FileCheck %s
# CHECK: {{[0-9]+}} programs judged as expected
"""moe-tile-verify-sync on loop nests of two roles, built from descriptions.

A nest is a list of "step" (one slot of the ring) and loops:
("for", low, high, step, nest) with numbers or names, ("tiles", list, order,
claim, nest). Random nests of constant loops are sound exactly if both roles make
the same number of steps.
"""

import bisect
import random
import re
import subprocess
import sys

HEAD = """!A = !moe_tile.buf<4x8xf32>
!RG = !moe_tile.ring<2 x (a: !A), sync = tx>
!P = !moe_tile.cursor<producer>
!C = !moe_tile.cursor<consumer>
moe_tile.kernel @k(%X: memref<?x32xf32>, %l1: !moe_tile.tiles<records>, %l2: !moe_tile.tiles<records>, %n: index, %m: index, %b: i1)
    attributes {form = #moe_tile.form<explicit>} {
  %ring = moe_tile.ring_alloc : !RG
"""


class Role:
    """Prints the body of one role."""

    def __init__(self, side):
        self.side, self.lines, self.count = side, [], 0
        self.kind = "!P" if side == "producer" else "!C"

    def name(self):
        self.count += 1
        return f"%{self.side}{self.count}"

    def index(self, value):
        """A number, an argument (n), or one more than an argument (n+1)."""
        if isinstance(value, int):
            name = self.name()
            self.lines.append(f"{name} = arith.constant {value} : index")
            return name
        if value.endswith("+1"):
            one, name = self.index(1), self.name()
            self.lines.append(f"{name} = arith.addi %{value[:-2]}, {one} : index")
            return name
        return f"%{value}"

    def nest(self, nest, cursor):
        """Prints the nest; gives the cursor behind it."""
        for item in nest:
            after = self.name()
            if item == "step":
                kinds, buffer = f"!RG, {self.kind}", self.name()
                first, last = ("acquire", "publish") if self.side == "producer" else ("wait", "release")
                self.lines.append(f"{buffer} = moe_tile.{first} %ring[{cursor}] : {kinds} -> !A")
                if self.side == "producer":
                    at = self.index(0)
                    self.lines.append(f"moe_tile.copy %X[{at}, {at}] to {buffer} : memref<?x32xf32>, !A")
                self.lines.append(f"{after} = moe_tile.{last} %ring[{cursor}] : {kinds}")
            else:
                inside, yields = self.name(), "scf.yield"
                if item[0] == "for":
                    low, high, step = (self.index(v) for v in item[1:4])
                    self.lines.append(f"{after} = scf.for {self.name()} = {low} to {high} step {step} "
                                      f"iter_args({inside} = {cursor}) -> ({self.kind}) {{")
                else:
                    yields = "moe_tile.yield"
                    claim = f" claim({item[3]})" if item[3] else ""
                    self.lines.append(f"{after} = moe_tile.for_tiles {self.name()} in %{item[1]} : "
                                      f"!moe_tile.tiles<records> order({item[2]}){claim} "
                                      f"iter({inside} = {cursor} : {self.kind}) {{")
                self.lines += [f"{yields} {self.nest(item[-1], inside)} : {self.kind}", "}"]
            cursor = after
        return cursor

    def text(self, nest, guarded=False):
        cursor = self.name()
        self.lines.append(f"{cursor} = moe_tile.cursor %ring : !RG -> {self.kind}")
        if guarded:
            self.lines += [f"%while = scf.while (%c = {cursor}) : ({self.kind}) -> {self.kind} {{",
                           f"scf.condition(%b) %c : {self.kind}", "} do {", f"^bb0(%d: {self.kind}):"]
            self.lines += [f"scf.yield {self.nest(nest, '%d')} : {self.kind}", "}"]
        else:
            self.nest(nest, cursor)
        return "\n      ".join(self.lines)


def program(producer, consumer, guarded=False, syncs=("", "")):
    load, use = Role("producer").text(producer), Role("consumer").text(consumer, guarded)
    return (HEAD + f"  moe_tile.roles {{\n    moe_tile.role @load threads(32) {{\n      {load}\n{syncs[0]}    }}\n"
            f"    moe_tile.role @use threads(32) {{\n      {use}\n{syncs[1]}    }}\n  }}\n  moe_tile.return\n}}\n")


def steps(nest):
    """Steps of a nest of constant loops."""
    total = 0
    for item in nest:
        if item == "step":
            total += 1
        else:
            total += len(range(item[1], item[2], item[3])) * steps(item[4])
    return total


def random_nest(rng, depth=0):
    nest = []
    for _ in range(rng.randint(1, 3)):
        if depth == 3 or rng.random() < 0.5:
            nest.append("step")
        else:
            low, step = rng.randint(0, 3), rng.randint(1, 3)
            nest.append(("for", low, low + rng.randint(0, 7), step, random_nest(rng, depth + 1)))
    return nest


def fors(high, nest, low=0, step=1):
    return ("for", low, high, step, nest)


def tiles(nest, source="l1", order="explicit", claim=None):
    return ("tiles", source, order, claim, nest)


S = "step"
DIFFER = "sync_c3: producer and consumer differ: "
SYNC = "      moe_tile.group_sync block\n"


def cases():
    """Program and the expected message; None for a sound one, a list for either."""
    # Bounds that are the same value, the same computation, or neither.
    yield program([fors("n", [S])], [fors("n", [S])]), None
    yield program([fors("n+1", [S, S])], [fors("n+1", [S, S])]), None
    yield program([fors("n", [S])], [fors("m", [S])]), DIFFER + "loops whose trip counts are not provably equal"
    yield program([fors("n+1", [S])], [fors("m+1", [S])]), DIFFER + "loops whose trip counts are not provably equal"
    yield program([fors("n", [S], step=2)], [fors("n", [S], step=4)]), DIFFER + "loops whose trip counts"
    yield program([fors("n", [S, S])], [fors("n", [S])]), DIFFER + "2 steps against 1"
    yield program([fors("n", [S])], [S, S]), DIFFER + "a loop against single steps"
    yield program([fors("n", [S])], [fors("n", [S]), fors("m", [S])]), DIFFER + "one more loop"
    yield program([fors("n", [S]), S, S], [fors("n", [S])]), DIFFER + "2 more steps"
    # What an outer loop counts may bound an inner one.
    yield program([fors("n", [fors("m", [S]), S])], [fors("n", [fors("m", [S]), S])]), None
    yield program([fors("n", [fors("m", [S])])], [fors("m", [fors("n", [S])])]), DIFFER + "loops whose trip counts"
    # Long loops around loops are compared as they stand.
    yield program([fors(100, [fors("n", [S])])], [fors(100, [fors("n", [S])])]), None
    yield program([fors(100, [fors("n", [S])])], [fors(99, [fors("n", [S])])]), DIFFER + "loops whose trip counts"
    yield program([fors(3, [fors("n", [S])])], [fors("n", [S])] * 3), None
    # Loops over tiles.
    yield program([tiles([fors("n", [S])])], [tiles([fors("n", [S])])]), None
    yield program([tiles([S])], [tiles([S], source="l2")]), DIFFER + "loops over different tile lists"
    yield program([tiles([S])], [tiles([S], claim="counter")]), DIFFER + "tiles claimed in different ways"
    yield program([tiles([S], claim="stride) dies(8")], [tiles([S], claim="stride) dies(8")]), None
    yield program([tiles([S], claim="stride) dies(8")], [tiles([S])]), DIFFER + "tiles of 8 dies against 1"
    yield program([tiles([S], order="n_major")], [tiles([S], order="expert_major")]), \
        DIFFER + "tile order n_major against expert_major"
    yield program([tiles([S])], [fors("n", [S])]), DIFFER + "a loop over tiles against another loop"
    # Nobody counts the steps of a loop with a condition.
    yield program([S], [S], guarded=True), "sync_c3: stands under scf.while, only counted loops are comparable"
    # Synchronisation of all roles.
    yield program([S], [S], syncs=(SYNC, SYNC)), None
    yield program([S], [S], syncs=(SYNC, SYNC + SYNC)), \
        "sync_c6: block-wide group_sync differs between roles: 1 steps against 2"
    yield program([S], [S], syncs=(SYNC, "")), "sync_c6: block-wide group_sync differs between roles: 1 more steps"
    rng = random.Random(7)
    for _ in range(120):
        a, b = random_nest(rng), random_nest(rng)
        while steps(a) > 40:
            a = random_nest(rng)
        missing = steps(a) - steps(b)
        if rng.random() < 0.6 and missing > 0:
            b = b + [S] * missing
        yield program(a, b), None if steps(a) == steps(b) else DIFFER


def main():
    programs = list(cases())
    text, starts = "", []
    for source, _ in programs:
        starts.append(text.count("\n") + 1)
        text += source + "// -----\n"
    done = subprocess.run(
        ["moe-opt", "-", "-split-input-file", "-o", "/dev/null",
         "-pass-pipeline=builtin.module(moe_tile.kernel(moe-tile-verify-sync))"],
        input=text, text=True, capture_output=True, check=False)
    messages = {}
    for line, message in re.findall(r"^<stdin>:(\d+):\d+: error: (.*)$", done.stderr, re.M):
        messages.setdefault(bisect.bisect(starts, int(line)) - 1, message)
    assert "within split" not in done.stderr, done.stderr  # a program does not parse
    wrong = 0
    for number, (source, expected) in enumerate(programs):
        got = messages.get(number)
        if got is None if expected is None else got is not None and got.startswith(expected):
            continue
        wrong += 1
        print(f"{source}expected {expected or 'no error'}, got {got or 'no error'}")
    if wrong:
        sys.exit(f"{wrong} of {len(programs)} programs judged wrongly")
    sound = sum(expected is None for _, expected in programs)
    assert 20 < sound < len(programs) - 20, sound
    print(f"{len(programs)} programs judged as expected")


main()
