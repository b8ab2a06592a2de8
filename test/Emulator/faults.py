# RUN: rm -rf %t && mkdir %t && %python %s %emulate %t
"""Kernels with one fault each: the report names the rule, the numbers and the place.

Every case is the body of a kernel of one warp or more, behind the same few
values, and the text that the emulator must say of it. A case without a text must
run clean: it is the same kernel with the fault taken away, so that a report
about something else cannot pass for the one that is meant.
"""

import pathlib
import subprocess
import sys

MODULE = """
module attributes {{
  emu.buffers = [{{name = "in", type = "i32", size = 512, init = "index"}},
                 {{name = "out", type = "i32", size = 512, init = "none"}}],
  emu.launches = [{{kernel = "k", smem = 4096, args = [{{buffer = "in"}}, {{buffer = "out"}}], {launch}}}]
}} {{
  llvm.mlir.global external @smem() {{addr_space = 3 : i32, alignment = 1024 : i64}} : !llvm.array<0 x i8>
  {globals}
  llvm.func @k(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {{nvvm.kernel}} {{
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c2 = arith.constant 2 : i32
    %c16 = arith.constant 16 : i32
    %c32 = arith.constant 32 : i32
    %c64 = arith.constant 64 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %first = arith.cmpi eq, %tid, %c0 : i32
    %firstWarp = arith.cmpi ult, %tid, %c32 : i32
    %rank = nvvm.read.ptx.sreg.cluster.ctarank : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %from = llvm.getelementptr %in[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
    %to = llvm.getelementptr %out[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
    %bar = llvm.getelementptr %smem[4088] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
{body}
    llvm.return
  }}
}}
"""

ONE_WARP = "grid = [1], block = [32]"
TWO_WARPS = "grid = [1], block = [64]"
FULL_BLOCK = "grid = [1], block = [512]"
PAIR = "grid = [2], block = [32], cluster = [2]"

INIT = """
    scf.if %first {
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
    }
    nvvm.barrier
"""

