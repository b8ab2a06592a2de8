// RUN: moe-opt %s -split-input-file -verify-diagnostics -pass-pipeline="builtin.module(moe_tile.kernel(moe-tile-assign-atoms{target=sm_80},moe-tile-assign-copies,moe-tile-form-rings))"

// expected-error @+1 {{a team has whole warps, at most 16 of them; the configuration says 80 threads}}
moe_tile.kernel @refused0(%A: memref<64x64xf16>, %B: memref<64x64xf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [16, 64, 64], compute_threads = 80>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<16x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<16x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<16x64xf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<64x64xf16>
        moe_tile.yield %a, %b : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>
      } compute(%k: index, %a: !moe_tile.buf<16x64xf16>, %b: !moe_tile.buf<64x64xf16>, %c: !moe_tile.acc<16x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>, !moe_tile.acc<16x64xf32>
        moe_tile.yield %d : !moe_tile.acc<16x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<16x64xf32> -> !moe_tile.frag<16x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<16x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @+1 {{no grid of 3 warps shares a team's tile of 16x64 in whole parts of 16x8}}
moe_tile.kernel @refused1(%A: memref<64x64xf16>, %B: memref<64x64xf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [16, 64, 64], compute_threads = 96>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<16x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<16x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<16x64xf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<64x64xf16>
        moe_tile.yield %a, %b : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>
      } compute(%k: index, %a: !moe_tile.buf<16x64xf16>, %b: !moe_tile.buf<64x64xf16>, %c: !moe_tile.acc<16x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>, !moe_tile.acc<16x64xf32>
        moe_tile.yield %d : !moe_tile.acc<16x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<16x64xf32> -> !moe_tile.frag<16x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<16x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @+1 {{load_regs of the configuration: sm_80 gives all threads of a block the same registers}}
moe_tile.kernel @refused2(%A: memref<64x64xf16>, %B: memref<64x64xf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [16, 64, 64], load_regs = 40>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<16x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<16x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<16x64xf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<64x64xf16>
        moe_tile.yield %a, %b : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>
      } compute(%k: index, %a: !moe_tile.buf<16x64xf16>, %b: !moe_tile.buf<64x64xf16>, %c: !moe_tile.acc<16x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>, !moe_tile.acc<16x64xf32>
        moe_tile.yield %d : !moe_tile.acc<16x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<16x64xf32> -> !moe_tile.frag<16x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<16x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @+1 {{store = "bulk" needs the copy engine, sm_80 has none; use "staged" or "vector"}}
moe_tile.kernel @refused3(%A: memref<64x64xf16>, %B: memref<64x64xf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [16, 64, 64], store = "bulk">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<16x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<16x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<16x64xf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<64x64xf16>
        moe_tile.yield %a, %b : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>
      } compute(%k: index, %a: !moe_tile.buf<16x64xf16>, %b: !moe_tile.buf<64x64xf16>, %c: !moe_tile.acc<16x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>, !moe_tile.acc<16x64xf32>
        moe_tile.yield %d : !moe_tile.acc<16x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<16x64xf32> -> !moe_tile.frag<16x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<16x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @+1 {{atom wgmma 64x8x16 of the configuration does not fit, sm_80 has mma_sync 16x8x16 for these operands}}
moe_tile.kernel @refused4(%A: memref<64x64xf16>, %B: memref<64x64xf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [16, 64, 64], atom = "wgmma 64x8x16">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<16x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<16x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<16x64xf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<64x64xf16>
        moe_tile.yield %a, %b : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>
      } compute(%k: index, %a: !moe_tile.buf<16x64xf16>, %b: !moe_tile.buf<64x64xf16>, %c: !moe_tile.acc<16x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>, !moe_tile.acc<16x64xf32>
        moe_tile.yield %d : !moe_tile.acc<16x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<16x64xf32> -> !moe_tile.frag<16x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<16x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @refused5(%A: memref<64x64xf16>, %B: memref<64x64xf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [16, 64, 64], stages = 4, a = "desc">} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<16x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<16x64xf32>)
      load(%k: index) {
        // expected-error @+1 {{how(desc) needs the copy engine, sm_80 has none; use gather or vector}}
        %a = moe_tile.load %A[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<16x64xf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<64x64xf16>
        moe_tile.yield %a, %b : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>
      } compute(%k: index, %a: !moe_tile.buf<16x64xf16>, %b: !moe_tile.buf<64x64xf16>, %c: !moe_tile.acc<16x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>, !moe_tile.acc<16x64xf32>
        moe_tile.yield %d : !moe_tile.acc<16x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<16x64xf32> -> !moe_tile.frag<16x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<16x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @+1 {{a ring of 17 slots of 10240 bytes, 0 bytes of staging and 1024 bytes of barriers: 166912 bytes hold at most 16 slots, 2 are needed}}
moe_tile.kernel @refused6(%A: memref<64x64xf16>, %B: memref<64x64xf16>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [16, 64, 64], stages = 17>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<16x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<16x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<16x64xf16>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xf16> -> !moe_tile.buf<64x64xf16>
        moe_tile.yield %a, %b : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>
      } compute(%k: index, %a: !moe_tile.buf<16x64xf16>, %b: !moe_tile.buf<64x64xf16>, %c: !moe_tile.acc<16x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x64xf16>, !moe_tile.buf<64x64xf16>, !moe_tile.acc<16x64xf32>
        moe_tile.yield %d : !moe_tile.acc<16x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<16x64xf32> -> !moe_tile.frag<16x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<16x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}

// -----

// expected-error @+1 {{no matrix instruction of sm_80 multiplies 8-bit floats; sm_89 and sm_90a have one}}
moe_tile.kernel @floats8(%A: memref<64x64xf8E4M3FN>, %B: memref<64x64xf8E4M3FN>, %l: !moe_tile.tiles<records>, %Y: memref<?x64xf32>)
    attributes {moe.config = #moe.config<block = [16, 64, 64]>} {
  %c0 = arith.constant 0 : index
  %ck = arith.constant 64 : index
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<records> order(explicit) {
    %z = moe_tile.acc_zero : !moe_tile.acc<16x64xf32>
    %acc = moe_tile.k_loop %c0 to %ck step 64 init(%z : !moe_tile.acc<16x64xf32>)
      load(%k: index) {
        %a = moe_tile.load %A[%c0, %k] : memref<64x64xf8E4M3FN> -> !moe_tile.buf<16x64xf8E4M3FN>
        %b = moe_tile.load %B[%c0, %k] : memref<64x64xf8E4M3FN> -> !moe_tile.buf<64x64xf8E4M3FN>
        moe_tile.yield %a, %b : !moe_tile.buf<16x64xf8E4M3FN>, !moe_tile.buf<64x64xf8E4M3FN>
      } compute(%k: index, %a: !moe_tile.buf<16x64xf8E4M3FN>, %b: !moe_tile.buf<64x64xf8E4M3FN>, %c: !moe_tile.acc<16x64xf32>) {
        %d = moe_tile.mma %a, %b, %c : !moe_tile.buf<16x64xf8E4M3FN>, !moe_tile.buf<64x64xf8E4M3FN>, !moe_tile.acc<16x64xf32>
        moe_tile.yield %d : !moe_tile.acc<16x64xf32>
      }
    %f = moe_tile.acc_read %acc : !moe_tile.acc<16x64xf32> -> !moe_tile.frag<16x64xf32>
    moe_tile.store %f to %Y[%c0, %c0] : !moe_tile.frag<16x64xf32> to memref<?x64xf32>
  }
  moe_tile.return
}
