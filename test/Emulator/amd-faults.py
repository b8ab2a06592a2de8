# RUN: rm -rf %t && mkdir %t && %python %s %emulate %t
"""AMD kernels with one fault each: the report names the rule, the numbers and the place.

Every case is the body of a kernel of one wave or more, behind the same few values, and the text
that the emulator must say of it. A case without a text must run clean: it is the same kernel with
the fault taken away, so that a report about something else cannot pass for the one that is meant.
"""

import pathlib
import subprocess
import sys

MODULE = """
module attributes {{
  emu.chip = "{chip}",
  emu.buffers = [{{name = "in", type = "i32", size = 512, init = "index"}},
                 {{name = "out", type = "i32", size = 512, init = "none"}}],
  emu.launches = [{{kernel = "k", args = [{{buffer = "in"}}, {{buffer = "out"}}], {launch}}}]
}} {{
  llvm.mlir.global internal @lds() {{addr_space = 3 : i32, alignment = 128 : i64}} : !llvm.array<{lds} x i8>
  llvm.func @k(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {{rocdl.kernel}} {{
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c2 = arith.constant 2 : i32
    %c4 = arith.constant 4 : i32
    %c32 = arith.constant 32 : i32
    %c64 = arith.constant 64 : i32
    %i0 = arith.constant 0 : i16
    %flags = arith.constant 159744 : i32
    %tid = rocdl.workitem.id.x : i32
    %block = rocdl.workgroup.id.x : i32
    %first = arith.cmpi eq, %tid, %c0 : i32
    %low = arith.cmpi ult, %tid, %c32 : i32
    %firstWave = arith.cmpi ult, %tid, %c64 : i32
    %lds = llvm.mlir.addressof @lds : !llvm.ptr<3>
    %mine = llvm.getelementptr %lds[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %other0 = arith.xori %tid, %c64 : i32
    %other = llvm.getelementptr %lds[%other0] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %near0 = arith.xori %tid, %c1 : i32
    %near = llvm.getelementptr %lds[%near0] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %from = llvm.getelementptr %in[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
    %to = llvm.getelementptr %out[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
    %toOther = llvm.getelementptr %out[%other0] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
{body}
    llvm.return
  }}
}}
"""

ONE = "grid = [1], block = [64]"
TWO = "grid = [1], block = [128]"
BLOCKS = "grid = [2], block = [64]"
LOCAL = '{llvm.mmra = #llvm.mmra_tag<"amdgpu-synchronize-as":"local">}'
RELEASE = 'llvm.fence syncscope("workgroup") release\n'
ACQUIRE = 'llvm.fence syncscope("workgroup") acquire\n'
RACE = "race: 'llvm.load' reads shared memory at 0x"


def exchange(order):
    return f"llvm.store %tid, %mine : i32, !llvm.ptr<3>\n{order}\n%v = llvm.load %other : !llvm.ptr<3> -> i32"


def through_global(order):
    return f"llvm.store %tid, %to : i32, !llvm.ptr<1>\n{order}\n%v = llvm.load %toOther : !llvm.ptr<1> -> i32"


def direct(copies, wait, read):
    """Copies of 4 bytes per lane to 256-byte pieces of LDS, then a read of one."""
    text = ""
    for i in range(copies):
        text += f"""
    %d{i} = llvm.getelementptr %lds[{256 * i}] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    rocdl.global.load.lds %from, %d{i}, 4, 0, 0"""
    return text + f"""
    {wait}
    %r = llvm.getelementptr %mine[{64 * read}] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i32
    %v = llvm.load %r : !llvm.ptr<3> -> i32
    rocdl.s.waitcnt 3952"""


def hand_over(scope):
    return f"""
    %isFirst = arith.cmpi eq, %block, %c0 : i32
    scf.if %first {{
      scf.if %isFirst {{
        llvm.store %c4, %out : i32, !llvm.ptr<1>
        %old = llvm.atomicrmw xchg %in, %c1 {scope} release : !llvm.ptr<1>, i32
      }} else {{
        %done = scf.while (%x = %c0) : (i32) -> i32 {{
          %now = llvm.load %in atomic {scope} acquire {{alignment = 4 : i64}} : !llvm.ptr<1> -> i32
          %again = arith.cmpi ne, %now, %c1 : i32
          scf.condition(%again) %now : i32
        }} do {{
        ^bb0(%x: i32):
          scf.yield %x : i32
        }}
        %v = llvm.load %out : !llvm.ptr<1> -> i32
      }}
    }}"""


