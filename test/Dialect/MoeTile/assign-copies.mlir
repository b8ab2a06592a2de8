// RUN: moe-opt %s -split-input-file -verify-diagnostics -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-assign-copies))" | FileCheck %s

// -----

// Consecutive rows are read by their first one.
// CHECK-LABEL: @consecutive
// CHECK:         %{{.+}}, %[[ROW0:.+]], %{{.+}}, %{{.+}} = moe_tile.coords
// CHECK:         moe_tile.load %{{.+}}[%[[ROW0]], %{{.+}}] how(desc)
// CHECK:         moe_tile.load {{.*}} how(desc)
// CHECK:         moe_tile.store {{.*}} how(vector)
moe_tile.kernel @consecutive(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %rows = moe_tile.row_iota %row0 limit(%r) -> !moe_tile.rows<64>
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%rows : !moe_tile.rows<64>, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

// CHECK-LABEL: @gathered
// CHECK:         moe_tile.load %{{.+}}[%{{.+}} : !moe_tile.rows<64>, %{{.+}}] how(gather)
moe_tile.kernel @gathered(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %rows = moe_tile.row_index %slots[%row0] limit(%r) : memref<?xi32> -> !moe_tile.rows<64>
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%rows : !moe_tile.rows<64>, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

// Consecutive rows may be gathered too.
// CHECK-LABEL: @gathered_by_config
// CHECK:         moe_tile.load %{{.+}}[%{{.+}} : !moe_tile.rows<64>, %{{.+}}] how(gather)
moe_tile.kernel @gathered_by_config(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4, a = "gather">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %rows = moe_tile.row_iota %row0 limit(%r) -> !moe_tile.rows<64>
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%rows : !moe_tile.rows<64>, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

// Pitches are what counts, not the extents.
// CHECK-LABEL: @strided
// CHECK: how(desc)
moe_tile.kernel @strided(%A: memref<?x100xbf16, strided<[104, 1]>>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x100xbf16, strided<[104, 1]>> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @desc_of_list(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4, a = "desc">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %rows = moe_tile.row_index %slots[%row0] limit(%r) : memref<?xi32> -> !moe_tile.rows<64>
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        // expected-error @below {{how(desc) reads consecutive rows, these are gathered by a row list}}
        %a = moe_tile.load %A[%rows : !moe_tile.rows<64>, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @gather_of_one(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4, a = "gather">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        // expected-error @below {{how(gather) needs a row list}}
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @other_word(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4, b = "pack">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        // expected-error @below {{the configuration wants "pack", rings are filled by desc or gather}}
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @other_how(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        // expected-error @below {{how(vector) does not fill rings}}
        %a = moe_tile.load %A[%c0, %k] how(vector) : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @pitch_desc(%A: memref<?x128xbf16>, %B: memref<4x64x100xbf16, strided<[6404, 104, 1]>>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        // expected-error @below {{how(desc) needs pitches that are multiples of 16 bytes, dimension 0 of 'memref<4x64x100xbf16, strided<[6404, 104, 1]>>' has 12808}}
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x100xbf16, strided<[6404, 104, 1]>> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @pitch_gather(%A: memref<?x100xbf16>, %B: memref<4x64x104xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 100 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %rows = moe_tile.row_index %slots[%row0] limit(%r) : memref<?xi32> -> !moe_tile.rows<64>
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        // expected-error @below {{how(gather) needs pitches that are multiples of 16 bytes, dimension 0 of 'memref<?x100xbf16>' has 200}}
        %a = moe_tile.load %A[%rows : !moe_tile.rows<64>, %k] : memref<?x100xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x104xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @dynamic_pitch(%A: memref<?x?xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        // expected-error @below {{how(desc) needs static pitches, dimension 0 of 'memref<?x?xbf16>' has none}}
        %a = moe_tile.load %A[%c0, %k] : memref<?x?xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @columns(%A: memref<?x128xbf16, strided<[256, 2]>>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        // expected-error @below {{how(desc) needs contiguous columns}}
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16, strided<[256, 2]>> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @tall(%A: memref<?x128xbf16>, %B: memref<4x320x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x320xbf16>)
    attributes {target = "sm_90a", moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x320xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x320xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        // expected-error @below {{how(desc) has boxes of at most 256 rows, got 320}}
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x320x128xbf16> -> !moe_tile.buf<320x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<320x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<320x64xbf16>, %c: !moe_tile.acc<64x320xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<320x64xbf16>, !moe_tile.acc<64x320xf32>
        moe_tile.yield %d : !moe_tile.acc<64x320xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x320xf32> -> !moe_tile.frag<64x320xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x320xf32>) -> !moe_tile.frag<64x320xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x320xbf16> to memref<?x320xbf16>
  }
  moe_tile.return
}

// -----

// expected-error @below {{has no target; run moe-tile-assign-atoms first}}
moe_tile.kernel @no_target(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %slots: memref<?xi32>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xbf16>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 4>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    %q = moe_tile.map ins(%f : !moe_tile.frag<64x64xf32>) -> !moe_tile.frag<64x64xbf16> {
    ^bb0(%x: f32):
      %v = arith.truncf %x : f32 to bf16
      moe_tile.yield %v : bf16
    }
    moe_tile.store %q to %Y[%c0, %c0] : !moe_tile.frag<64x64xbf16> to memref<?x64xbf16>
  }
  moe_tile.return
}
