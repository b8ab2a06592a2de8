// Every kernel is broken in one way; what is said of it names the rule, the numbers
// and the place.

// RUN: not %emulate %s --only=race_warps --seed=2 | FileCheck %s --check-prefix=RACE-WARPS
// RUN: not %emulate %s --only=race_overwrite --seed=2 | FileCheck %s --check-prefix=RACE-OVERWRITE
// RUN: not %emulate %s --only=race_lanes | FileCheck %s --check-prefix=RACE-LANES
// RUN: not %emulate %s --only=race_blocks | FileCheck %s --check-prefix=RACE-BLOCKS
// RUN: not %emulate %s --only=out_of_shared | FileCheck %s --check-prefix=OUT-OF-SHARED
// RUN: not %emulate %s --only=out_of_global | FileCheck %s --check-prefix=OUT-OF-GLOBAL
// RUN: not %emulate %s --only=before_global | FileCheck %s --check-prefix=BEFORE-GLOBAL
// RUN: not %emulate %s --only=null | FileCheck %s --check-prefix=NULL
// RUN: not %emulate %s --only=misaligned | FileCheck %s --check-prefix=MISALIGNED
// RUN: not %emulate %s --only=uninitialised_shared | FileCheck %s --check-prefix=UNINITIALISED-SHARED
// RUN: not %emulate %s --only=uninitialised_global | FileCheck %s --check-prefix=UNINITIALISED-GLOBAL
// RUN: not %emulate %s --only=no_mbarrier | FileCheck %s --check-prefix=NO-MBARRIER
// RUN: not %emulate %s --only=deadlock_mbarrier | FileCheck %s --check-prefix=DEADLOCK-MBARRIER
// RUN: not %emulate %s --only=deadlock_barrier | FileCheck %s --check-prefix=DEADLOCK-BARRIER
// RUN: not %emulate %s --only=deadlock_counter | FileCheck %s --check-prefix=DEADLOCK-COUNTER
// RUN: not %emulate %s --only=deadlock_registers | FileCheck %s --check-prefix=DEADLOCK-REGISTERS
// RUN: not %emulate %s --only=barrier_count | FileCheck %s --check-prefix=BARRIER-COUNT
// RUN: not %emulate %s --only=partial_barrier | FileCheck %s --check-prefix=PARTIAL-BARRIER
// RUN: not %emulate %s --only=partial_shuffle | FileCheck %s --check-prefix=PARTIAL-SHUFFLE
// RUN: not %emulate %s --only=outside_mask | FileCheck %s --check-prefix=OUTSIDE-MASK
// RUN: not %emulate %s --only=too_many_arrivals | FileCheck %s --check-prefix=TOO-MANY-ARRIVALS
// RUN: not %emulate %s --only=write_mbarrier | FileCheck %s --check-prefix=WRITE-MBARRIER
// RUN: not %emulate %s --only=rank | FileCheck %s --check-prefix=RANK
// RUN: not %emulate %s --only=exit_of_neighbour --seed=6 | FileCheck %s --check-prefix=EXIT-OF-NEIGHBOUR
// RUN: not %emulate %s --only=copy_in_flight | FileCheck %s --check-prefix=COPY-IN-FLIGHT
// RUN: not %emulate %s --only=copy_at_exit | FileCheck %s --check-prefix=COPY-AT-EXIT
// RUN: not %emulate %s --only=unfenced_mbarrier | FileCheck %s --check-prefix=UNFENCED-MBARRIER
// RUN: not %emulate %s --only=coordinates | FileCheck %s --check-prefix=COORDINATES
// RUN: not %emulate %s --only=store_unfenced | FileCheck %s --check-prefix=STORE-UNFENCED
// RUN: not %emulate %s --only=store_at_exit | FileCheck %s --check-prefix=STORE-AT-EXIT
// RUN: not %emulate %s --only=store_overwritten | FileCheck %s --check-prefix=STORE-OVERWRITTEN
// RUN: not %emulate %s --only=store_size | FileCheck %s --check-prefix=STORE-SIZE
// RUN: not %emulate %s --only=cp_async_unwaited | FileCheck %s --check-prefix=CP-ASYNC-UNWAITED
// RUN: not %emulate %s --only=cp_async_at_exit | FileCheck %s --check-prefix=CP-ASYNC-AT-EXIT
// RUN: not %emulate %s --only=accumulator | FileCheck %s --check-prefix=ACCUMULATOR
// RUN: not %emulate %s --only=wgmma_fence | FileCheck %s --check-prefix=WGMMA-FENCE
// RUN: not %emulate %s --only=wgmma_at_exit | FileCheck %s --check-prefix=WGMMA-AT-EXIT
// RUN: not %emulate %s --only=wgmma_unfenced | FileCheck %s --check-prefix=WGMMA-UNFENCED
// RUN: not %emulate %s --only=wgmma_overwritten | FileCheck %s --check-prefix=WGMMA-OVERWRITTEN
// RUN: not %emulate %s --only=wgmma_three_warps | FileCheck %s --check-prefix=WGMMA-THREE-WARPS
// RUN: not %emulate %s --only=descriptor | FileCheck %s --check-prefix=DESCRIPTOR
// RUN: not %emulate %s --only=early_start | FileCheck %s --check-prefix=EARLY-START
// RUN: not %emulate %s --only=race_atomic | FileCheck %s --check-prefix=RACE-ATOMIC
// RUN: not %emulate %s --only=atomic_unordered | FileCheck %s --check-prefix=ATOMIC-UNORDERED

