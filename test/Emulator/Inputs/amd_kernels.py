#!/usr/bin/env python3
"""Prints C[m, n] = A[m, k] B[n, k]^T in bf16 for an AMD chip: `amd_kernels.py CHIP masked|buffer|lds [name=value...]`.

Tiles of 64 x 64 x 32 in two buffers of LDS, four waves of 32 x 32. `masked` reads rows that exist,
`buffer` leaves the others to a resource's bounds and writes its barriers as fences and s.barrier,
`lds` (gfx950, m a multiple of 64) copies straight into swizzled LDS. Comments as in kernels.py.
"""

import sys

BK = 32


class Text:
    """Lines with constants on demand."""

    def __init__(self):
        self.lines, self.known, self.next = [], {}, 0

    def __call__(self, line):
        self.lines.append("    " + line)

    def c(self, v):
        if v not in self.known:
            name = f"%c{v}".replace("-", "m")
            self.known[v] = name
        return self.known[v]

    def op(self, what, *operands, type_="i32", note=""):
        self.next += 1
        name = f"%t{self.next}"
        operands = ", ".join(self.c(o) if isinstance(o, int) else o for o in operands)
        self(f"{name} = llvm.{what} {operands} : {type_}{note}")
        return name

    def at(self, base, offset, space, element="i8"):
        self.next += 1
        name = f"%t{self.next}"
        self(f"{name} = llvm.getelementptr {base}[{offset}] : (!llvm.ptr<{space}>, i32) -> !llvm.ptr<{space}>, {element}")
        return name

    def text(self):
        head = [f"    {name} = llvm.mlir.constant({v} : i32) : i32" for v, name in self.known.items()]
        return "\n".join(head + self.lines)


