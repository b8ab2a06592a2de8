// What a chip cannot do is said before anything is lowered, with the chip's name and the rule.
// RUN: moe-opt %s -split-input-file -verify-diagnostics -moe-tile-to-explicit=target=gfx1100 -o /dev/null

// -----

moe_tile.kernel @fp8(%A: memref<?x128xf8E4M3FNUZ>, %B: memref<4x64x128xf8E4M3FNUZ>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 128], stages = 1>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 128 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xf8E4M3FNUZ> -> !moe_tile.buf<64x128xf8E4M3FNUZ>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xf8E4M3FNUZ> -> !moe_tile.buf<64x128xf8E4M3FNUZ>
        moe_tile.yield %a, %b : !moe_tile.buf<64x128xf8E4M3FNUZ>, !moe_tile.buf<64x128xf8E4M3FNUZ>
      } compute(%k: index, %a: !moe_tile.buf<64x128xf8E4M3FNUZ>, %b: !moe_tile.buf<64x128xf8E4M3FNUZ>, %c: !moe_tile.acc<64x64xf32>) {
        // expected-error @below {{gfx1100: rule matrix_operand: products of 'f8E4M3FNUZ' by 'f8E4M3FNUZ' have no form on AMD GPUs}}
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x128xf8E4M3FNUZ>, !moe_tile.buf<64x128xf8E4M3FNUZ>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{gfx1100: rule block: a tile is whole pieces of 16x16, got 24x64}}
moe_tile.kernel @block(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [24, 64, 64], stages = 1>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<24x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<24x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<24x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<24x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<24x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<24x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<24x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<24x64xf32>
        moe_tile.yield %d : !moe_tile.acc<24x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<24x64xf32> -> !moe_tile.frag<24x64xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<24x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{gfx1100: rule k_step: step 8 is not a multiple of 16, what the lanes of wmma read at once}}
moe_tile.kernel @k_step(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 8], stages = 1>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 8 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x8xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xbf16> -> !moe_tile.buf<64x8xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x8xbf16>, !moe_tile.buf<64x8xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x8xbf16>, %b: !moe_tile.buf<64x8xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x8xbf16>, !moe_tile.buf<64x8xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{gfx1100: rule k_step: a row of a stage has 32, 64 or 128 bytes, 48 columns have 96}}
moe_tile.kernel @row(%A: memref<?x144xbf16>, %B: memref<4x64x144xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 48], stages = 1>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 144 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 48 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x144xbf16> -> !moe_tile.buf<64x48xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x144xbf16> -> !moe_tile.buf<64x48xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x48xbf16>, !moe_tile.buf<64x48xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x48xbf16>, %b: !moe_tile.buf<64x48xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x48xbf16>, !moe_tile.buf<64x48xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{gfx1100: rule workgroup: 1, 2, 4, ... waves of 32 threads, at most 1024 threads, got 96}}
moe_tile.kernel @threads(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 1, compute_threads = 96>} {
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
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{gfx1100: rule waves: 4 waves cannot share a tile of 16x48 so that its gate and up columns meet in one lane}}
moe_tile.kernel @waves(%A: memref<?x128xbf16>, %B: memref<4x48x128xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x48xf32>)
    attributes {moe.config = #moe.config<block = [16, 48, 64], stages = 1, compute_threads = 128>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<16x48xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<16x48xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<16x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x48x128xbf16> -> !moe_tile.buf<48x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<16x64xbf16>, !moe_tile.buf<48x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<16x64xbf16>, %b: !moe_tile.buf<48x64xbf16>, %c: !moe_tile.acc<16x48xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x64xbf16>, !moe_tile.buf<48x64xbf16>, !moe_tile.acc<16x48xf32>
        moe_tile.yield %d : !moe_tile.acc<16x48xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<16x48xf32> -> !moe_tile.frag<16x48xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<16x48xf32> to memref<?x48xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{gfx1100: rule registers: a tile of 256x256 on 256 threads needs 256 accumulator registers of a lane and about 64 more, there are 256}}
moe_tile.kernel @registers(%A: memref<?x128xbf16>, %B: memref<4x256x128xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x256xf32>)
    attributes {moe.config = #moe.config<block = [256, 256, 64], stages = 1, compute_threads = 256>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<256x256xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<256x256xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<256x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x256x128xbf16> -> !moe_tile.buf<256x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<256x64xbf16>, !moe_tile.buf<256x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<256x64xbf16>, %b: !moe_tile.buf<256x64xbf16>, %c: !moe_tile.acc<256x256xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<256x64xbf16>, !moe_tile.buf<256x64xbf16>, !moe_tile.acc<256x256xf32>
        moe_tile.yield %d : !moe_tile.acc<256x256xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<256x256xf32> -> !moe_tile.frag<256x256xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<256x256xf32> to memref<?x256xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{gfx1100: rule stages: operands stand in 1 or 2 stages, got 4}}
