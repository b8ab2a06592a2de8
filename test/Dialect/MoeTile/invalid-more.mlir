// Further ways to break the constraints of the moe_tile dialect: the other half of a rule, the same rule on another operation.
// RUN: moe-opt %s -split-input-file -verify-diagnostics

// expected-error @below {{buf_c1: element type must be integer or float, got 'index'}}
moe_tile.kernel @k(%x: !moe_tile.buf<4x4xindex>) { moe_tile.return }

// -----

// expected-error @below {{acc_c1: extents must be positive, got 0x4}}
moe_tile.kernel @k(%x: !moe_tile.acc<0x4xf32>) { moe_tile.return }

// -----

// expected-error @below {{frag_c1: extents must be positive, got 4x0}}
moe_tile.kernel @k(%x: !moe_tile.frag<4x0xf32>) { moe_tile.return }

// -----

// expected-error @below {{ring_c1: 'a' must be a buf, got 'f32'}}
moe_tile.kernel @k(%x: !moe_tile.ring<2 x (a: f32), sync = tx>) { moe_tile.return }

// -----

// expected-error @below {{digits_c1: extent must be positive and stride not negative, got 0 by 1}}
#d = #moe_tile.digits<reg = [n * 0 by 1]>

// -----

// expected-error @below {{exec_c1: cluster must be in 1..16, got 17}}
#e = #moe_tile.exec<threads = 128, cluster = 17>

// -----

// expected-error @below {{unknown level 'wave', expected reg, lane, warp, group or cta}}
#d = #moe_tile.digits<reg = [n * 2 by 1], wave = [m * 2 by 1]>

// -----

// expected-error @below {{kernel_c1: no results allowed, got 1}}
"moe_tile.kernel"() <{function_type = () -> i32, sym_name = "k"}> ({ moe_tile.return }) : () -> ()

// -----

// expected-error @below {{kernel_c6: moe_tile.max_sizes of argument 0 must be an i64 array with one bound per dimension}}
moe_tile.kernel @k(%x: memref<?x4xf32> {moe_tile.max_sizes = array<i64: 8>}) { moe_tile.return }

// -----

