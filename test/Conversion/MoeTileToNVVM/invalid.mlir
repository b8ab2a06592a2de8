// What the lowering to NVVM does not take is named with its numbers.
// RUN: moe-opt %s -convert-moe-tile-to-nvvm -split-input-file -verify-diagnostics

// expected-error @below {{is in sequential form, the NVVM lowering takes the explicit one}}
moe_tile.kernel @sequential(%x: memref<4xf32>) {
  moe_tile.return
}

// -----

// expected-error @below {{has no exec, which the NVVM lowering needs}}
moe_tile.kernel @no_exec(%x: memref<4xf32>) attributes {form = #moe_tile.form<explicit>} {
  moe_tile.return
}

// -----

// expected-error @below {{argument 0: the NVVM lowering takes row-major memory only}}
moe_tile.kernel @strided(%x: memref<4x4xf32, strided<[8, 1]>>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 32>} {
  moe_tile.return
}

// -----

!A = !moe_tile.buf<128x64xbf16, swizzle = 128>
// expected-error @below {{needs 262272 bytes of shared memory with its barriers, limit is 232448}}
moe_tile.kernel @too_much(%x: memref<4xf32>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 32>} {
  %r = moe_tile.ring_alloc : !moe_tile.ring<8 x (a: !A, b: !A), sync = tx>
  moe_tile.return
}

// -----

!A = !moe_tile.buf<64x64xbf16, swizzle = 128>
!RG = !moe_tile.ring<2 x (a: !A), sync = tx>
!P = !moe_tile.cursor<producer>
moe_tile.kernel @pitch(%x: memref<64x100xbf16>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 128>} {
  %c0 = arith.constant 0 : index
  %r = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(128) {
      %c = moe_tile.cursor %r : !RG -> !P
      %a = moe_tile.acquire %r[%c] : !RG, !P -> !A
      // expected-error @below {{a descriptor needs strides that are multiples of 16 bytes, dimension 0 has 200}}
      moe_tile.copy %x[%c0, %c0] how(desc) to %a : memref<64x100xbf16>, !A
      %n = moe_tile.publish %r[%c] : !RG, !P
    }
  }
  moe_tile.return
}

// -----

!A = !moe_tile.buf<64x32xbf16, swizzle = 128>
!RG = !moe_tile.ring<2 x (a: !A), sync = tx>
!P = !moe_tile.cursor<producer>
moe_tile.kernel @narrow(%x: memref<64x128xbf16>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 128>} {
  %c0 = arith.constant 0 : index
  %r = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(128) {
      %c = moe_tile.cursor %r : !RG -> !P
      %a = moe_tile.acquire %r[%c] : !RG, !P -> !A
      // expected-error @below {{a row of 64 bytes must equal the swizzle of 128 bytes}}
      moe_tile.copy %x[%c0, %c0] how(desc) to %a : memref<64x128xbf16>, !A
      %n = moe_tile.publish %r[%c] : !RG, !P
    }
  }
  moe_tile.return
}

// -----

!A = !moe_tile.buf<64x1024xbf16>
!RG = !moe_tile.ring<1 x (a: !A), sync = tx>
!P = !moe_tile.cursor<producer>
moe_tile.kernel @gather_wide(%x: memref<?x1024xbf16>, %slots: memref<?xi32>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 32>} {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %r = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(32) {
      %idx = moe_tile.row_index %slots[%c0] limit(%c64) div 8 : memref<?xi32> -> !moe_tile.rows<64>
      %c = moe_tile.cursor %r : !RG -> !P
      %a = moe_tile.acquire %r[%c] : !RG, !P -> !A
      // expected-error @below {{a row of 2048 bytes must equal the swizzle of 0 bytes}}
      moe_tile.copy %x[%idx : !moe_tile.rows<64>, %c0] how(gather) to %a : memref<?x1024xbf16>, !A
      %n = moe_tile.publish %r[%c] : !RG, !P
    }
  }
  moe_tile.return
}

// -----

!A = !moe_tile.buf<64x4xbf16>
!RG = !moe_tile.ring<1 x (a: !A), sync = tx>
!P = !moe_tile.cursor<producer>
moe_tile.kernel @gather_narrow(%x: memref<?x4xbf16>, %slots: memref<?xi32>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 32>} {
  %c0 = arith.constant 0 : index
  %c64 = arith.constant 64 : index
  %r = moe_tile.ring_alloc : !RG
  moe_tile.roles {
    moe_tile.role @load threads(32) {
      %idx = moe_tile.row_index %slots[%c0] limit(%c64) div 8 : memref<?xi32> -> !moe_tile.rows<64>
      %c = moe_tile.cursor %r : !RG -> !P
      %a = moe_tile.acquire %r[%c] : !RG, !P -> !A
      // expected-error @below {{a row of 8 bytes must equal the swizzle of 0 bytes}}
      moe_tile.copy %x[%idx : !moe_tile.rows<64>, %c0] how(gather) to %a : memref<?x4xbf16>, !A
      %n = moe_tile.publish %r[%c] : !RG, !P
    }
  }
  moe_tile.return
}
