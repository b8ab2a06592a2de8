// What sums of scaled products and their roles cannot be is named with its numbers.
// RUN: moe-opt %s -convert-moe-tile-to-nvvm -split-input-file -verify-diagnostics

// 32 * 128 + 240 * 256 registers are what a multiprocessor has, but not what 384 threads start with.
moe_tile.kernel @pool(%x: memref<4xf32>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 384>} {
  // expected-error @below {{roles ask for 65536 registers, a block of 384 threads is given 64512}}
  moe_tile.roles {
    moe_tile.role @load threads(128) regs(32) {
    }
    moe_tile.role @compute threads(128) copies(2) divide(m) regs(240) {
    }
  }
  moe_tile.return
}

// -----

#acc = #moe_tile.digits<reg = [n * 2 by 1, m * 2 by 8, n * 16 by 8], lane = [n * 4 by 2, m * 8 by 1], warp = [m * 4 by 16]>
!F = !moe_tile.frag<64x128xf32, #acc>
moe_tile.kernel @lost(%x: memref<64x128xf32>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 128>} {
  %zero = arith.constant 0.0 : f32
  moe_tile.roles {
    moe_tile.role @compute threads(128) {
      %z = moe_tile.frag_splat %zero : f32 -> !F
      // expected-error @below {{the NVVM lowering promotes the product of one mma of the same block}}
      %s = moe_tile.promote %z, %z : !F
    }
  }
  moe_tile.return
}

// -----

#swapped = #moe_tile.digits<reg = [m * 2 by 1, n * 2 by 8], lane = [m * 4 by 2, n * 8 by 1], warp = [n * 4 by 16], group = [n * 2 by 64]>
#row = #moe_tile.digits<reg = [m * 2 by 1, n * 2 by 0], lane = [m * 4 by 2, n * 8 by 0], warp = [n * 4 by 0], group = [n * 2 by 0]>
moe_tile.kernel @teams(%x: memref<8x128xf32>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 256>} {
  %zero = arith.constant 0.0 : f32
  moe_tile.roles {
    moe_tile.role @compute threads(128) copies(2) divide(n) {
      %z = moe_tile.frag_splat %zero : f32 -> !moe_tile.frag<8x128xf32, #swapped>
      // expected-error @below {{columns of a row are spread over teams}}
      %s = moe_tile.row_reduce absmax %z group 128 : !moe_tile.frag<8x128xf32, #swapped> -> !moe_tile.frag<8x1xf32, #row>
    }
  }
  moe_tile.return
}
