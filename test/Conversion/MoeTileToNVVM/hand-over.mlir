// A counter hands a row from one block to the next: each entry of the list copies its row, signals, and reads the
// row of the entry before it.
// RUN: moe-opt %s -convert-moe-tile-to-nvvm | FileCheck %s
// RUN: moe-opt %s -convert-moe-tile-to-nvvm -o %t
// RUN: %emulate %t | FileCheck %s --check-prefix=CLEAN
// RUN: %emulate %t --seed=1 | FileCheck %s --check-prefix=CLEAN
// RUN: %emulate %t --seed=2 | FileCheck %s --check-prefix=CLEAN
// CLEAN: clean

// Without one of its parts it is found out, whatever the schedule.
// RUN: sed '/llvm.fence.* release/d' %t > %t.release && not %emulate %t.release | FileCheck %s --check-prefix=RACE
// RUN: sed '/llvm.fence.* acquire/d' %t > %t.acquire && not %emulate %t.acquire | FileCheck %s --check-prefix=RACE
// RUN: awk '/nvvm.barrier/ && ++n == 1 {next} {print}' %t > %t.first && not %emulate %t.first | FileCheck %s --check-prefix=RACE
// RUN: awk '/nvvm.barrier/ && ++n == 2 {next} {print}' %t > %t.second && not %emulate %t.second | FileCheck %s --check-prefix=RACE
// RACE: race

// CHECK-LABEL: llvm.func @hand_over
// CHECK:         llvm.store
// The team's writes, then the fence, then the count.
// CHECK:         nvvm.barrier id
// CHECK:         scf.if
// CHECK:           llvm.fence syncscope("device") release
// CHECK:           llvm.atomicrmw add {{.*}} syncscope("device") monotonic
// CHECK:         scf.if
// CHECK:           scf.while
// CHECK:             llvm.load {{.*}} atomic syncscope("device") monotonic
// CHECK:             nvvm.nanosleep
// CHECK:           llvm.fence syncscope("device") acquire
// CHECK:         nvvm.barrier id
// CHECK:         llvm.load

#row = #moe_tile.digits<lane = [n * 32 by 1], warp = [n * 4 by 32]>
!row = !moe_tile.frag<1x128xf32, #row>

// Entry i is (4 i, 4 i + 1, ...): its row and its counter are 4 i + 1.
module attributes {
  emu.buffers = [{name = "src", type = "f32", size = 12288, init = "random"},
                 {name = "data", type = "f32", size = 12288, init = "none"},
                 {name = "out", type = "f32", size = 12288, init = "none"},
                 {name = "table", type = "i32", size = 96, init = "index"},
                 {name = "counters", type = "i32", size = 96, init = "zero"}],
  emu.launches = [{kernel = "hand_over", grid = [6], block = [128], resident, args = [
    {buffer = "src"}, {buffer = "data"}, {buffer = "out"}, {buffer = "table"}, {buffer = "counters"}]}]
} {
  moe_tile.kernel @hand_over(%src: memref<?x128xf32>, %data: memref<?x128xf32>, %out: memref<?x128xf32>,
                             %table: memref<24x4xi32>, %counters: memref<?xi32>)
      attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 128, cluster = 1, resident>} {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c4 = arith.constant 4 : index
    %n = arith.constant 24 : index
    %one = arith.constant 1 : i32
    %list = moe_tile.block_list %table count(%n) columns 128 by 128 : memref<24x4xi32> -> !moe_tile.tiles<blocks>
    moe_tile.roles {
      moe_tile.role @all threads(128) {
        moe_tile.for_tiles %t in %list : !moe_tile.tiles<blocks> order(block_major) claim(stride) {
          %e, %row, %rows, %n0 = moe_tile.coords %t : index
          %x = moe_tile.load %src[%row, %c0] : memref<?x128xf32> -> !row
          moe_tile.store %x to %data[%row, %c0] : !row to memref<?x128xf32>
          moe_tile.signal %counters[%row] : memref<?xi32>
          %back = arith.subi %row, %c4 : index
          %before = arith.maxsi %back, %c1 : index
          moe_tile.await %counters[%before] ge %one : memref<?xi32>
          %y = moe_tile.load %data[%before, %c0] : memref<?x128xf32> -> !row
          moe_tile.store %y to %out[%row, %c0] : !row to memref<?x128xf32>
        }
      }
    }
    moe_tile.return
  }
}