moe_tile.kernel @k(%t: memref<?x4xi32>, %n: index) {
  // expected-error @below {{record_list_c1: gives a list of records}}
  %l = moe_tile.record_list %t count(%n) : memref<?x4xi32> -> !moe_tile.tiles<blocks>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%t: memref<?x3xi32>, %n: index) {
  // expected-error @below {{block_list_c1: gives a list of blocks}}
  %l = moe_tile.block_list %t count(%n) columns 64 by 32 : memref<?x3xi32> -> !moe_tile.tiles<records>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: !moe_tile.tiles<blocks>) {
  // expected-error @below {{for_tiles_c2: body must end in moe_tile.yield}}
  "moe_tile.for_tiles"(%l) <{order = #moe_tile.order<n_major>}> ({
  ^bb0(%t: !moe_tile.tile):
    moe_tile.return
  }) : (!moe_tile.tiles<blocks>) -> ()
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: !moe_tile.tiles<blocks>) {
  // expected-error @below {{for_tiles_c2: body has the tile and 0 carried arguments, got 2}}
  "moe_tile.for_tiles"(%l) <{order = #moe_tile.order<n_major>}> ({
  ^bb0(%t: !moe_tile.tile, %u: index):
    moe_tile.yield
  }) : (!moe_tile.tiles<blocks>) -> ()
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: !moe_tile.tiles<blocks>, %m: index) attributes {form = #moe_tile.form<explicit>} {
  // expected-error @below {{for_tiles_c2: types of init ('index'), yield ('i32') and results ('index') differ}}
  %r = moe_tile.for_tiles %t in %l : !moe_tile.tiles<blocks> order(n_major) iter(%c = %m : index) {
    %z = arith.constant 0 : i32
    moe_tile.yield %z : i32
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%a: index) {
  // expected-error @below {{k_loop_c2: load takes ('i32'), expected ('index')}}
  moe_tile.k_loop %a to %a step 8
    load(%k: i32) { moe_tile.yield } compute(%k: index) { moe_tile.yield }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%a: index, %s: memref<4x4xf32>) {
  // expected-error @below {{k_loop_c2: transform takes ('index', '!moe_tile.buf<4x4xbf16>'), expected ('index', '!moe_tile.buf<4x4xf32>')}}
  moe_tile.k_loop %a to %a step 4
    load(%k: index) {
      %x = moe_tile.load %s[%a, %k] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
      moe_tile.yield %x : !moe_tile.buf<4x4xf32>
    } transform(%k: index, %x: !moe_tile.buf<4x4xbf16>) { moe_tile.yield
    } compute(%k: index) { moe_tile.yield }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%a: index) {
  // expected-error @below {{k_loop_c2: load must end in moe_tile.yield}}
  moe_tile.k_loop %a to %a step 8
    load(%k: index) { moe_tile.return } compute(%k: index) { moe_tile.yield }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{access_c2: dims has 2 entries, got 1}}
  %x = moe_tile.load %m[%i, %i] dims [0] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{access_c2: dims entry 2 is no dimension of a memory of rank 2}}
  %x = moe_tile.load %m[%i, %i] dims [0, 2] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{access_c3: granule must be positive, got 0}}
  %x = moe_tile.load %m[%i, %i] granule [0, 1] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{access_c4: boxes are along tile dimension 0 or 1, got 2}}
  %x = "moe_tile.load"(%m, %i, %i) <{box_dim = 2 : i64}> : (memref<4x4xf32>, index, index) -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{access_c4: box offset is negative: -2}}
  %x = moe_tile.load %m[%i, %i] boxes [-2, 0] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>, %s: bf16) {
  %a = moe_tile.frag_splat %s : bf16 -> !moe_tile.frag<4x4xbf16>
  // expected-error @below {{access_c5: memory of 'f32', tile of 'bf16'}}
  moe_tile.store %a to %m[%i, %i] : !moe_tile.frag<4x4xbf16> to memref<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4x4xf32>) {
  %r = moe_tile.row_iota %i -> !moe_tile.rows<4>
  // expected-error @below {{access_c6: no tile dimension follows the row list of memory dimension 0}}
  %x = moe_tile.load %m[%r : !moe_tile.rows<4>, %i, %i] dims [1, 2] : memref<4x4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{store_c1: at least one value}}
  "moe_tile.store"(%m, %i, %i) <{mode = #moe_tile.store_mode<plain>, operandSegmentSizes = array<i32: 0, 1, 2, 0>}> : (memref<4x4xf32>, index, index) -> ()
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: i8, %s: f32, %at: index) {
  %q = moe_tile.frag_splat %i : i8 -> !moe_tile.frag<4x4xi8>
  %t = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  // expected-error @below {{dequant_c2: scales of more columns than the tile need a granule}}
  %d = moe_tile.dequant %q scale(%t : !moe_tile.frag<4x4xf32>) at(%at) : !moe_tile.frag<4x4xi8> -> !moe_tile.frag<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: i8, %s: f32) {
  %q = moe_tile.frag_splat %i : i8 -> !moe_tile.frag<4x4xi8>
  %t = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  // expected-error @below {{dequant_c2: granule is two positive extents}}
  %d = moe_tile.dequant %q scale(%t : !moe_tile.frag<4x4xf32>) granule [1, 0] : !moe_tile.frag<4x4xi8> -> !moe_tile.frag<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: i8, %s: f32) {
  %q = moe_tile.frag_splat %i : i8 -> !moe_tile.frag<4x4xi8>
  %z = moe_tile.frag_splat %i : i8 -> !moe_tile.frag<4x2xi8>
  %t = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  // expected-error @below {{dequant_c3: zero points '!moe_tile.frag<4x2xi8>' for scales '!moe_tile.frag<4x4xf32>'}}
  %d = moe_tile.dequant %q scale(%t : !moe_tile.frag<4x4xf32>) zero(%z : !moe_tile.frag<4x2xi8>) : !moe_tile.frag<4x4xi8> -> !moe_tile.frag<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  %c = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<2x4xf32>
  // expected-error @below {{promote_c2: column factors 2x4 for 4 columns}}
  %p = moe_tile.promote %a, %a col(%c : !moe_tile.frag<2x4xf32>) : !moe_tile.frag<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  // expected-error @below {{roles_c1: at least one role}}
  "moe_tile.roles"() ({
  ^bb0:
  }) : () -> ()
  moe_tile.return
}

// -----

!R = !moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>
moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  %r = moe_tile.ring_alloc : !R
  %c = moe_tile.cursor %r : !R -> !moe_tile.cursor<consumer>
  // expected-error @below {{slot_c1: the ring has buffers ('!moe_tile.buf<4x8xf32>'), results are ()}}
  "moe_tile.wait"(%r, %c) : (!R, !moe_tile.cursor<consumer>) -> ()
  %n = moe_tile.release %r[%c] : !R, !moe_tile.cursor<consumer>
  moe_tile.return
}

// -----

!R = !moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>
moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  %r = moe_tile.ring_alloc : !R
  %c = moe_tile.cursor %r : !R -> !moe_tile.cursor<producer>
  // expected-error @below {{slot_c2: needs a consumer cursor, got a producer cursor}}
  %b = moe_tile.wait %r[%c] : !R, !moe_tile.cursor<producer> -> !moe_tile.buf<4x8xf32>
  %n = moe_tile.publish %r[%c] : !R, !moe_tile.cursor<producer>
  moe_tile.return
}

// -----

