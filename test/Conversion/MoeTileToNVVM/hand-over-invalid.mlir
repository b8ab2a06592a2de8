// RUN: moe-opt %s -convert-moe-tile-to-nvvm -split-input-file -verify-diagnostics

moe_tile.kernel @k(%counters: memref<?xi32>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 128, cluster = 1, resident>} {
  %c0 = arith.constant 0 : index
  // expected-error @below {{stands outside of the roles, which has no lowering to NVVM}}
  moe_tile.signal %counters[%c0] : memref<?xi32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%counters: memref<?xi32>)
    attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 128, cluster = 1, resident>} {
  %c0 = arith.constant 0 : index
  %one = arith.constant 1 : i32
  // expected-error @below {{stands outside of the roles, which has no lowering to NVVM}}
  moe_tile.await %counters[%c0] ge %one : memref<?xi32>
  moe_tile.return
}