def resource(size):
    return f"""
    %size = arith.constant {size} : i64
    %rsrc = rocdl.make.buffer.rsrc %in, %i0, %size, %flags : !llvm.ptr<1> to !llvm.ptr<8>
    %offset = arith.muli %tid, %c64 : i32"""


# Name, launch, chip, text of the report (empty: runs clean), body.
CASES = [
    # What a barrier orders is the fences' business.
    ("lds", TWO, "gfx942", RACE, exchange("")),
    ("lds-barrier", TWO, "gfx942", "", exchange("amdgpu.lds_barrier")),
    ("lds-rocdl-barrier", TWO, "gfx942", "", exchange("rocdl.barrier")),
    ("lds-s-barrier", TWO, "gfx942", RACE, exchange("rocdl.s.barrier")),
    ("lds-no-acquire", TWO, "gfx942", RACE, exchange(RELEASE + "rocdl.s.barrier")),
    ("lds-no-release", TWO, "gfx942", RACE, exchange("rocdl.s.barrier\n" + ACQUIRE)),
    ("lds-no-barrier", TWO, "gfx942", RACE, exchange(RELEASE + ACQUIRE)),
    ("lds-fences", TWO, "gfx942", "", exchange(RELEASE + "rocdl.s.barrier\n" + ACQUIRE)),
    ("lds-local-fences", TWO, "gfx942", "",
     exchange(f'llvm.fence syncscope("workgroup") release {LOCAL}\nrocdl.s.barrier\nllvm.fence syncscope("workgroup") acquire {LOCAL}')),
    ("lds-wavefront-fences", TWO, "gfx942", RACE,
     exchange('llvm.fence syncscope("wavefront") release\nrocdl.s.barrier\nllvm.fence syncscope("wavefront") acquire')),
    ("lds-split-barrier", "grid = [1], block = [128]", "gfx1201", "",
     exchange(RELEASE + "rocdl.s.barrier.signal id = -1\nrocdl.s.barrier.wait id = -1\n" + ACQUIRE)),
    ("lds-late-release", "grid = [1], block = [128]", "gfx1201", RACE,
     exchange("rocdl.s.barrier.signal id = -1\n" + RELEASE + "rocdl.s.barrier.wait id = -1\n" + ACQUIRE)),
    ("overwrite", TWO, "gfx942", "overwrites shared memory at 0x", exchange("amdgpu.lds_barrier") + "\nllvm.store %c1, %mine : i32, !llvm.ptr<3>"),
    ("overwrite-ordered", TWO, "gfx942", "",
     exchange("amdgpu.lds_barrier") + "\namdgpu.lds_barrier\nllvm.store %c1, %mine : i32, !llvm.ptr<3>"),
    ("global-lds-barrier", TWO, "gfx942", "without order after the write by another warp", through_global("amdgpu.lds_barrier")),
    ("global-barrier", TWO, "gfx942", "", through_global("rocdl.barrier")),
    ("lanes", ONE, "gfx942", RACE, "llvm.store %tid, %mine : i32, !llvm.ptr<3>\n%v = llvm.load %near : !llvm.ptr<3> -> i32"),
    ("lanes-fence", ONE, "gfx942", "",
     'llvm.store %tid, %mine : i32, !llvm.ptr<3>\nllvm.fence syncscope("wavefront") acq_rel\n%v = llvm.load %near : !llvm.ptr<3> -> i32'),
    ("uninitialised", ONE, "gfx942", "which nobody wrote", "%v = llvm.load %mine : !llvm.ptr<3> -> i32"),

    # Barriers of waves.
    ("signal-twice", ONE, "gfx1201", "second signal without a wait between", "rocdl.s.barrier.signal id = -1\nrocdl.s.barrier.signal id = -1"),
    ("wait-alone", ONE, "gfx1201", "wait without a signal before", "rocdl.s.barrier.wait id = -1"),
    ("exited-wave", TWO, "gfx942", "", "scf.if %firstWave {\n  amdgpu.lds_barrier\n}"),
    ("parted-lanes", ONE, "gfx942", "deadlock: ", "scf.if %low {\n  amdgpu.lds_barrier\n} else {\n  amdgpu.lds_barrier\n}"),

    # Copies into LDS are there when they have been waited for.
    ("direct", ONE, "gfx942", "", direct(1, "rocdl.s.waitcnt 3952", 0)),
    ("direct-no-wait", ONE, "gfx942", "without order after the copy into LDS by warp 0", direct(1, "", 0)),
    ("direct-lgkm", ONE, "gfx942", "without order after the copy into LDS", direct(1, "rocdl.s.waitcnt 49279", 0)),
    ("direct-counter", ONE, "gfx942", "", direct(1, "amdgpu.memory_counter_wait load(0)", 0)),
    ("direct-older", ONE, "gfx942", "", direct(3, "rocdl.s.waitcnt 3954", 0)),
    ("direct-newer", ONE, "gfx942", "without order after the copy into LDS", direct(3, "rocdl.s.waitcnt 3954", 1)),
    ("direct-exit", ONE, "gfx942", "pending at exit: 'rocdl.global.load.lds' 1 copies into LDS not waited for",
     "rocdl.global.load.lds %from, %lds, 4, 0, 0"),
    ("direct-places", ONE, "gfx942", "has an LDS address that differs between lanes", "rocdl.global.load.lds %from, %mine, 4, 0, 0"),
    ("direct-other-wave", TWO, "gfx942", "without order after the copy into LDS", """
    scf.if %firstWave {
      rocdl.global.load.lds %from, %lds, 4, 0, 0
    }
    amdgpu.lds_barrier
    scf.if %firstWave {
      rocdl.s.waitcnt 3952
    } else {
      %v = llvm.load %other : !llvm.ptr<3> -> i32
    }"""),
    ("direct-bounds", ONE, "gfx942", "out of bounds: 'rocdl.global.load.lds' 4 bytes at offset 2048 of buffer 'in' of 2048 bytes", """
    %far = llvm.getelementptr %from[508] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i32
    rocdl.global.load.lds %far, %lds, 4, 0, 0"""),

    # Resources.
    ("resource", ONE, "gfx942", "", resource(2048) + "\n%v = rocdl.raw.ptr.buffer.load %rsrc, %offset, %c0, %c0 : vector<4xi32>"),
    ("resource-too-long", ONE, "gfx942", "out of bounds: 'rocdl.raw.ptr.buffer.load' 16 bytes at offset 2048 of buffer 'in' of 2048 bytes",
     resource(4096) + """
    %c2048 = arith.constant 2048 : i32
    %last = arith.minui %offset, %c2048 : i32
    %v = rocdl.raw.ptr.buffer.load %rsrc, %last, %c0, %c0 : vector<4xi32>"""),
    ("resource-misaligned", ONE, "gfx942", "misaligned: 'rocdl.raw.ptr.buffer.load'",
     resource(2048) + "\n%odd = arith.addi %offset, %c1 : i32\n%v = rocdl.raw.ptr.buffer.load %rsrc, %odd, %c0, %c0 : i32"),

    # Across lanes.
    ("readlane", ONE, "gfx942", "", "%v = rocdl.readlane %tid, %c32 : (i32, i32) -> i32"),
    ("readlane-differs", ONE, "gfx942", "has lane numbers that differ between lanes", "%v = rocdl.readlane %tid, %tid : (i32, i32) -> i32"),
    ("readlane-inactive", ONE, "gfx942", "reads lane 32, which is not active", "scf.if %low {\n  %v = rocdl.readlane %tid, %c32 : (i32, i32) -> i32\n}"),
    ("bpermute-inactive", ONE, "gfx942", "reads lane 63, which is not active", """
    scf.if %low {
      %o = arith.addi %tid, %c32 : i32
      %i = arith.muli %o, %c4 : i32
      %v = rocdl.ds_bpermute %i, %tid : (i32, i32) -> i32
    }"""),
    ("mfma-parted", ONE, "gfx942", "partial warp: 'rocdl.mfma.f32.16x16x4f32' needs lanes 0xffffffffffffffff, but lanes 0xffffffff00000000 have exited", """
    %f = arith.constant 1.0 : f32
    %a = arith.constant dense<0.0> : vector<4xf32>
    scf.if %low {
      %d = rocdl.mfma.f32.16x16x4f32 %f, %f, %a, %c0, %c0, %c0 : (f32, f32, vector<4xf32>, i32, i32, i32) -> vector<4xf32>
    }"""),

    # Between workgroups.
    ("agent", BLOCKS, "gfx942", "", hand_over('syncscope("agent")')),
    ("workgroup", BLOCKS, "gfx942", "without order after the write by another block", hand_over('syncscope("workgroup")')),

    # Launches.
    ("threads", "grid = [1], block = [512]", "gfx942", "error: kernel 'k': 512 threads in a block, 256 at most", ""),
    ("shared", ONE, "gfx1100", "error: kernel 'k': 65537 bytes of shared memory, 65536 at most", "llvm.store %tid, %mine : i32, !llvm.ptr<3>"),
    ("shared-950", ONE, "gfx950", "", "llvm.store %tid, %mine : i32, !llvm.ptr<3>"),

    # Refused when decoded.
    ("no-chip", ONE, "gfx900", "error: chip 'gfx900' has no emulation: gfx942, gfx950, ", ""),
    ("unknown", ONE, "gfx942", "'rocdl.s.get.barrier.state' op has no emulation", "%v = rocdl.s.get.barrier.state id = -1 -> i32"),
    ("signal-942", ONE, "gfx942", "is not an operation of gfx942", "rocdl.s.barrier.signal id = -1"),
    ("waitcnt-12", ONE, "gfx1201", "is not an operation of gfx1201", "rocdl.s.waitcnt 0"),
    ("direct-11", ONE, "gfx1100", "is not an operation of gfx1100", "rocdl.global.load.lds %from, %lds, 4, 0, 0"),
    ("direct-16", ONE, "gfx942", "copies 16 bytes per lane: no operation of gfx942", "rocdl.global.load.lds %from, %lds, 16, 0, 0"),
    ("fp8-11", ONE, "gfx1100", "is not an operation of gfx1100", "%v = rocdl.cvt.f32.fp8 %tid[0] : f32"),
    ("stride", ONE, "gfx942", "has no emulation with a stride", """
    %i1 = arith.constant 4 : i16
    %size = arith.constant 64 : i64
    %rsrc = rocdl.make.buffer.rsrc %in, %i1, %size, %flags : !llvm.ptr<1> to !llvm.ptr<8>"""),
    ("dpp-12", ONE, "gfx1201", "has no emulation for control 304 of 'i32' on gfx1201", "%v = rocdl.update.dpp %c0, %tid with 304, 15, 15, false : i32"),
    ("mfma-format", ONE, "gfx942", "16x16x32 of 'vector<8xf8E4M3FN>' and 'vector<8xf8E4M3FN>' has no emulation on gfx942", """
    %w = arith.constant dense<0> : vector<8xi8>
    %f = arith.bitcast %w : vector<8xi8> to vector<8xf8E4M3FN>
    %a = arith.constant dense<0.0> : vector<4xf32>
    %d = amdgpu.mfma 16x16x32 %f * %f + %a blgp = none : vector<8xf8E4M3FN>, vector<8xf8E4M3FN>, vector<4xf32>"""),
    ("mfma-short", ONE, "gfx942", "has an operand of 32 bits per lane, the operation reads 64", """
    %w = arith.constant dense<0.0> : vector<2xf16>
    %a = arith.constant dense<0.0> : vector<4xf32>
    %d = rocdl.mfma.f32.16x16x16f16 %w, %w, %a, %c0, %c0, %c0 : (vector<2xf16>, vector<2xf16>, vector<4xf32>, i32, i32, i32) -> vector<4xf32>"""),
]


def emulate(driver, folder, name, launch, chip, body):
    path = pathlib.Path(folder) / f"{name}.mlir"
    lds = 65537 if name.startswith("shared") else 2048
    path.write_text(MODULE.format(launch=launch, chip=chip, body=body, lds=lds), encoding="utf-8")
    return subprocess.run([driver, str(path), "--seed=2"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=60)


def main(driver, folder):
    wrong = 0
    for name, launch, chip, text, body in CASES:
        done = emulate(driver, folder, name, launch, chip, body)
        if text:
            line = done.stdout.splitlines()[0] if done.stdout else ""
            good = done.returncode == 1 and text in done.stdout and (f"{name}.mlir" in line or line.startswith("error: "))
        else:
            good = done.returncode == 0 and done.stdout == "clean\n"
        if not good:
            wrong += 1
            print(f"{name}: wanted '{text or 'clean'}', exit {done.returncode}:\n{done.stdout[:800]}")
    assert len({case[0] for case in CASES}) == len(CASES), "a name twice"
    print(f"{len(CASES)} kernels, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