# Name, launch, text of the report (empty: runs clean), body.
CASES = [
    # Named barriers.
    ("barrier-16", TWO_WARPS, "invalid: 'nvvm.barrier' barrier 16 is not in [0, 15]",
     "nvvm.barrier id = %c16 number_of_threads = %c64"),
    ("barrier-33-threads", TWO_WARPS, "barrier 1 for 33 threads in a block of 2 warps", """
    %c33 = arith.constant 33 : i32
    nvvm.barrier id = %c1 number_of_threads = %c33"""),
    ("barrier-0-threads", TWO_WARPS, "barrier 1 for 0 threads in a block of 2 warps",
     "nvvm.barrier id = %c1 number_of_threads = %c0"),
    ("barrier-128-threads", TWO_WARPS, "barrier 1 for 128 threads in a block of 2 warps", """
    %c128 = arith.constant 128 : i32
    nvvm.barrier id = %c1 number_of_threads = %c128"""),
    ("barrier-64-threads", TWO_WARPS, "",
     "nvvm.barrier id = %c1 number_of_threads = %c64"),

    # Cluster barriers.
    ("cluster-arrives-twice", PAIR, "second arrive without a wait between", """
    nvvm.cluster.arrive
    nvvm.cluster.arrive"""),
    ("cluster-waits-first", PAIR, "wait without an arrive before",
     "nvvm.cluster.wait"),
    ("cluster-meets", PAIR, "", """
    nvvm.cluster.arrive
    nvvm.cluster.wait
    nvvm.cluster.arrive
    nvvm.cluster.wait"""),

    # mbarriers.
    ("mbarrier-for-nobody", ONE_WARP, "count 0 is not in [1, 2^20)", """
    scf.if %first {
      nvvm.mbarrier.init %bar, %c0 : !llvm.ptr<3>, i32
    }"""),
    ("mbarrier-for-2-20", ONE_WARP, "count 1048576 is not in [1, 2^20)", """
    %many = arith.constant 1048576 : i32
    scf.if %first {
      nvvm.mbarrier.init %bar, %many : !llvm.ptr<3>, i32
    }"""),
    ("mbarrier-for-2-20-less-1", ONE_WARP, "", """
    %many = arith.constant 1048575 : i32
    scf.if %first {
      nvvm.mbarrier.init %bar, %many : !llvm.ptr<3>, i32
    }"""),
    ("mbarrier-twice", ONE_WARP, "the mbarrier at 0x13f8 is in use already", INIT + """
    scf.if %first {
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
    }"""),
    ("mbarrier-again-after-inval", ONE_WARP, "", INIT + """
    scf.if %first {
      nvvm.mbarrier.inval %bar : !llvm.ptr<3>
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
    }"""),
    ("mbarrier-after-inval", ONE_WARP, "no mbarrier was initialised at 0x13f8", INIT + """
    scf.if %first {
      nvvm.mbarrier.inval %bar : !llvm.ptr<3>
      nvvm.mbarrier.arrive.expect_tx %bar, %c0 : !llvm.ptr<3>, i32
    }"""),
    ("mbarrier-unordered", TWO_WARPS, "uses the mbarrier at 0x13f8 without order after its initialisation", """
    scf.if %first {
      nvvm.mbarrier.init %bar, %c2 : !llvm.ptr<3>, i32
    }
    %other = arith.cmpi eq, %tid, %c32 : i32
    scf.if %other {
      %i0 = arith.constant 0 : index
      %i1 = arith.constant 1 : index
      %i100 = arith.constant 100 : index
      scf.for %i = %i0 to %i100 step %i1 {
        %sum = arith.addi %tid, %c1 : i32
      }
      nvvm.mbarrier.arrive.expect_tx %bar, %c0 : !llvm.ptr<3>, i32
    }"""),
    ("mbarrier-read", ONE_WARP, "reads the mbarrier object in shared memory at 0x13f8", INIT + """
    %v = llvm.load %bar : !llvm.ptr<3> -> i32"""),
    ("mbarrier-misaligned", ONE_WARP, "misaligned: ", """
    %odd = llvm.getelementptr %smem[4] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    scf.if %first {
      nvvm.mbarrier.init %odd, %c1 : !llvm.ptr<3>, i32
    }"""),
    ("mbarrier-in-global-memory", ONE_WARP, "mbarrier is not in shared memory", """
    %generic = llvm.addrspacecast %in : !llvm.ptr<1> to !llvm.ptr
    nvvm.mbarrier.arrive.expect_tx %generic, %c0 : !llvm.ptr, i32"""),

    # Memory of other blocks.
    ("block-beyond-the-cluster", PAIR, "rank 2 in a cluster of 2 blocks", """
    %far = nvvm.mapa %smem, %c2 : !llvm.ptr<3> -> !llvm.ptr<7>"""),
    ("block-outside-of-a-cluster", ONE_WARP, "is in no block of the cluster of 1", """
    %address = llvm.ptrtoint %mine : !llvm.ptr<3> to i64
    %bit = arith.constant 50331648 : i64
    %wrong = arith.ori %address, %bit : i64
    %far = llvm.inttoptr %wrong : i64 to !llvm.ptr<7>
    llvm.store %tid, %far : i32, !llvm.ptr<7>"""),
    ("neighbour", PAIR, "", """
    %other = arith.xori %rank, %c1 : i32
    %far = nvvm.mapa %mine, %other : !llvm.ptr<3> -> !llvm.ptr<7>
    llvm.store %tid, %far : i32, !llvm.ptr<7>
    nvvm.cluster.arrive
    nvvm.cluster.wait
    %v = llvm.load %mine : !llvm.ptr<3> -> i32"""),
    ("neighbour-has-exited", PAIR, "uses shared memory of block 1 of the cluster, which has exited", """
    %lone = arith.cmpi eq, %rank, %c0 : i32
    %far = nvvm.mapa %mine, %c1 : !llvm.ptr<3> -> !llvm.ptr<7>
    scf.if %lone {
      %c1000 = arith.constant 1000 : index
      %i0 = arith.constant 0 : index
      %i1 = arith.constant 1 : index
      scf.for %i = %i0 to %c1000 step %i1 {
        nvvm.barrier
      }
      llvm.store %tid, %far : i32, !llvm.ptr<7>
    }"""),

    # Addresses.
    ("below-shared-memory", ONE_WARP, "4 bytes at offset -4 of shared memory of 4096 bytes", """
    %p = llvm.getelementptr %smem[-4] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    llvm.store %tid, %p : i32, !llvm.ptr<3>"""),
    ("last-byte-of-shared-memory", ONE_WARP, "4 bytes at offset 4094 of shared memory of 4096 bytes", """
    %p = llvm.getelementptr %smem[4094] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    llvm.store %tid, %p {alignment = 2 : i64} : i32, !llvm.ptr<3>"""),
    ("global-misaligned", ONE_WARP, "offset 2 of buffer 'in' is not a multiple of 4", """
    %p = llvm.getelementptr %in[2] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i8
    %v = llvm.load %p : !llvm.ptr<1> -> i32"""),
    ("global-vector-misaligned", ONE_WARP, "offset 4 of buffer 'in' is not a multiple of 16", """
    %p = llvm.getelementptr %in[4] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i8
    %v = llvm.load %p : !llvm.ptr<1> -> vector<4xi32>"""),
    ("global-last-vector", ONE_WARP, "16 bytes at offset 2036 of buffer 'in' of 2048 bytes", """
    %p = llvm.getelementptr %in[2036] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i8
    %v = llvm.load %p {alignment = 4 : i64} : !llvm.ptr<1> -> vector<4xi32>"""),
    ("global-vector", ONE_WARP, "", """
    %p = llvm.getelementptr %in[2032] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i8
    %v = llvm.load %p : !llvm.ptr<1> -> vector<4xi32>"""),
    ("local-out-of-bounds", ONE_WARP, "4 bytes at offset 16 of local memory of 16 bytes", """
    %p = llvm.alloca %c2 x i64 : (i32) -> !llvm.ptr<5>
    %q = llvm.getelementptr %p[16] : (!llvm.ptr<5>) -> !llvm.ptr<5>, i8
    llvm.store %tid, %q : i32, !llvm.ptr<5>"""),
    ("local", ONE_WARP, "", """
    %p = llvm.alloca %c2 x i64 : (i32) -> !llvm.ptr<5>
    %q = llvm.getelementptr %p[12] : (!llvm.ptr<5>) -> !llvm.ptr<5>, i8
    llvm.store %tid, %q : i32, !llvm.ptr<5>
    %v = llvm.load %q : !llvm.ptr<5> -> i32
    llvm.store %v, %to : i32, !llvm.ptr<1>"""),

    # Warps.
    ("shuffle-outside-of-the-mask", ONE_WARP, "reads a lane outside its mask 0x00000003", """
    %mask = arith.constant 3 : i32
    %clamp = arith.constant 31 : i32
    %two = arith.cmpi ult, %tid, %c2 : i32
    scf.if %two {
      %v = nvvm.shfl.sync idx %mask, %tid, %c2, %clamp : i32 -> i32
    }"""),
    ("shuffle-within-the-mask", ONE_WARP, "", """
    %mask = arith.constant 3 : i32
    %clamp = arith.constant 31 : i32
    %two = arith.cmpi ult, %tid, %c2 : i32
    scf.if %two {
      %v = nvvm.shfl.sync bfly %mask, %tid, %c1, %clamp : i32 -> i32
    }"""),
    ("registers-grow-by-decrease", FULL_BLOCK, "changes 128 registers per thread to 200",
     "nvvm.setmaxregister decrease 200"),
    ("registers-shrink-by-increase", FULL_BLOCK, "registers per thread to 24",
     "nvvm.setmaxregister increase 24"),

    # Copies.
    ("cp-async-too-long", ONE_WARP, "copies 32 of 16 bytes", """
    scf.if %first {
      nvvm.cp.async.shared.global %smem, %in, 16, cache = cg, %c32 : !llvm.ptr<3>, !llvm.ptr<1>, i32
      nvvm.cp.async.commit.group
      nvvm.cp.async.wait.group 0
    }"""),
    ("cp-async-short", ONE_WARP, "", """
    %c4 = arith.constant 4 : i32
    scf.if %first {
      nvvm.cp.async.shared.global %smem, %in, 16, cache = cg, %c4 : !llvm.ptr<3>, !llvm.ptr<1>, i32
      nvvm.cp.async.commit.group
      nvvm.cp.async.wait.group 0
      %v = llvm.load %smem : !llvm.ptr<3> -> vector<4xi32>
    }"""),
    ("bulk-size-0", ONE_WARP, "size 0 is not a multiple of 16", """
    scf.if %first {
      nvvm.cp.async.bulk.global.shared.cta %out, %smem, %c0 : !llvm.ptr<1>, !llvm.ptr<3>
    }"""),
    ("bulk-load-of-5-bytes", ONE_WARP, "size 5 is not a multiple of 16", INIT + """
    %c5 = arith.constant 5 : i32
    %dst = llvm.addrspacecast %smem : !llvm.ptr<3> to !llvm.ptr<7>
    scf.if %first {
      nvvm.cp.async.bulk.shared.cluster.global %dst, %in, %bar, %c5 : !llvm.ptr<7>, !llvm.ptr<1>
    }"""),
    ("bulk-multicast-beyond-the-cluster", PAIR, "multicast mask 0x4 in a cluster of 2 blocks", INIT + """
    %mask = arith.constant 4 : i16
    %dst = llvm.addrspacecast %smem : !llvm.ptr<3> to !llvm.ptr<7>
    scf.if %first {
      nvvm.cp.async.bulk.shared.cluster.global %dst, %in, %bar, %c16 multicast_mask = %mask : !llvm.ptr<7>, !llvm.ptr<1>
    }"""),
    ("bulk-load", ONE_WARP, "", """
    scf.if %first {
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
      nvvm.fence.mbarrier.init
      nvvm.mbarrier.arrive.expect_tx %bar, %c16 : !llvm.ptr<3>, i32
      %dst = llvm.addrspacecast %smem : !llvm.ptr<3> to !llvm.ptr<7>
      nvvm.cp.async.bulk.shared.cluster.global %dst, %in, %bar, %c16 : !llvm.ptr<7>, !llvm.ptr<1>
    }
    nvvm.barrier
    moe_nv.wait_parity %bar, %c0 : !llvm.ptr<3>
    %v = llvm.load %smem : !llvm.ptr<3> -> vector<4xi32>"""),
]


def emulate(driver, folder, name, launch, body, globals_text=""):
    path = pathlib.Path(folder) / f"{name}.mlir"
    path.write_text(MODULE.format(launch=launch, globals=globals_text, body=body), encoding="utf-8")
    return subprocess.run([driver, str(path), "--seed=2"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=60)


def main(driver, folder):
    wrong = 0
    for name, launch, text, body in CASES:
        done = emulate(driver, folder, name, launch, body)
        if text:
            line = done.stdout.splitlines()[0] if done.stdout else ""
            good = done.returncode == 1 and text in done.stdout and f"{name}.mlir:" in line
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