moe_tile.kernel @stages(%A: memref<?x128xbf16>, %B: memref<4x64x128xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
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
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @below {{gfx1100: rule lds: 2 stages of 49152 bytes need 98304 bytes of LDS, limit is 65536}}
moe_tile.kernel @lds(%A: memref<?x128xbf16>, %B: memref<4x128x128xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x128xf32>)
    attributes {moe.config = #moe.config<block = [256, 128, 64], stages = 2, compute_threads = 512>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<256x128xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<256x128xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<256x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x128x128xbf16> -> !moe_tile.buf<128x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<256x64xbf16>, !moe_tile.buf<128x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<256x64xbf16>, %b: !moe_tile.buf<128x64xbf16>, %c: !moe_tile.acc<256x128xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<256x64xbf16>, !moe_tile.buf<128x64xbf16>, !moe_tile.acc<256x128xf32>
        moe_tile.yield %d : !moe_tile.acc<256x128xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<256x128xf32> -> !moe_tile.frag<256x128xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<256x128xf32> to memref<?x128xf32>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @alignment(%A: memref<?x100xbf16>, %B: memref<4x64x100xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 1>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 100 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        // expected-error @below {{gfx1100: rule alignment: operands are read by 16 bytes of a row, the rows of 'memref<?x100xbf16>' are not whole vectors}}
        %a = moe_tile.load %A[%c0, %k] : memref<?x100xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x100xbf16> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %b : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}


// -----

moe_tile.kernel @packing(%A: memref<?x128xbf16>, %B: memref<4x64x128xf8E4M3FNUZ>, %S: memref<4x64x1xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 1>} {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %half = arith.divui %k, %c2 : index
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xf8E4M3FNUZ> -> !moe_tile.buf<64x64xf8E4M3FNUZ>
        %s = moe_tile.load %S[%e, %n0, %c0] dims [1, -1] : memref<4x64x1xbf16> -> !moe_tile.buf<64x1xbf16>
        moe_tile.yield %a, %b, %s : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xf8E4M3FNUZ>, !moe_tile.buf<64x1xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xf8E4M3FNUZ>, %s: !moe_tile.buf<64x1xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        // expected-error @below {{gfx1100: rule packing: decoded in registers are values of 4 bits, i8, f8E4M3FN and f8E5M2, got 'f8E4M3FNUZ'}}
        %w = moe_tile.dequant %b scale(%s : !moe_tile.buf<64x1xbf16>) : !moe_tile.buf<64x64xf8E4M3FNUZ> -> !moe_tile.frag<64x64xbf16>
        %d = moe_tile.mma %a, %w, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.frag<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @scale_group(%A: memref<?x128xbf16>, %B: memref<4x64x64xi8>, %S: memref<4x64x32xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 1>} {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %half = arith.divui %k, %c2 : index
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %half] : memref<4x64x64xi8> -> !moe_tile.buf<64x32xi8>
        %s = moe_tile.load %S[%e, %n0, %k] granule [1, 1, 4] : memref<4x64x32xbf16> -> !moe_tile.buf<64x16xbf16>
        moe_tile.yield %a, %b, %s : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x32xi8>, !moe_tile.buf<64x16xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x32xi8>, %s: !moe_tile.buf<64x16xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        // expected-error @below {{gfx1100: rule scale_group: scales are one for each row and multiple of 8 columns, got 64x16 for 64x64}}
        %w = moe_tile.dequant %b scale(%s : !moe_tile.buf<64x16xbf16>) zero_value 8 format(low_even) : !moe_tile.buf<64x32xi8> -> !moe_tile.frag<64x64xbf16>
        %d = moe_tile.mma %a, %w, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.frag<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @sum_group(%A: memref<?x128xbf16>, %B: memref<4x64x64xi8>, %S: memref<4x64x8xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 1>} {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %half = arith.divui %k, %c2 : index
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %half] : memref<4x64x64xi8> -> !moe_tile.buf<64x32xi8>
        %s = moe_tile.load %S[%e, %n0, %k] granule [1, 1, 8] : memref<4x64x8xbf16> -> !moe_tile.buf<64x8xbf16>
        moe_tile.yield %a, %b, %s : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x32xi8>, !moe_tile.buf<64x8xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x32xi8>, %s: !moe_tile.buf<64x8xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        // expected-error @below {{gfx1100: rule scale_group: scales are one for each row and multiple of 16 columns, got 64x8 for 64x64}}
        %w = moe_tile.dequant %b scale(%s : !moe_tile.buf<64x8xbf16>) zero_value 8 format(low_even) unrounded : !moe_tile.buf<64x32xi8> -> !moe_tile.frag<64x64xbf16>
        %d = moe_tile.mma %a, %w, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.frag<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @scale_place(%A: memref<?x128xbf16>, %B: memref<4x64x64xi8>, %S: memref<4x64x1xbf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 128], stages = 1>} {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %ck = arith.constant 128 : index
  %zero = arith.constant 0.0 : f32
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.frag_splat %zero : f32 -> !moe_tile.frag<64x64xf32>
    %sum = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.frag<64x64xf32>)
      load(%k: index) {
        %half = arith.divui %k, %c2 : index
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %half] : memref<4x64x64xi8> -> !moe_tile.buf<64x32xi8>
        %s = moe_tile.load %S[%e, %n0, %c0] dims [1, -1] : memref<4x64x1xbf16> -> !moe_tile.buf<64x1xbf16>
        moe_tile.yield %a, %b, %s : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x32xi8>, !moe_tile.buf<64x1xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x32xi8>, %s: !moe_tile.buf<64x1xbf16>, %c: !moe_tile.frag<64x64xf32>) {
        // expected-error @below {{gfx1100: rule scale_place: packed weights are scaled where they are decoded (b = operand of the scale plan), this plan scales their products}}
        %w = moe_tile.dequant %b zero_value 8 format(low_even) : !moe_tile.buf<64x32xi8> -> !moe_tile.frag<64x64xbf16>
        %col = moe_tile.frag_load %s at %c0 : !moe_tile.buf<64x1xbf16> -> !moe_tile.frag<1x64xbf16>
        %d = moe_tile.mma %a, %w : !moe_tile.buf<64x64xbf16>, !moe_tile.frag<64x64xbf16> -> !moe_tile.acc<64x64xf32>
        %p = moe_tile.acc_read %d : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
        %m = moe_tile.promote %p, %c col(%col : !moe_tile.frag<1x64xbf16>) : !moe_tile.frag<64x64xf32>
        moe_tile.yield %m : !moe_tile.frag<64x64xf32>
      }
    moe_tile.store %sum to %Y[%c0, %n0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @scale_type(%A: memref<?x128xbf16>, %B: memref<4x64x64xi8>, %S: memref<4x64x8xf8E5M2>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 1>} {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %half = arith.divui %k, %c2 : index
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %half] : memref<4x64x64xi8> -> !moe_tile.buf<64x32xi8>
        %s = moe_tile.load %S[%e, %n0, %k] granule [1, 1, 16] : memref<4x64x8xf8E5M2> -> !moe_tile.buf<64x4xf8E5M2>
        moe_tile.yield %a, %b, %s : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x32xi8>, !moe_tile.buf<64x4xf8E5M2>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x32xi8>, %s: !moe_tile.buf<64x4xf8E5M2>, %c: !moe_tile.acc<64x64xf32>) {
        // expected-error @below {{gfx1100: rule scale_type: weights are decoded by scales of f32, bf16, f16, f8E4M3FN or powers of two, got 'f8E5M2'}}
        %w = moe_tile.dequant %b scale(%s : !moe_tile.buf<64x4xf8E5M2>) format(mx) : !moe_tile.buf<64x32xi8> -> !moe_tile.frag<64x64xbf16>
        %d = moe_tile.mma %a, %w, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.frag<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @decoding(%A: memref<?x128xbf16>, %B: memref<4x64x128xi8>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [64, 64, 64], stages = 1>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 128 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %e, %row0, %r, %n0 = moe_tile.coords %t : index
    %z = moe_tile.acc_zero : !moe_tile.acc<64x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<64x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<?x128xbf16> -> !moe_tile.buf<64x64xbf16>
        %b = moe_tile.load %B[%e, %n0, %k] : memref<4x64x128xi8> -> !moe_tile.buf<64x64xi8>
        // expected-error @below {{gfx1100: rule decoding: values of 'i8' are decoded on load; registers decode values of 4 bits, i8, f8E4M3FN and f8E5M2}}
        %w = moe_tile.dequant %b : !moe_tile.buf<64x64xi8> -> !moe_tile.buf<64x64xbf16>
        moe_tile.yield %a, %w : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>
      } compute(%k: index, %a: !moe_tile.buf<64x64xbf16>, %b: !moe_tile.buf<64x64xbf16>, %c: !moe_tile.acc<64x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<64x64xbf16>, !moe_tile.buf<64x64xbf16>, !moe_tile.acc<64x64xf32>
        moe_tile.yield %d : !moe_tile.acc<64x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<64x64xf32> -> !moe_tile.frag<64x64xf32>
    moe_tile.store %f to %Y[%c0, %n0] : !moe_tile.frag<64x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}