def main():
    chip, load = sys.argv[1:3]
    o = {"m": 70, "n": 128, "k": 128, **{k: int(v) for k, v in (a.split("=") for a in sys.argv[3:])}}
    m, n, k = o["m"], o["n"], o["k"]
    cdna = chip in ("gfx942", "gfx950")
    wave = 64 if cdna else 32
    threads = 4 * wave
    kop = 32 if chip == "gfx950" else 16
    share = 16 if chip.startswith("gfx11") else kop * 16 // wave
    per_lane = 256 // wave
    direct = load == "lds"
    stride = 64 if direct else 80
    tile = 64 * stride
    chunks = 256 // threads
    frag, acc = f"vector<{share}xbf16>", f"vector<{per_lane}xf32>"
    t = Text()

    t("%smem = llvm.mlir.addressof @lds : !llvm.ptr<3>")
    t("%tid = rocdl.workitem.id.x : i32")
    t("%bx = rocdl.workgroup.id.x : i32")
    t("%by = rocdl.workgroup.id.y : i32")
    m0, n0 = t.op("mul", "%by", 64), t.op("mul", "%bx", 64)
    lane, wid = t.op("and", "%tid", wave - 1), t.op("lshr", "%tid", wave.bit_length() - 1)
    wm, wn = t.op("lshr", wid, 1), t.op("and", wid, 1)
    if load == "buffer":
        t("%stride0 = llvm.mlir.constant(0 : i16) : i16")
        t(f"%flags = llvm.mlir.constant({159744 if cdna else 822243328} : i32) : i32")
        t("%huge = llvm.mlir.constant(1000000 : i64) : i64")
        for x, rows in (("A", m), ("B", n)):
            t(f"%bytes{x} = llvm.mlir.constant({rows * k * 2} : i64) : i64")
            note = " // mutate: %bytesA => %huge" if x == "A" else ""
            t(f"%rsrc{x} = rocdl.make.buffer.rsrc %{x}, %stride0, %bytes{x}, %flags : !llvm.ptr<1> to !llvm.ptr<8>{note}")

    # What a thread brings: 16 bytes of row chunk / 4.
    rows, places, sources = [], [], []
    for s in range(chunks):
        chunk = t.op("add", "%tid", s * threads)
        row, part = t.op("lshr", chunk, 2), t.op("and", chunk, 3)
        rows.append(row)
        if direct:
            places.append(t.op("mul", t.op("lshr", chunk, 6), 1024))
            part = t.op("xor", part, t.op("and", row, 3))
        else:
            places.append(t.op("add", t.op("mul", row, stride), t.op("mul", part, 16)))
        sources.append(t.op("mul", part, 16))
    exists = []
    for s in range(chunks):
        line = t.op("add", m0, rows[s])
        if load == "masked":
            t.next += 1
            t(f'%t{t.next} = llvm.icmp "slt" {line}, {t.c(m)} : i32 // mutate: {t.c(m)} => {t.c(1 << 20)}')
            exists.append(f"%t{t.next}")
    zero = "vector<4xi32>"
    t(f"%zeros = llvm.mlir.constant(dense<0> : {zero}) : {zero}")

    def fetch(step, more):
        """Values of the thread's chunks of A and B at reduction step `step`."""
        got = []
        along = t.op("mul", step, BK * 2)
        for x, start in (("A", m0), ("B", n0)):
            for s in range(chunks):
                line = t.op("add", start, rows[s])
                offset = t.op("add", t.op("add", t.op("mul", line, k * 2), sources[s]), along)
                t.next += 1
                name = f"%t{t.next}"
                if load == "buffer":
                    t(f"{name} = rocdl.raw.ptr.buffer.load %rsrc{x}, {offset}, {t.c(0)}, {t.c(0)} : {zero}")
                    got.append(name)
                    continue
                p = t.at(f"%{x}", offset, 1)
                if x == "A":
                    mask = exists[s]
                    if more:
                        mask = t.op("and", mask, more, type_="i1")
                else:
                    mask = more
                if mask is None:
                    t(f"{name} = llvm.load {p} {{alignment = 16 : i64}} : !llvm.ptr<1> -> {zero}")
                else:
                    t(f"{name} = scf.if {mask} -> ({zero}) {{")
                    t(f"  {name}v = llvm.load {p} {{alignment = 16 : i64}} : !llvm.ptr<1> -> {zero}")
                    t(f"  scf.yield {name}v : {zero}\n    }} else {{\n      scf.yield %zeros : {zero}\n    }}")
                got.append(name)
        return got

    def put(values, buffer):
        for i, v in enumerate(values):
            place = t.op("add", t.op("add", places[i % chunks], i // chunks * tile), buffer)
            t(f"llvm.store {v}, {t.at('%smem', place, 3)} {{alignment = 16 : i64}} : {zero}, !llvm.ptr<3>")

    def copy(step, buffer):
        along = t.op("mul", step, BK * 2)
        for x, start in (("A", m0), ("B", n0)):
            line = t.op("add", start, rows[0])
            offset = t.op("add", t.op("add", t.op("mul", line, k * 2), sources[0]), along)
            place = t.op("add", t.op("add", places[0], tile if x == "B" else 0), buffer)
            to = t.at("%smem", place, 3)
            t(f"rocdl.global.load.lds {t.at('%' + x, offset, 1)}, {to}, 16, 0, 0")

    def barrier():
        if direct:
            t("rocdl.s.waitcnt 3952")  # vmcnt(0)
        if load != "buffer":
            t("amdgpu.lds_barrier")
            return
        local = '{llvm.mmra = #llvm.mmra_tag<"amdgpu-synchronize-as":"local">}'
        t(f'llvm.fence syncscope("workgroup") release {local}')
        if chip.startswith("gfx12"):
            t("rocdl.s.barrier.signal id = -1")
            t("rocdl.s.barrier.wait id = -1")
        else:
            t("rocdl.s.barrier")
        t(f'llvm.fence syncscope("workgroup") acquire {local}')

    c0 = t.c(0)
    if direct:
        copy(c0, c0)
    else:
        put(fetch(c0, None), c0)
    barrier()
    t(f"%none = llvm.mlir.constant(dense<0.0> : {acc}) : {acc}")
    lane16, lane_high = t.op("and", lane, 15), t.op("lshr", lane, 4)
    first_k = c0 if share == 16 else t.op("mul", lane_high, share)
    t(f"%w:4 = scf.for %s = {c0} to {t.c(k // BK)} step {t.c(1)} "
      f"iter_args({', '.join(f'%a{i} = %none' for i in range(4))}) -> ({', '.join([acc] * 4)}) : i32 {{")
    now = t.op("mul", t.op("and", "%s", 1), 2 * tile)
    other = t.op("sub", 2 * tile, now)
    after = t.op("add", "%s", 1)
    t(f'%more = llvm.icmp "slt" {after}, {t.c(k // BK)} : i32' + (f" // mutate: {t.c(k // BK)} => {t.c(1 << 20)}" if load != "buffer" else ""))
    held = None
    if direct:
        t("scf.if %more {")
        copy(after, other)
        t("}")
    else:
        held = fetch(after, "%more")
    frags = {}
    for x, part, base in (("a", wm, 0), ("b", wn, tile)):
        for i in range(2):
            row = t.op("add", t.op("add", t.op("mul", part, 32), i * 16), lane16)
            for kk in range(BK // kop):
                at = t.op("add", first_k, kk * kop)
                if direct:
                    chunk = t.op("lshr", at, 3)
                    low = t.op("and", row, 3)
                    chunk = t.op("xor", chunk, low, note=f" // mutate: {low} => {c0}")
                    inside = t.op("mul", chunk, 16)
                else:
                    inside = t.op("mul", at, 2)
                place = t.op("add", t.op("add", t.op("mul", row, stride), inside), t.op("add", now, base))
                p = t.at("%smem", place, 3)
                t.next += 1
                t(f"%t{t.next} = llvm.load {p} {{alignment = {min(share * 2, 16)} : i64}} : !llvm.ptr<3> -> {frag}")
                frags[x, i, kk] = f"%t{t.next}"
    sums = [f"%a{i}" for i in range(4)]
    for kk in range(BK // kop):
        for i in range(2):
            for j in range(2):
                t.next += 1
                a, b = frags["a", i, kk], frags["b", j, kk]
                form = "blgp = none " if cdna else ""
                t(f"%t{t.next} = amdgpu.{'mfma' if cdna else 'wmma'} 16x16x{kop} {a} * {b} + {sums[2 * i + j]} {form}: {frag}, {frag}, {acc}")
                sums[2 * i + j] = f"%t{t.next}"
    if not direct:
        t("scf.if %more {")
        put(held, other)
        t("}")
    barrier()
    t(f"scf.yield {', '.join(sums)} : {', '.join([acc] * 4)}\n    }}")
    for i in range(2):
        for j in range(2):
            column = t.op("add", t.op("add", t.op("mul", wn, 32), j * 16), t.op("add", lane16, n0))
            for e in range(per_lane):
                if cdna:
                    row = t.op("add", t.op("mul", lane_high, 4), e)
                elif chip.startswith("gfx11"):
                    row = t.op("add", lane_high, 2 * e)
                else:
                    row = t.op("add", t.op("mul", lane_high, 8), e)
                row = t.op("add", t.op("add", t.op("mul", wm, 32), i * 16), t.op("add", row, m0))
                p = t.at("%C", t.op("add", t.op("mul", row, n), column), 1, "f32")
                t.next += 1
                v = f"%t{t.next}"
                t(f"{v} = llvm.extractelement %w#{2 * i + j}[{t.c(e)} : i32] : {acc}")
                note = f" // mutate: {t.c(m)} => {t.c(1 << 20)}" if (i, j, e) == (1, 1, 0) and m % 64 else ""
                t(f'{v}m = llvm.icmp "slt" {row}, {t.c(m)} : i32{note}')
                t(f"scf.if {v}m {{\n      llvm.store {v}, {p} : f32, !llvm.ptr<1>\n    }}")

    print(f"""module attributes {{
  emu.chip = "{chip}",
  emu.buffers = [{{name = "A", type = "bf16", size = {m * k}, init = "random"}}, {{name = "B", type = "bf16", size = {n * k}, init = "random"}},
                 {{name = "C", type = "f32", size = {m * n}, init = "none"}}],
  emu.launches = [{{kernel = "gemm", grid = [{n // 64}, {(m + 63) // 64}], block = [{threads}],
                   args = [{{buffer = "A"}}, {{buffer = "B"}}, {{buffer = "C"}}]}}],
  emu.checks = [{{op = "gemm", a = "A", b = "B", c = "C", m = {m}, n = {n}, k = {k}}}]
}} {{
  llvm.mlir.global internal @lds() {{addr_space = 3 : i32, alignment = 128 : i64}} : !llvm.array<{4 * tile} x i8>
  llvm.func @gemm(%A: !llvm.ptr<1>, %B: !llvm.ptr<1>, %C: !llvm.ptr<1>) attributes {{rocdl.kernel}} {{
{t.text()}
    llvm.return
  }}
}}""")


if __name__ == "__main__":
    sys.exit(main())