!acc = !llvm.struct<(f32, f32, f32, f32)>

module attributes {
  emu.buffers = [{name = "in", type = "i32", size = 512, init = "index"},
                 {name = "one", type = "i32", size = 1, values = [1]},
                 {name = "out", type = "i32", size = 512, init = "none"}],
  emu.launches = [
    {kernel = "race_warps", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "race_overwrite", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "race_lanes", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "race_blocks", grid = [2], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "out_of_shared", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "out_of_global", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "before_global", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "null", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "misaligned", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "uninitialised_shared", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "uninitialised_global", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "no_mbarrier", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "deadlock_mbarrier", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "deadlock_barrier", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "deadlock_counter", grid = [1], block = [64], smem = 4096, args = [{buffer = "one"}, {buffer = "out"}]},
    {kernel = "deadlock_registers", grid = [1], block = [512], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "barrier_count", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "partial_barrier", grid = [1], block = [32], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "partial_shuffle", grid = [1], block = [32], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "outside_mask", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "too_many_arrivals", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "write_mbarrier", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "rank", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "exit_of_neighbour", grid = [2], block = [64], smem = 4096, cluster = [2], args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "copy_in_flight", grid = [1], block = [64], smem = 4096, args = [{map = "in", type = "bf16", dims = [64, 16], strides = [128], box = [64, 8], swizzle = 128}]},
    {kernel = "copy_at_exit", grid = [1], block = [64], smem = 4096, args = [{map = "in", type = "bf16", dims = [64, 16], strides = [128], box = [64, 8], swizzle = 128}]},
    {kernel = "unfenced_mbarrier", grid = [1], block = [64], smem = 4096, args = [{map = "in", type = "bf16", dims = [64, 16], strides = [128], box = [64, 8], swizzle = 128}]},
    {kernel = "coordinates", grid = [1], block = [64], smem = 4096, args = [{map = "in", type = "bf16", dims = [64, 16], strides = [128], box = [64, 8], swizzle = 128}]},
    {kernel = "store_unfenced", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "store_at_exit", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "store_overwritten", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "store_size", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "cp_async_unwaited", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "cp_async_at_exit", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "accumulator", grid = [1], block = [128], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "wgmma_fence", grid = [1], block = [128], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "wgmma_at_exit", grid = [1], block = [128], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "wgmma_unfenced", grid = [1], block = [128], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "wgmma_overwritten", grid = [1], block = [128], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "wgmma_three_warps", grid = [1], block = [128], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "descriptor", grid = [1], block = [128], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "early_start", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "early_start", grid = [2], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}], early},
    {kernel = "race_atomic", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]},
    {kernel = "atomic_unordered", grid = [1], block = [64], smem = 4096, args = [{buffer = "in"}, {buffer = "out"}]}]
} {
  llvm.mlir.global external @smem() {addr_space = 3 : i32, alignment = 1024 : i64} : !llvm.array<0 x i8>

  // RACE-WARPS: detectors.mlir:{{[0-9]+:[0-9]+}}: race: '{{.*}}reads shared memory at 0x{{400|480}} without order after the write by warp {{[01]}} at detectors.mlir:
  llvm.func @race_warps(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c32 = arith.constant 32 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %other0 = arith.xori %tid, %c32 : i32
    %other = llvm.getelementptr %smem[%other0] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    llvm.store %tid, %mine : i32, !llvm.ptr<3>
    %v = llvm.load %other : !llvm.ptr<3> -> i32
    llvm.return
  }

  // RACE-OVERWRITE: detectors.mlir:{{[0-9]+:[0-9]+}}: race: '{{.*}}overwrites shared memory at 0x{{400|480}} without order after a read by warp {{[01]}}
  llvm.func @race_overwrite(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c32 = arith.constant 32 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %other0 = arith.xori %tid, %c32 : i32
    %other = llvm.getelementptr %smem[%other0] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    llvm.store %tid, %mine : i32, !llvm.ptr<3>
    nvvm.barrier
    %v = llvm.load %mine : !llvm.ptr<3> -> i32
    llvm.store %v, %other : i32, !llvm.ptr<3>
    llvm.return
  }

  // RACE-LANES: detectors.mlir:{{[0-9]+:[0-9]+}}: race: '{{.*}}reads shared memory at 0x404 without order after the write by warp 0
  // RACE-LANES-SAME: warp 0, lane 0
  llvm.func @race_lanes(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c1 = arith.constant 1 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    llvm.store %tid, %mine : i32, !llvm.ptr<3>
    %next = arith.xori %tid, %c1 : i32
    %p = llvm.getelementptr %smem[%next] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %v = llvm.load %p : !llvm.ptr<3> -> i32
    llvm.return
  }

  // RACE-BLOCKS: detectors.mlir:{{[0-9]+:[0-9]+}}: race: '{{.*}}overwrites offset 0 of buffer 'out' without order after the write by another block (cluster 0)
  // RACE-BLOCKS-SAME: block 1,0,0
  llvm.func @race_blocks(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    scf.if %isFirst {
      llvm.store %tid, %out : i32, !llvm.ptr<1>
    }
    llvm.return
  }

  // OUT-OF-SHARED: detectors.mlir:{{[0-9]+:[0-9]+}}: out of bounds: '{{.*}}4 bytes at offset 4096 of shared memory of 4096 bytes
  // OUT-OF-SHARED-SAME: warp 0, lane 0
  llvm.func @out_of_shared(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %p = llvm.getelementptr %mine[1024] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i32
    llvm.store %tid, %p : i32, !llvm.ptr<3>
    llvm.return
  }

  // OUT-OF-GLOBAL: detectors.mlir:{{[0-9]+:[0-9]+}}: out of bounds: '{{.*}}4 bytes at offset 2048 of buffer 'in' of 2048 bytes
  // OUT-OF-GLOBAL-SAME: lane 0
  llvm.func @out_of_global(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %p = llvm.getelementptr %in[512] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i32
    %v = llvm.load %p : !llvm.ptr<1> -> i32
    llvm.return
  }

  // BEFORE-GLOBAL: detectors.mlir:{{[0-9]+:[0-9]+}}: out of bounds: '{{.*}}4 bytes at offset -4 of buffer 'out'
  llvm.func @before_global(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %p = llvm.getelementptr %out[-1] : (!llvm.ptr<1>) -> !llvm.ptr<1>, i32
    llvm.store %tid, %p : i32, !llvm.ptr<1>
    llvm.return
  }

  // NULL: detectors.mlir:{{[0-9]+:[0-9]+}}: out of bounds: '{{.*}}address 0x0 is in no buffer
  llvm.func @null(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %null = llvm.mlir.zero : !llvm.ptr<1>
    %v = llvm.load %null : !llvm.ptr<1> -> i32
    llvm.return
  }

  // MISALIGNED: detectors.mlir:{{[0-9]+:[0-9]+}}: misaligned: '{{.*}}shared memory address 0x404 is not a multiple of 16
  // MISALIGNED-SAME: lane 1
  llvm.func @misaligned(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %v = arith.constant dense<0> : vector<4xi32>
    llvm.store %v, %mine : vector<4xi32>, !llvm.ptr<3>
    llvm.return
  }

  // UNINITIALISED-SHARED: detectors.mlir:{{[0-9]+:[0-9]+}}: uninitialised: '{{.*}}reads shared memory at 0x400, which nobody wrote
  llvm.func @uninitialised_shared(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %v = llvm.load %mine : !llvm.ptr<3> -> i32
    llvm.return
  }

  // UNINITIALISED-GLOBAL: detectors.mlir:{{[0-9]+:[0-9]+}}: uninitialised: '{{.*}}reads offset 0 of buffer 'out', which nobody wrote
  llvm.func @uninitialised_global(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %v = llvm.load %out : !llvm.ptr<1> -> i32
    llvm.return
  }

  // NO-MBARRIER: detectors.mlir:{{[0-9]+:[0-9]+}}: uninitialised: '{{.*}}no mbarrier was initialised at 0x13f8 of shared memory
  llvm.func @no_mbarrier(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[4088] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    moe_nv.wait_parity %bar, %c0 : !llvm.ptr<3>
    llvm.return
  }

  // DEADLOCK-MBARRIER: detectors.mlir:{{[0-9]+:[0-9]+}}: deadlock: '{{.*}}and 1 more group(s) of lanes wait for ever:
  // DEADLOCK-MBARRIER: warp 0 lanes 0xffffffff: detectors.mlir:{{[0-9:]+}}: mbarrier at 0x13f8: phase 0 has 1 of 2 arrivals and 16 bytes outstanding
  llvm.func @deadlock_mbarrier(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c2 = arith.constant 2 : i32
    %c16 = arith.constant 16 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[4088] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    scf.if %isFirst {
      nvvm.mbarrier.init %bar, %c2 : !llvm.ptr<3>, i32
      nvvm.mbarrier.arrive.expect_tx %bar, %c16 : !llvm.ptr<3>, i32
    }
    nvvm.barrier
    moe_nv.wait_parity %bar, %c0 : !llvm.ptr<3>
    llvm.return
  }

  // DEADLOCK-BARRIER: detectors.mlir:{{[0-9]+:[0-9]+}}: deadlock: '{{.*}}wait for ever:
  // DEADLOCK-BARRIER: barrier 1: 32 of 64 threads have arrived
  llvm.func @deadlock_barrier(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c1 = arith.constant 1 : i32
    %c32 = arith.constant 32 : i32
    %c64 = arith.constant 64 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %w = arith.cmpi ult, %tid, %c32 : i32
    scf.if %w {
      nvvm.barrier id = %c1 number_of_threads = %c64
    }
    llvm.return
  }

  // DEADLOCK-COUNTER: detectors.mlir:{{[0-9]+:[0-9]+}}: deadlock: '{{.*}}wait for ever:
  // DEADLOCK-COUNTER: the counter at offset 0 of buffer 'one' to reach 5, it is 1
  llvm.func @deadlock_counter(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c5 = arith.constant 5 : i32
    moe_nv.await %in, %c5 : !llvm.ptr<1>
    llvm.return
  }

  // DEADLOCK-REGISTERS: detectors.mlir:{{[0-9]+:[0-9]+}}: deadlock: '{{.*}}wait for ever:
  // DEADLOCK-REGISTERS: registers: 65792 of 65536 would be in use
  llvm.func @deadlock_registers(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    nvvm.setmaxregister increase 136
    llvm.return
  }

  // BARRIER-COUNT: detectors.mlir:{{[0-9]+:[0-9]+}}: invalid: '{{.*}}barrier 1: one warp expects 64 threads, another 32
  llvm.func @barrier_count(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c1 = arith.constant 1 : i32
    %c32 = arith.constant 32 : i32
    %c64 = arith.constant 64 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %w = arith.cmpi ult, %tid, %c32 : i32
    scf.if %w {
      nvvm.barrier id = %c1 number_of_threads = %c64
    } else {
      nvvm.barrier id = %c1 number_of_threads = %c32
    }
    llvm.return
  }

  // PARTIAL-BARRIER: detectors.mlir:{{[0-9]+:[0-9]+}}: partial warp: '{{.*}}needs lanes 0xffffffff, but lanes 0xfffffffe have exited
  llvm.func @partial_barrier(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    scf.if %isFirst {
      nvvm.barrier
    }
    llvm.return
  }

  // PARTIAL-SHUFFLE: detectors.mlir:{{[0-9]+:[0-9]+}}: deadlock: '{{.*}}wait for ever:
  // PARTIAL-SHUFFLE: lanes 0x00000001 of the warp to get here
  llvm.func @partial_shuffle(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c31 = arith.constant 31 : i32
    %mones = arith.constant -1 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[4088] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    scf.if %isFirst {
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
      moe_nv.wait_parity %bar, %c0 : !llvm.ptr<3>
    }
    %v = nvvm.shfl.sync bfly %mones, %tid, %c1, %c31 : i32 -> i32
    llvm.return
  }

  // OUTSIDE-MASK: detectors.mlir:{{[0-9]+:[0-9]+}}: invalid: '{{.*}}is executed by a lane outside its mask 0x00000001
  llvm.func @outside_mask(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c1 = arith.constant 1 : i32
    %c31 = arith.constant 31 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %v = nvvm.shfl.sync bfly %c1, %tid, %c1, %c31 : i32 -> i32
    llvm.return
  }

  // TOO-MANY-ARRIVALS: detectors.mlir:{{[0-9]+:[0-9]+}}: invalid: '{{.*}}1 arrivals on the mbarrier at 0x13f8, which waits for 0 more of 2 in phase 0
  llvm.func @too_many_arrivals(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c2 = arith.constant 2 : i32
    %c16 = arith.constant 16 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[4088] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    scf.if %isFirst {
      nvvm.mbarrier.init %bar, %c2 : !llvm.ptr<3>, i32
      nvvm.mbarrier.arrive.expect_tx %bar, %c16 : !llvm.ptr<3>, i32
      %s1 = nvvm.mbarrier.arrive %bar : !llvm.ptr<3> -> i64
      %s2 = nvvm.mbarrier.arrive %bar : !llvm.ptr<3> -> i64
    }
    llvm.return
  }

  // WRITE-MBARRIER: detectors.mlir:{{[0-9]+:[0-9]+}}: invalid: '{{.*}}writes over the mbarrier object in shared memory at 0x13f8
  llvm.func @write_mbarrier(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c2 = arith.constant 2 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[4088] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    scf.if %isFirst {
      nvvm.mbarrier.init %bar, %c2 : !llvm.ptr<3>, i32
      llvm.store %tid, %bar : i32, !llvm.ptr<3>
    }
    llvm.return
  }

  // RANK: detectors.mlir:{{[0-9]+:[0-9]+}}: invalid: '{{.*}}rank 1 in a cluster of 1 blocks
  llvm.func @rank(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c1 = arith.constant 1 : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %p = nvvm.mapa %smem, %c1 : !llvm.ptr<3> -> !llvm.ptr<7>
    llvm.return
  }

  // EXIT-OF-NEIGHBOUR: detectors.mlir:{{[0-9]+:[0-9]+}}: pending at exit: '{{.*}}by warp 0 of block 1 of the cluster uses shared memory of this block, which exits without order after it
  llvm.func @exit_of_neighbour(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c2 = arith.constant 2 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[4088] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    scf.if %isFirst {
      nvvm.mbarrier.init %bar, %c2 : !llvm.ptr<3>, i32
      nvvm.fence.mbarrier.init
    }
    nvvm.cluster.arrive {aligned}
    nvvm.cluster.wait {aligned}
    scf.if %isFirst {
      %p = nvvm.mapa %bar, %c0 : !llvm.ptr<3> -> !llvm.ptr<7>
      nvvm.mbarrier.arrive %p : !llvm.ptr<7>
    }
    llvm.return
  }

  // COPY-IN-FLIGHT: detectors.mlir:{{[0-9]+:[0-9]+}}: race: '{{.*}}without order after the bulk copy still in flight by warp 0
  llvm.func @copy_in_flight(%map: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant}) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[4088] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    %bytes = arith.constant 1024 : i32
    scf.if %isFirst {
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
      nvvm.fence.mbarrier.init
      nvvm.mbarrier.arrive.expect_tx %bar, %bytes : !llvm.ptr<3>, i32
      %dst = llvm.addrspacecast %smem : !llvm.ptr<3> to !llvm.ptr<7>
      nvvm.cp.async.bulk.tensor.shared.cluster.global %dst, %map, %bar, box [%c0, %c0] : !llvm.ptr<7>, !llvm.ptr
    }
    nvvm.barrier
    %v = llvm.load %mine : !llvm.ptr<3> -> i32
    llvm.return
  }

  // COPY-AT-EXIT: detectors.mlir:{{[0-9]+:[0-9]+}}: pending at exit: '{{.*}}copies into shared memory of a block that has exited
  llvm.func @copy_at_exit(%map: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant}) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[4088] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    %bytes = arith.constant 1024 : i32
    scf.if %isFirst {
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
      nvvm.fence.mbarrier.init
      nvvm.mbarrier.arrive.expect_tx %bar, %bytes : !llvm.ptr<3>, i32
      %dst = llvm.addrspacecast %smem : !llvm.ptr<3> to !llvm.ptr<7>
      nvvm.cp.async.bulk.tensor.shared.cluster.global %dst, %map, %bar, box [%c0, %c0] : !llvm.ptr<7>, !llvm.ptr
    }
    llvm.return
  }

  // UNFENCED-MBARRIER: detectors.mlir:{{[0-9]+:[0-9]+}}: missing proxy fence: '{{.*}}completes on the mbarrier at 0x13f8, whose initialisation no fence.mbarrier.init follows
  llvm.func @unfenced_mbarrier(%map: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant}) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[4088] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    %bytes = arith.constant 1024 : i32
    scf.if %isFirst {
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
      nvvm.mbarrier.arrive.expect_tx %bar, %bytes : !llvm.ptr<3>, i32
      %dst = llvm.addrspacecast %smem : !llvm.ptr<3> to !llvm.ptr<7>
      nvvm.cp.async.bulk.tensor.shared.cluster.global %dst, %map, %bar, box [%c0, %c0] : !llvm.ptr<7>, !llvm.ptr
    }
    llvm.return
  }

  // COORDINATES: detectors.mlir:{{[0-9]+:[0-9]+}}: invalid: '{{.*}}1 coordinates for a tensor map of rank 2
  llvm.func @coordinates(%map: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, llvm.align = 64 : i64, nvvm.grid_constant}) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %bar = llvm.getelementptr %smem[4088] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    %bytes = arith.constant 1024 : i32
    scf.if %isFirst {
      nvvm.mbarrier.init %bar, %c1 : !llvm.ptr<3>, i32
      nvvm.fence.mbarrier.init
      nvvm.mbarrier.arrive.expect_tx %bar, %bytes : !llvm.ptr<3>, i32
      %dst = llvm.addrspacecast %smem : !llvm.ptr<3> to !llvm.ptr<7>
      nvvm.cp.async.bulk.tensor.shared.cluster.global %dst, %map, %bar, box [%c0] : !llvm.ptr<7>, !llvm.ptr
    }
    llvm.return
  }

  // STORE-UNFENCED: detectors.mlir:{{[0-9]+:[0-9]+}}: missing proxy fence: '{{.*}}reads shared memory at 0x400 through the async proxy without fence.proxy.async after the write by warp 0
  llvm.func @store_unfenced(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c256 = arith.constant 256 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    llvm.store %tid, %mine : i32, !llvm.ptr<3>
    nvvm.barrier
    scf.if %isFirst {
      nvvm.cp.async.bulk.global.shared.cta %out, %smem, %c256 : !llvm.ptr<1>, !llvm.ptr<3>
      nvvm.cp.async.bulk.commit.group
      nvvm.cp.async.bulk.wait_group 0
    }
    llvm.return
  }

  // STORE-AT-EXIT: detectors.mlir:{{[0-9]+:[0-9]+}}: pending at exit: '{{.*}}1 bulk copies out of shared memory not waited for when the warp exits
  llvm.func @store_at_exit(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c256 = arith.constant 256 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    llvm.store %tid, %mine : i32, !llvm.ptr<3>
    nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    nvvm.barrier
    scf.if %isFirst {
      nvvm.cp.async.bulk.global.shared.cta %out, %smem, %c256 : !llvm.ptr<1>, !llvm.ptr<3>
      nvvm.cp.async.bulk.commit.group
    }
    llvm.return
  }

  // STORE-OVERWRITTEN: detectors.mlir:{{[0-9]+:[0-9]+}}: race: '{{.*}}overwrites shared memory at 0x400 without order after a read by an asynchronous operation
  llvm.func @store_overwritten(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c256 = arith.constant 256 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    llvm.store %tid, %mine : i32, !llvm.ptr<3>
    nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    nvvm.barrier
    scf.if %isFirst {
      nvvm.cp.async.bulk.global.shared.cta %out, %smem, %c256 : !llvm.ptr<1>, !llvm.ptr<3>
      nvvm.cp.async.bulk.commit.group
    }
    llvm.store %tid, %mine : i32, !llvm.ptr<3>
    llvm.return
  }

  // STORE-SIZE: detectors.mlir:{{[0-9]+:[0-9]+}}: misaligned: '{{.*}}size 5 is not a multiple of 16
  llvm.func @store_size(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c5 = arith.constant 5 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    llvm.store %tid, %mine : i32, !llvm.ptr<3>
    nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    nvvm.barrier
    scf.if %isFirst {
      nvvm.cp.async.bulk.global.shared.cta %out, %smem, %c5 : !llvm.ptr<1>, !llvm.ptr<3>
      nvvm.cp.async.bulk.commit.group
    }
    llvm.return
  }

  // CP-ASYNC-UNWAITED: detectors.mlir:{{[0-9]+:[0-9]+}}: race: '{{.*}}reads shared memory at 0x{{[0-9a-f]+}} without order after the cp.async by warp 0
  llvm.func @cp_async_unwaited(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %p = llvm.getelementptr %in[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
    nvvm.cp.async.shared.global %mine, %p, 4, cache = ca : !llvm.ptr<3>, !llvm.ptr<1>
    nvvm.cp.async.commit.group
    nvvm.cp.async.wait.group 1
    %v = llvm.load %mine : !llvm.ptr<3> -> i32
    llvm.return
  }

  // CP-ASYNC-AT-EXIT: detectors.mlir:{{[0-9]+:[0-9]+}}: pending at exit: '{{.*}}1 cp.async not waited for when the warp exits
  llvm.func @cp_async_at_exit(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %mine = llvm.getelementptr %smem[%tid] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i32
    %p = llvm.getelementptr %in[%tid] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
    nvvm.cp.async.shared.global %mine, %p, 4, cache = ca : !llvm.ptr<3>, !llvm.ptr<1>
    llvm.return
  }

  // ACCUMULATOR: detectors.mlir:{{[0-9]+:[0-9]+}}: missing wait: '{{.*}}reads an accumulator while wgmma number 1 is in flight (0 have been waited for)
  llvm.func @accumulator(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c16 = arith.constant 16 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    // 64 rows of 32 bytes without swizzle: core matrices of 8 rows of 16 bytes.
    %zero = arith.constant dense<0> : vector<4xi32>
    %my16 = arith.muli %tid, %c16 : i32
    %slot = llvm.getelementptr %smem[%my16] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    llvm.store %zero, %slot {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
    nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    nvvm.barrier
    // start 0x400 >> 4, leading 128 >> 4, stride 256 >> 4
    %desc = arith.constant 68720001088 : i64
    %u = llvm.mlir.undef : !acc
    nvvm.wgmma.fence.aligned
    %d = nvvm.wgmma.mma_async %desc, %desc, %u, #nvvm.shape<m = 64, n = 8, k = 16>, D [<f32>, <zero>], A [<bf16>, <one>, <row>], B [<bf16>, <one>, <col>] : !acc -> !acc
    nvvm.wgmma.commit.group.sync.aligned
    %e = llvm.extractvalue %d[0] : !acc
    llvm.return
  }

  // WGMMA-FENCE: detectors.mlir:{{[0-9]+:[0-9]+}}: missing wait: '{{.*}}without wgmma.fence since the kernel's start or the last read of accumulators
  llvm.func @wgmma_fence(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c16 = arith.constant 16 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    // 64 rows of 32 bytes without swizzle: core matrices of 8 rows of 16 bytes.
    %zero = arith.constant dense<0> : vector<4xi32>
    %my16 = arith.muli %tid, %c16 : i32
    %slot = llvm.getelementptr %smem[%my16] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    llvm.store %zero, %slot {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
    nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    nvvm.barrier
    // start 0x400 >> 4, leading 128 >> 4, stride 256 >> 4
    %desc = arith.constant 68720001088 : i64
    %u = llvm.mlir.undef : !acc
    %d = nvvm.wgmma.mma_async %desc, %desc, %u, #nvvm.shape<m = 64, n = 8, k = 16>, D [<f32>, <zero>], A [<bf16>, <one>, <row>], B [<bf16>, <one>, <col>] : !acc -> !acc
    nvvm.wgmma.commit.group.sync.aligned
    %w = moe_nv.wgmma_wait 0 (%d : !acc)
    llvm.return
  }

  // WGMMA-AT-EXIT: detectors.mlir:{{[0-9]+:[0-9]+}}: pending at exit: '{{.*}}1 wgmma operation(s) not waited for when the warp exits
  llvm.func @wgmma_at_exit(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c16 = arith.constant 16 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    // 64 rows of 32 bytes without swizzle: core matrices of 8 rows of 16 bytes.
    %zero = arith.constant dense<0> : vector<4xi32>
    %my16 = arith.muli %tid, %c16 : i32
    %slot = llvm.getelementptr %smem[%my16] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    llvm.store %zero, %slot {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
    nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    nvvm.barrier
    // start 0x400 >> 4, leading 128 >> 4, stride 256 >> 4
    %desc = arith.constant 68720001088 : i64
    %u = llvm.mlir.undef : !acc
    nvvm.wgmma.fence.aligned
    %d = nvvm.wgmma.mma_async %desc, %desc, %u, #nvvm.shape<m = 64, n = 8, k = 16>, D [<f32>, <zero>], A [<bf16>, <one>, <row>], B [<bf16>, <one>, <col>] : !acc -> !acc
    nvvm.wgmma.commit.group.sync.aligned
    llvm.return
  }

  // WGMMA-UNFENCED: detectors.mlir:{{[0-9]+:[0-9]+}}: missing proxy fence: '{{.*}}through the async proxy without fence.proxy.async after the write by warp
  llvm.func @wgmma_unfenced(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c16 = arith.constant 16 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    // 64 rows of 32 bytes without swizzle: core matrices of 8 rows of 16 bytes.
    %zero = arith.constant dense<0> : vector<4xi32>
    %my16 = arith.muli %tid, %c16 : i32
    %slot = llvm.getelementptr %smem[%my16] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    llvm.store %zero, %slot {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
    nvvm.barrier
    // start 0x400 >> 4, leading 128 >> 4, stride 256 >> 4
    %desc = arith.constant 68720001088 : i64
    %u = llvm.mlir.undef : !acc
    nvvm.wgmma.fence.aligned
    %d = nvvm.wgmma.mma_async %desc, %desc, %u, #nvvm.shape<m = 64, n = 8, k = 16>, D [<f32>, <zero>], A [<bf16>, <one>, <row>], B [<bf16>, <one>, <col>] : !acc -> !acc
    nvvm.wgmma.commit.group.sync.aligned
    %w = moe_nv.wgmma_wait 0 (%d : !acc)
    llvm.return
  }

  // WGMMA-OVERWRITTEN: detectors.mlir:{{[0-9]+:[0-9]+}}: race: '{{.*}}overwrites shared memory at 0x{{[0-9a-f]+}} without order after a read by an asynchronous operation
  llvm.func @wgmma_overwritten(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c16 = arith.constant 16 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    // 64 rows of 32 bytes without swizzle: core matrices of 8 rows of 16 bytes.
    %zero = arith.constant dense<0> : vector<4xi32>
    %my16 = arith.muli %tid, %c16 : i32
    %slot = llvm.getelementptr %smem[%my16] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    llvm.store %zero, %slot {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
    nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    nvvm.barrier
    // start 0x400 >> 4, leading 128 >> 4, stride 256 >> 4
    %desc = arith.constant 68720001088 : i64
    %u = llvm.mlir.undef : !acc
    nvvm.wgmma.fence.aligned
    %d = nvvm.wgmma.mma_async %desc, %desc, %u, #nvvm.shape<m = 64, n = 8, k = 16>, D [<f32>, <zero>], A [<bf16>, <one>, <row>], B [<bf16>, <one>, <col>] : !acc -> !acc
    nvvm.wgmma.commit.group.sync.aligned
    nvvm.barrier
    llvm.store %zero, %slot {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
    llvm.return
  }

  // WGMMA-THREE-WARPS: detectors.mlir:{{[0-9]+:[0-9]+}}: deadlock: '{{.*}}wait for ever:
  // WGMMA-THREE-WARPS: warp 3 to execute wgmma number 1
  llvm.func @wgmma_three_warps(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c16 = arith.constant 16 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    // 64 rows of 32 bytes without swizzle: core matrices of 8 rows of 16 bytes.
    %zero = arith.constant dense<0> : vector<4xi32>
    %my16 = arith.muli %tid, %c16 : i32
    %slot = llvm.getelementptr %smem[%my16] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    llvm.store %zero, %slot {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
    nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    nvvm.barrier
    // start 0x400 >> 4, leading 128 >> 4, stride 256 >> 4
    %desc = arith.constant 68720001088 : i64
    %u = llvm.mlir.undef : !acc
    %three = arith.constant 96 : i32
    %some = arith.cmpi ult, %tid, %three : i32
    scf.if %some {
      nvvm.wgmma.fence.aligned
      %d = nvvm.wgmma.mma_async %desc, %desc, %u, #nvvm.shape<m = 64, n = 8, k = 16>, D [<f32>, <zero>], A [<bf16>, <one>, <row>], B [<bf16>, <one>, <col>] : !acc -> !acc
      nvvm.wgmma.commit.group.sync.aligned
      %w = moe_nv.wgmma_wait 0 (%d : !acc)
    }
    llvm.return
  }

  // DESCRIPTOR: detectors.mlir:{{[0-9]+:[0-9]+}}: invalid: '{{.*}}start 0x480 of descriptor A is not in the first row of a pattern of 1024 bytes
  llvm.func @descriptor(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c16 = arith.constant 16 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    // 64 rows of 32 bytes without swizzle: core matrices of 8 rows of 16 bytes.
    %zero = arith.constant dense<0> : vector<4xi32>
    %my16 = arith.muli %tid, %c16 : i32
    %slot = llvm.getelementptr %smem[%my16] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, i8
    llvm.store %zero, %slot {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
    nvvm.fence.proxy {kind = #nvvm.proxy_kind<async.shared>, space = #nvvm.shared_space<cta>}
    nvvm.barrier
    // start 0x400 >> 4, leading 128 >> 4, stride 256 >> 4
    %desc = arith.constant 4611686293305360456 : i64
    %u = llvm.mlir.undef : !acc
    nvvm.wgmma.fence.aligned
    %d = nvvm.wgmma.mma_async %desc, %desc, %u, #nvvm.shape<m = 64, n = 8, k = 16>, D [<f32>, <zero>], A [<bf16>, <one>, <row>], B [<bf16>, <one>, <col>] : !acc -> !acc
    llvm.return
  }

  // EARLY-START: detectors.mlir:{{[0-9]+:[0-9]+}}: race: '{{.*}}the launch before (griddepcontrol wait is missing)
  llvm.func @early_start(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c2 = arith.constant 2 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    %first = nvvm.read.ptx.sreg.nctaid.x : i32
    %isReader = arith.cmpi eq, %first, %c2 : i32
    scf.if %isReader {
      %v = llvm.load %out : !llvm.ptr<1> -> i32
    } else {
      scf.if %isFirst {
        llvm.store %tid, %out : i32, !llvm.ptr<1>
      }
      nvvm.griddepcontrol launch_dependents
    }
    llvm.return
  }

  // RACE-ATOMIC: detectors.mlir:{{[0-9]+:[0-9]+}}: race: '{{.*}}reads shared memory at 0x400 without order after the atomic by warp
  llvm.func @race_atomic(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    scf.if %isFirst {
      llvm.store %c0, %smem : i32, !llvm.ptr<3>
    }
    nvvm.barrier
    %o = llvm.atomicrmw add %smem, %c1 monotonic : !llvm.ptr<3>, i32
    %v = llvm.load %smem : !llvm.ptr<3> -> i32
    llvm.return
  }

  // ATOMIC-UNORDERED: detectors.mlir:{{[0-9]+:[0-9]+}}: race: '{{.*}}updates shared memory at 0x400 without order after the write by warp 0
  llvm.func @atomic_unordered(%in: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {nvvm.kernel} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %tid = nvvm.read.ptx.sreg.tid.x : i32
    %smem = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %isFirst = arith.cmpi eq, %tid, %c0 : i32
    scf.if %isFirst {
      llvm.store %c0, %smem : i32, !llvm.ptr<3>
    }
    %o = llvm.atomicrmw add %smem, %c1 monotonic : !llvm.ptr<3>, i32
    llvm.return
  }
}