!R = !moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>
moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  %r = moe_tile.ring_alloc : !R
  %c = moe_tile.cursor %r : !R -> !moe_tile.cursor<consumer>
  %b = moe_tile.wait %r[%c] : !R, !moe_tile.cursor<consumer> -> !moe_tile.buf<4x8xf32>
  // expected-error @below {{slot_c2: needs a producer cursor, got a consumer cursor}}
  %n = moe_tile.publish %r[%c] : !R, !moe_tile.cursor<consumer>
  moe_tile.return
}

// -----

!R = !moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>
moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  %r = moe_tile.ring_alloc : !R
  %c = moe_tile.cursor %r : !R -> !moe_tile.cursor<producer>
  %b = moe_tile.acquire %r[%c] : !R, !moe_tile.cursor<producer> -> !moe_tile.buf<4x8xf32>
  // expected-error @below {{slot_c2: needs a consumer cursor, got a producer cursor}}
  %n = moe_tile.release %r[%c] : !R, !moe_tile.cursor<producer>
  moe_tile.return
}

// -----

!R = !moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>
moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  %r = moe_tile.ring_alloc : !R
  %c = moe_tile.cursor %r : !R -> !moe_tile.cursor<producer>
  %b = moe_tile.acquire %r[%c] : !R, !moe_tile.cursor<producer> -> !moe_tile.buf<4x8xf32>
  // expected-error @below {{cursor_c1: a cursor is used once, got 0 openings, 1 closings and 0 other uses}}
  %n = moe_tile.publish %r[%c] : !R, !moe_tile.cursor<producer>
  %m = moe_tile.publish %r[%n] : !R, !moe_tile.cursor<producer>
  moe_tile.return
}

// -----

!R = !moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>
moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  %r = moe_tile.ring_alloc : !R
  %c = moe_tile.cursor %r : !R -> !moe_tile.cursor<consumer>
  %b = moe_tile.wait %r[%c] : !R, !moe_tile.cursor<consumer> -> !moe_tile.buf<4x8xf32>
  // expected-error @below {{cursor_c1: a cursor is used once, got 0 openings, 1 closings and 0 other uses}}
  %n = moe_tile.release %r[%c] : !R, !moe_tile.cursor<consumer>
  %m = moe_tile.release %r[%n] : !R, !moe_tile.cursor<consumer>
  moe_tile.return
}

// -----

!R = !moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>
moe_tile.kernel @k(%s: bf16) attributes {form = #moe_tile.form<explicit>} {
  %b = moe_tile.buf_alloc : !moe_tile.buf<4x4xf32>
  %f = moe_tile.frag_splat %s : bf16 -> !moe_tile.frag<4x4xbf16>
  // expected-error @below {{deposit_c1: '!moe_tile.frag<4x4xbf16>' in '!moe_tile.buf<4x4xf32>' differs in rows or element type}}
  moe_tile.deposit %f to %b : !moe_tile.frag<4x4xbf16> to !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %p: memref<?x4x4xf32>) attributes {form = #moe_tile.form<explicit>} {
  // expected-error @below {{partial_c1: '!moe_tile.frag<4x8xf32>' in a workspace of 'memref<?x4x4xf32>'}}
  %s = moe_tile.partial_take %p[%i] parts(%i) : memref<?x4x4xf32> -> !moe_tile.frag<4x8xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k() {
  // expected-error @below {{map_c2: at least one result}}
  "moe_tile.map"() ({ moe_tile.yield }) : () -> ()
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  // expected-error @below {{map_c3: 0 inputs, the body takes 1}}
  %p = moe_tile.map -> !moe_tile.frag<4x4xf32> {
  ^bb0(%v: f32):
    moe_tile.yield %v : f32
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  // expected-error @below {{map_c3: body argument 'bf16' for an input of 'f32'}}
  %p = moe_tile.map ins(%a : !moe_tile.frag<4x4xf32>) -> !moe_tile.frag<4x4xbf16> {
  ^bb0(%v: bf16):
    moe_tile.yield %v : bf16
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  // expected-error @below {{map_c3: body must yield 1 values}}
  %p = moe_tile.map -> !moe_tile.frag<4x4xf32> {
    moe_tile.yield %s, %s : f32, f32
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x8xf32>
  // expected-error @below {{split_c1: half of '!moe_tile.frag<4x8xf32>' is not '!moe_tile.frag<4x2xf32>'}}
  %l, %h = moe_tile.split %a block 4 : !moe_tile.frag<4x8xf32> -> !moe_tile.frag<4x4xf32>, !moe_tile.frag<4x2xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k() {
  // expected-error @below {{row_reduce_c1: at least one input}}
  %v = "moe_tile.row_reduce"() <{kind = #moe_tile.reduce<absmax>, group = 4 : i64}> : () -> !moe_tile.frag<4x1xf32>
  moe_tile.return
}
