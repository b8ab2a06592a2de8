// One case per constraint of the moe_tile dialect; the labels are those of the descriptions.
// RUN: moe-opt %s -split-input-file -verify-diagnostics

// expected-error @below {{buf_c1: extents must be positive, got 0x64}}
moe_tile.kernel @k(%x: !moe_tile.buf<0x64xf32>) { moe_tile.return }

// -----

// expected-error @below {{buf_c1: element type must have whole bytes, got 'i4'}}
moe_tile.kernel @k(%x: !moe_tile.buf<8x64xi4>) { moe_tile.return }

// -----

// expected-error @below {{buf_c2: swizzle must be 32, 64 or 128 bytes, got 48}}
moe_tile.kernel @k(%x: !moe_tile.buf<8x64xf32, swizzle = 48>) { moe_tile.return }

// -----

// expected-error @below {{buf_c2: pad must be positive and without swizzle, got pad 16 and swizzle 64}}
moe_tile.kernel @k(%x: !moe_tile.buf<8x64xf32, swizzle = 64, pad = 16>) { moe_tile.return }

// -----

// expected-error @below {{a tile has rows and columns, got 3 extents}}
moe_tile.kernel @k(%x: !moe_tile.buf<8x8x8xf32>) { moe_tile.return }

// -----

// expected-error @below {{acc_c1: accumulators are f32, f64 or i32, got 'bf16'}}
moe_tile.kernel @k(%x: !moe_tile.acc<8x64xbf16>) { moe_tile.return }

// -----

// expected-error @below {{frag_c1: the layout covers 8x2, the fragment has 8x4}}
moe_tile.kernel @k(%x: !moe_tile.frag<8x4xf32, #moe_tile.digits<reg = [n * 2 by 1], lane = [m * 8 by 1]>>) { moe_tile.return }

// -----

// expected-error @below {{staged_c1: extents must be positive, got 8x0}}
moe_tile.kernel @k(%x: !moe_tile.staged<8x0xf32>) { moe_tile.return }

// -----

// expected-error @below {{ring_c1: two buffers named 'a'}}
moe_tile.kernel @k(%x: !moe_tile.ring<2 x (a: !moe_tile.buf<8x8xf32>, a: !moe_tile.buf<8x8xf32>), sync = tx>) { moe_tile.return }

// -----

// expected-error @below {{ring_c1: a ring has at least one slot and one buffer, got 0 slots and 1 buffers}}
moe_tile.kernel @k(%x: !moe_tile.ring<0 x (a: !moe_tile.buf<8x8xf32>), sync = tx>) { moe_tile.return }

// -----

// expected-error @below {{atom_c1: no instruction wgmma 64x12x16 (hardware m x n x k)}}
#a = #moe_tile.atom<wgmma 64x12x16>

// -----

// With swap the hardware's m is the logical n.
// expected-error @below {{atom_c1: no instruction wgmma 24x64x16 (hardware m x n x k)}}
#a = #moe_tile.atom<wgmma 64x24x16, swap>

// -----

// expected-error @below {{digits_c1: not a bijection in n: a digit of extent 4 has stride 4, the smaller ones cover 2}}
#d = #moe_tile.digits<reg = [n * 2 by 1], lane = [n * 4 by 4]>

// -----

// expected-error @below {{digits_c1: levels stand in the order reg, lane, warp, group, cta, got reg behind lane}}
#d = #moe_tile.digits<lane = [n * 4 by 1], reg = [m * 2 by 1]>

// -----

// expected-error @below {{exec_c1: threads must be in 1..1024, got 1025}}
#e = #moe_tile.exec<threads = 1025>

// -----

// expected-error @below {{kernel_c1: argument 0 must be a memref, a scalar or a tile list, got 'tensor<4xf32>'}}
moe_tile.kernel @k(%x: tensor<4xf32>) { moe_tile.return }

// -----

moe_tile.kernel @k() attributes {form = #moe_tile.form<seq>} {
  // expected-error @below {{kernel_c2: belongs to the explicit form, the kernel is sequential}}
  %b = moe_tile.buf_alloc : !moe_tile.buf<8x8xf32>
  moe_tile.return
}

// -----

// expected-error @below {{kernel_c3: exec has 64 threads, the roles 96}}
moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>, exec = #moe_tile.exec<threads = 64>} {
  moe_tile.roles {
    moe_tile.role @a threads(32) { }
    moe_tile.role @b threads(32) copies(2) divide(m) { }
  }
  moe_tile.return
}

// -----

// expected-error @below {{kernel_c4: 544 bytes of on-chip memory, the limit is 512}}
moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>, smem_limit = 512} {
  %r = moe_tile.ring_alloc : !moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>
  %b = moe_tile.buf_alloc : !moe_tile.buf<4x16xf32, pad = 8>
  moe_tile.return
}

// -----

// expected-error @below {{kernel_c5: at most one roles, at the top level, got 2}}
moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  moe_tile.roles { moe_tile.role @a threads(32) { } }
  moe_tile.roles { moe_tile.role @b threads(32) { } }
  moe_tile.return
}

// -----

// expected-error @below {{kernel_c6: bound 3 of argument 0 is not positive or is below the static extent}}
moe_tile.kernel @k(%x: memref<?x4xf32> {moe_tile.max_sizes = array<i64: 8, 3>}) { moe_tile.return }

// -----

// expected-error @below {{plan_c1: argument 0 must be a memref or a scalar, got '!moe_tile.tiles<records>'}}
moe_tile.plan @p(%x: !moe_tile.tiles<records>) { moe_tile.return }

// -----

moe_tile.kernel @k(%b: i1) { moe_tile.return }
moe_tile.plan @p(%b: i1) {
  scf.if %b {
    // plan_c2
    // expected-error @below {{'moe_tile.launch' op expects parent op 'moe_tile.plan'}}
    %t = moe_tile.launch @k(%b) : (i1) -> !moe_tile.token
  }
  moe_tile.return
}

// -----

moe_tile.plan @p() {
  // expected-error @below {{workspace_c1: 0 sizes for 1 dynamic dimensions}}
  %w = moe_tile.workspace() : memref<?xf32>
  moe_tile.return
}

// -----

moe_tile.plan @p() {
  // expected-error @below {{workspace_c2: alignment must be a power of two, got 24}}
  %w = moe_tile.workspace() align 24 : memref<4xf32>
  moe_tile.return
}

// -----

moe_tile.plan @p(%b: i1) {
  // expected-error @below {{launch_c1: no kernel @nothing}}
  %t = moe_tile.launch @nothing(%b) : (i1) -> !moe_tile.token
  moe_tile.return
}

// -----

moe_tile.kernel @k(%x: memref<?xf32>) { moe_tile.return }
moe_tile.plan @p(%x: memref<4xf32>) {
  // expected-error @below {{launch_c2: arguments ('memref<4xf32>') for a kernel of '(memref<?xf32>) -> ()'}}
  %t = moe_tile.launch @k(%x) : (memref<4xf32>) -> !moe_tile.token
  moe_tile.return
}

// -----

moe_tile.kernel @k(%b: i1) { moe_tile.return }
moe_tile.plan @p(%b: i1) {
  // expected-error @below {{launch_c3: pdl, but @k has no moe_tile.await_launch}}
  %t = moe_tile.launch @k(%b) pdl : (i1) -> !moe_tile.token
  moe_tile.return
}

// -----

moe_tile.kernel @k(%t: memref<?x5xi32>, %n: index) {
  // expected-error @below {{record_list_c1: records are memref<?x4xi32> or memref<?x8xi32>, got 'memref<?x5xi32>'}}
  %l = moe_tile.record_list %t count(%n) : memref<?x5xi32> -> !moe_tile.tiles<records>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%t: memref<?x5xi32>, %n: index) {
  // expected-error @below {{block_list_c1: row blocks are memref<?x3xi32> or memref<?x4xi32>, got 'memref<?x5xi32>'}}
  %l = moe_tile.block_list %t count(%n) columns 64 by 32 : memref<?x5xi32> -> !moe_tile.tiles<blocks>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%t: memref<?x3xi32>, %n: index) {
  // expected-error @below {{block_list_c2: columns and block must be positive, got 64 by 0}}
  %l = moe_tile.block_list %t count(%n) columns 64 by 0 : memref<?x3xi32> -> !moe_tile.tiles<blocks>
  moe_tile.return
}

// -----

moe_tile.kernel @dense_list_experts(%n: index) {
  // expected-error @below {{dense_list_c1: experts, columns and blocks must be positive, got 0 by 64, 64 by 32}}
  %l = moe_tile.dense_list rows(%n) experts 0 by 64 columns 64 by 32 : !moe_tile.tiles<blocks>
  moe_tile.return
}

// -----

moe_tile.kernel @dense_list_rows(%n: index) {
  // expected-error @below {{dense_list_c1: experts, columns and blocks must be positive, got 4 by 0, 64 by 32}}
  %l = moe_tile.dense_list rows(%n) experts 4 by 0 columns 64 by 32 : !moe_tile.tiles<blocks>
  moe_tile.return
}

// -----

moe_tile.kernel @dense_list_columns(%n: index) {
  // expected-error @below {{dense_list_c1: experts, columns and blocks must be positive, got 4 by 64, 0 by 32}}
  %l = moe_tile.dense_list rows(%n) experts 4 by 64 columns 0 by 32 : !moe_tile.tiles<blocks>
  moe_tile.return
}

// -----

moe_tile.kernel @dense_list_block(%n: index) {
  // expected-error @below {{dense_list_c1: experts, columns and blocks must be positive, got 4 by 64, 64 by 0}}
  %l = moe_tile.dense_list rows(%n) experts 4 by 64 columns 64 by 0 : !moe_tile.tiles<blocks>
  moe_tile.return
}

// -----

moe_tile.kernel @dense_list_form(%n: index) {
  // expected-error @below {{dense_list_c1: gives a list of blocks}}
  %l = moe_tile.dense_list rows(%n) experts 4 by 64 columns 64 by 32 : !moe_tile.tiles<records>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: !moe_tile.tiles<blocks>) {
  // expected-error @below {{for_tiles_c1: a list of blocks has no order explicit}}
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<blocks> order(explicit) { }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: !moe_tile.tiles<blocks>, %m: memref<4xf32>) attributes {form = #moe_tile.form<explicit>} {
  // expected-error @below {{for_tiles_c2: carries cursors and scalars only, got 'memref<4xf32>'}}
  %r = moe_tile.for_tiles %t in %l : !moe_tile.tiles<blocks> order(n_major) iter(%c = %m : memref<4xf32>) {
    moe_tile.yield %c : memref<4xf32>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: !moe_tile.tiles<blocks>, %m: index) {
  // expected-error @below {{for_tiles_c4: entries are shared by two dies or more, got 1}}
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<blocks> order(n_major) dies(1) { }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: !moe_tile.tiles<blocks>) {
  // expected-error @below {{for_tiles_c4: dies have entries of their own, which a counter does not know}}
  moe_tile.for_tiles %t in %l : !moe_tile.tiles<blocks> order(n_major) claim(counter) dies(8) { }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: !moe_tile.tiles<blocks>, %m: index) {
  // expected-error @below {{for_tiles_c3: carries 1 values in the sequential form}}
  %r = moe_tile.for_tiles %t in %l : !moe_tile.tiles<blocks> order(n_major) iter(%c = %m : index) {
    moe_tile.yield %c : index
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%a: index) {
  // expected-error @below {{k_loop_c1: step must be positive, got 0}}
  moe_tile.k_loop %a to %a step 0
    load(%k: index) { moe_tile.yield } compute(%k: index) { moe_tile.yield }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%a: index) {
  // expected-error @below {{k_loop_c2: compute takes ('index', 'f32'), expected ('index')}}
  moe_tile.k_loop %a to %a step 8
    load(%k: index) { moe_tile.yield } compute(%k: index, %x: f32) { moe_tile.yield }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%a: index) {
  %z = moe_tile.acc_zero : !moe_tile.acc<8x8xf32>
  // expected-error @below {{k_loop_c3: types of init ('!moe_tile.acc<8x8xf32>'), yield of compute () and results ('!moe_tile.acc<8x8xf32>') differ}}
  %r = moe_tile.k_loop %a to %a step 8 init(%z : !moe_tile.acc<8x8xf32>)
    load(%k: index) { moe_tile.yield } compute(%k: index, %x: !moe_tile.acc<8x8xf32>) { moe_tile.yield }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%a: index, %s: memref<4x4xf32>) {
  moe_tile.k_loop %a to %a step 192
    load(%k: index) {
      // expected-error @below {{k_loop_c4: a k step of 192 spans groups of 128}}
      %x = moe_tile.load %s[%a, %k] granule [1, 128] : memref<4x4xf32> -> !moe_tile.buf<4x1xf32>
      moe_tile.yield
    } compute(%k: index) { moe_tile.yield }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%a: index, %s: memref<4x4xf32>) {
  moe_tile.k_loop %a to %a step 256
    load(%k: index) {
      // expected-error @below {{k_loop_c4: a k step of 256 over groups of 128 has 2 of them, the tile 1}}
      %x = moe_tile.load %s[%a, %k] granule [1, 128] : memref<4x4xf32> -> !moe_tile.buf<4x1xf32>
      moe_tile.yield
    } compute(%k: index) { moe_tile.yield }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%a: index) {
  moe_tile.k_loop %a to %a step 8
    load(%k: index) {
      // expected-error @below {{k_loop_c5: not allowed in a load region}}
      %z = moe_tile.acc_zero : !moe_tile.acc<8x8xf32>
      moe_tile.yield
    } compute(%k: index) { moe_tile.yield }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%a: index, %s: memref<4x4xf32>) {
  // expected-error @below {{k_loop_c6: load yields buffers, row lists or scalars, got '!moe_tile.frag<4x1xf32>'}}
  moe_tile.k_loop %a to %a step 8
    load(%k: index) {
      %x = moe_tile.load %s[%a, %k] : memref<4x4xf32> -> !moe_tile.frag<4x1xf32>
      moe_tile.yield %x : !moe_tile.frag<4x1xf32>
    } compute(%k: index, %x: !moe_tile.frag<4x1xf32>) { moe_tile.yield }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %s: memref<4x4xi32>) {
  // expected-error @below {{row_index_c1: slots have rank 1, got 2}}
  %r = moe_tile.row_index %s[%i] : memref<4x4xi32> -> !moe_tile.rows<4>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %s: memref<4xi32>) {
  // expected-error @below {{row_index_c2: div must be positive, got 0}}
  %r = moe_tile.row_index %s[%i] div 0 : memref<4xi32> -> !moe_tile.rows<4>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{access_c1: memory of rank 2 needs 2 indices (at least 1), got 1}}
  %x = moe_tile.load %m[%i] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  %r = moe_tile.row_iota %i -> !moe_tile.rows<4>
  // expected-error @below {{access_c1: at most one index is a row list, got 2}}
  %x = moe_tile.load %m[%r : !moe_tile.rows<4>, %r : !moe_tile.rows<4>] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{access_c2: both tile dimensions follow memory dimension 1}}
  %x = moe_tile.load %m[%i, %i] dims [1, 1] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4xf32>) {
  // expected-error @below {{access_c2: tile dimension 0 follows no memory dimension and has extent 4, not 1}}
  %x = moe_tile.load %m[%i] : memref<4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{access_c3: granule has 1 entries, the memory 2 dimensions}}
  %x = moe_tile.load %m[%i, %i] granule [128] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{access_c4: 3 boxes do not divide an extent of 4}}
  %x = moe_tile.load %m[%i, %i] boxes [0, 4, 8] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{access_c4: boxes of 2 overlap at offsets 0 and 1}}
  %x = moe_tile.load %m[%i, %i] boxes [1, 0] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{access_c5: memory of 'f32', tile of 'bf16'}}
  %x = moe_tile.load %m[%i, %i] : memref<4x4xf32> -> !moe_tile.buf<4x4xbf16>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  %r = moe_tile.row_iota %i -> !moe_tile.rows<8>
  // expected-error @below {{access_c6: 8 row numbers for a tile extent of 4}}
  %x = moe_tile.load %m[%r : !moe_tile.rows<8>, %i] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  %r = moe_tile.row_iota %i -> !moe_tile.rows<4>
  // expected-error @below {{access_c6: tile dimension 0 has a row list and boxes}}
  %x = moe_tile.load %m[%r : !moe_tile.rows<4>, %i] boxes [0, 4] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  %r = moe_tile.row_iota %i -> !moe_tile.rows<4>
  // expected-error @below {{access_c7: a descriptor cannot follow a row list}}
  %x = moe_tile.load %m[%r : !moe_tile.rows<4>, %i] how(desc) : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) attributes {form = #moe_tile.form<explicit>} {
  // expected-error @below {{load_c1: a buffer is filled by copy or fetch in the explicit form}}
  %x = moe_tile.load %m[%i, %i] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  // expected-error @below {{shape is a positive number of rows and columns}}
  moe_tile.prefetch %m[%i, %i] shape [4] : memref<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x8xf32>, %s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  %b = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<2x4xf32>
  // expected-error @below {{store_c1: values side by side differ: '!moe_tile.frag<4x4xf32>' and '!moe_tile.frag<2x4xf32>'}}
  moe_tile.store %a, %b to %m[%i, %i] : !moe_tile.frag<4x4xf32>, !moe_tile.frag<2x4xf32> to memref<4x8xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xbf16>, %s: bf16) {
  %a = moe_tile.frag_splat %s : bf16 -> !moe_tile.frag<4x4xbf16>
  // expected-error @below {{store_c2: add to memory of 'bf16'}}
  moe_tile.store %a to %m[%i, %i] mode(add) : !moe_tile.frag<4x4xbf16> to memref<4x4xbf16>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>, %s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  // expected-error @below {{store_c3: a descriptor store has no limit and mode plain}}
  moe_tile.store %a to %m[%i, %i] limit(%i) how(desc) : !moe_tile.frag<4x4xf32> to memref<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  %a = moe_tile.load %m[%i, %i] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  %b = moe_tile.load %m[%i, %i] : memref<4x4xf32> -> !moe_tile.buf<4x2xf32>
  // expected-error @below {{mma_c1: a has k = 4, b has k = 2}}
  %c = moe_tile.mma %a, %b : !moe_tile.buf<4x4xf32>, !moe_tile.buf<4x2xf32> -> !moe_tile.acc<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  %a = moe_tile.load %m[%i, %i] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  // expected-error @below {{mma_c1: a and b give 4x4, the accumulator has 4x8}}
  %c = moe_tile.mma %a, %a : !moe_tile.buf<4x4xf32>, !moe_tile.buf<4x4xf32> -> !moe_tile.acc<4x8xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xf32>) {
  %a = moe_tile.load %m[%i, %i] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  %z = moe_tile.acc_zero : !moe_tile.acc<4x8xf32>
  // expected-error @below {{mma_c2: accumulator of type '!moe_tile.acc<4x8xf32>', result '!moe_tile.acc<4x4xf32>'}}
  %c = moe_tile.mma %a, %a, %z : !moe_tile.buf<4x4xf32>, !moe_tile.buf<4x4xf32>, !moe_tile.acc<4x8xf32> -> !moe_tile.acc<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<4x4xi8>) {
  %a = moe_tile.load %m[%i, %i] : memref<4x4xi8> -> !moe_tile.buf<4x4xi8>
  // expected-error @below {{mma_c3: no product of 'i8' and 'i8' in 'f32'}}
  %c = moe_tile.mma %a, %a : !moe_tile.buf<4x4xi8>, !moe_tile.buf<4x4xi8> -> !moe_tile.acc<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<64x64xbf16>) {
  %a = moe_tile.load %m[%i, %i] : memref<64x64xbf16> -> !moe_tile.buf<32x64xbf16>
  // expected-error @below {{mma_c4: atom 64x32x16 does not divide the tile 32x32x64}}
  %c = moe_tile.mma %a, %a atom(#moe_tile.atom<wgmma 64x32x16>) : !moe_tile.buf<32x64xbf16>, !moe_tile.buf<32x64xbf16> -> !moe_tile.acc<32x32xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: index, %m: memref<64x64xbf16>) {
  %a = moe_tile.load %m[%i, %i] : memref<64x64xbf16> -> !moe_tile.buf<64x64xbf16>
  %b = moe_tile.load %m[%i, %i] : memref<64x64xbf16> -> !moe_tile.frag<64x64xbf16>
  // Only the hardware's first operand may be registers; with swap that is b.
  %c = moe_tile.mma %a, %b atom(#moe_tile.atom<wgmma 64x64x16, swap>) : !moe_tile.buf<64x64xbf16>, !moe_tile.frag<64x64xbf16> -> !moe_tile.acc<64x64xf32>
  // expected-error @below {{mma_c5: wgmma takes operand b from on-chip memory only}}
  %d = moe_tile.mma %a, %b atom(#moe_tile.atom<wgmma 64x64x16>) : !moe_tile.buf<64x64xbf16>, !moe_tile.frag<64x64xbf16> -> !moe_tile.acc<64x64xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k() {
  %z = moe_tile.acc_zero : !moe_tile.acc<4x8xf32>
  // expected-error @below {{acc_read_c1: '!moe_tile.acc<4x8xf32>' and '!moe_tile.frag<4x4xf32>' differ in shape or element type}}
  %f = moe_tile.acc_read %z : !moe_tile.acc<4x8xf32> -> !moe_tile.frag<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k() {
  %z = moe_tile.acc_zero : !moe_tile.acc<4x8xf32>
  // expected-error @below {{acc_read_c2: the accumulator has 2 uses, it is dead after the first}}
  %f = moe_tile.acc_read %z : !moe_tile.acc<4x8xf32> -> !moe_tile.frag<4x8xf32>
  %g = moe_tile.acc_read %z : !moe_tile.acc<4x8xf32> -> !moe_tile.frag<4x8xf32>
  moe_tile.return
}

// -----

// An accumulator is not a fragment.
moe_tile.kernel @k() {
  %z = moe_tile.acc_zero : !moe_tile.acc<4x8xf32>
  // expected-error @below {{'moe_tile.map' op operand #0 must be variadic of readable registers of the whole team, but got '!moe_tile.acc<4x8xf32>'}}
  %f = "moe_tile.map"(%z) ({
  ^bb0(%a: f32):
    moe_tile.yield %a : f32
  }) : (!moe_tile.acc<4x8xf32>) -> !moe_tile.frag<4x8xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: i8) {
  %q = moe_tile.frag_splat %i : i8 -> !moe_tile.frag<4x4xi8>
  // expected-error @below {{dequant_c1: 4x4 elements of 2 values do not give 4x4}}
  %d = moe_tile.dequant %q format(low_even) : !moe_tile.frag<4x4xi8> -> !moe_tile.frag<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: i8, %s: f32) {
  %q = moe_tile.frag_splat %i : i8 -> !moe_tile.frag<4x4xi8>
  %t = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x3xf32>
  // expected-error @below {{dequant_c2: scales 4x3 do not divide the tile 4x8}}
  %d = moe_tile.dequant %q scale(%t : !moe_tile.frag<4x3xf32>) format(low_even) : !moe_tile.frag<4x4xi8> -> !moe_tile.frag<4x8xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: i8, %s: f32) {
  %q = moe_tile.frag_splat %i : i8 -> !moe_tile.frag<4x4xi8>
  %t = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x2xf32>
  // expected-error @below {{dequant_c2: a tile of 4x8 with granule 1x3 needs 4x3 scales, got 4x2}}
  %d = moe_tile.dequant %q scale(%t : !moe_tile.frag<4x2xf32>) granule [1, 3] format(low_even) : !moe_tile.frag<4x4xi8> -> !moe_tile.frag<4x8xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: i8) {
  %q = moe_tile.frag_splat %i : i8 -> !moe_tile.frag<4x4xi8>
  // expected-error @below {{dequant_c3: both zero and zero_value 8}}
  %d = moe_tile.dequant %q zero(%q : !moe_tile.frag<4x4xi8>) zero_value 8 : !moe_tile.frag<4x4xi8> -> !moe_tile.frag<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: i16) {
  %q = moe_tile.frag_splat %i : i16 -> !moe_tile.frag<4x4xi16>
  // expected-error @below {{dequant_c4: format mx does not store 'i16'}}
  %d = moe_tile.dequant %q format(mx) : !moe_tile.frag<4x4xi16> -> !moe_tile.frag<4x8xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: i8) {
  %q = moe_tile.frag_splat %i : i8 -> !moe_tile.frag<4x4xi8>
  // expected-error @below {{dequant_c5: result must be float, got 'i8'}}
  %d = moe_tile.dequant %q : !moe_tile.frag<4x4xi8> -> !moe_tile.frag<4x4xi8>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%i: i8, %f: f32) {
  %q = moe_tile.frag_splat %i : i8 -> !moe_tile.frag<4x4xi8>
  %s = moe_tile.frag_splat %f : f32 -> !moe_tile.frag<2x1xf32>
  // expected-error @below {{dequant_c6: unrounded values are a fragment with scales of single rows, got '!moe_tile.frag<4x4xbf16>'}}
  %d = moe_tile.dequant %q scale(%s : !moe_tile.frag<2x1xf32>) unrounded : !moe_tile.frag<4x4xi8> -> !moe_tile.frag<4x4xbf16>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  %b = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x8xf32>
  // expected-error @below {{promote_c1: part, main and result must be float tiles of one shape, got '!moe_tile.frag<4x4xf32>' and '!moe_tile.frag<4x8xf32>'}}
  %p = moe_tile.promote %a, %b : !moe_tile.frag<4x4xf32>, !moe_tile.frag<4x8xf32> -> !moe_tile.frag<4x8xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  %r = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<3x1xf32>
  // expected-error @below {{promote_c2: row factors 3x1 for 4 rows}}
  %p = moe_tile.promote %a, %a row(%r : !moe_tile.frag<3x1xf32>) : !moe_tile.frag<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  %r = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<1x1xf32>
  // expected-error @below {{promote_c3: row_sum and zero come together}}
  %p = moe_tile.promote %a, %a zero(%r : !moe_tile.frag<1x1xf32>) : !moe_tile.frag<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<2x4xf32>
  // expected-error @below {{map_c1: input '!moe_tile.frag<2x4xf32>' has neither the extents of 4x4 nor 1}}
  %p = moe_tile.map ins(%a : !moe_tile.frag<2x4xf32>) -> !moe_tile.frag<4x4xf32> {
  ^bb0(%v: f32):
    moe_tile.yield %v : f32
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  // expected-error @below {{map_c2: results of different shapes: '!moe_tile.frag<4x4xf32>' and '!moe_tile.frag<4x1xf32>'}}
  %p, %q = moe_tile.map -> !moe_tile.frag<4x4xf32>, !moe_tile.frag<4x1xf32> {
    moe_tile.yield %s, %s : f32, f32
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  // expected-error @below {{map_c3: yields 'f32' for a result of 'bf16'}}
  %p = moe_tile.map -> !moe_tile.frag<4x4xbf16> {
    moe_tile.yield %s : f32
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%m: memref<4xf32>, %i: index) {
  %p = moe_tile.map -> !moe_tile.frag<4x4xf32> {
    // expected-error @below {{map_c4: the body of a map is scalar, without memory and regions}}
    %v = memref.load %m[%i] : memref<4xf32>
    moe_tile.yield %v : f32
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x12xf32>
  // expected-error @below {{split_c1: blocks of 4 do not cut 12 columns into two}}
  %l, %h = moe_tile.split %a block 4 : !moe_tile.frag<4x12xf32> -> !moe_tile.frag<4x6xf32>, !moe_tile.frag<4x6xf32>
  moe_tile.return
}

// -----

// The second wave holds the second half: gate and up of one element are in different waves.
#l = #moe_tile.digits<reg = [m * 4 by 1], lane = [n * 4 by 1], warp = [n * 2 by 4]>
moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x8xf32, #l>
  // expected-error @below {{split_c2: columns 4 apart are held by different warp indices, not by reg; boxes of the load can rearrange them}}
  %x, %y = moe_tile.split %a block 4 : !moe_tile.frag<4x8xf32, #l> -> !moe_tile.frag<4x4xf32>, !moe_tile.frag<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  // expected-error @below {{join_c1: '!moe_tile.frag<4x4xf32>' and '!moe_tile.frag<4x4xf32>' in blocks of 3 do not give '!moe_tile.frag<4x8xf32>'}}
  %p = moe_tile.join %a, %a block 3 : !moe_tile.frag<4x4xf32>, !moe_tile.frag<4x4xf32> -> !moe_tile.frag<4x8xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  // expected-error @below {{row_reduce_c1: input '!moe_tile.frag<4x4xf32>' and result '!moe_tile.frag<2x1xf32>' differ in rows or element type}}
  %p = moe_tile.row_reduce sum %a group 4 : !moe_tile.frag<4x4xf32> -> !moe_tile.frag<2x1xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  // expected-error @below {{row_reduce_c2: groups of 3 of 4 columns do not give 1}}
  %p = moe_tile.row_reduce sum %a group 3 : !moe_tile.frag<4x4xf32> -> !moe_tile.frag<4x1xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  %a = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xf32>
  // expected-error @below {{relayout_c1: '!moe_tile.frag<4x4xf32>' and '!moe_tile.frag<4x2xf32>' differ in shape or element type}}
  %p = moe_tile.relayout %a : !moe_tile.frag<4x4xf32> -> !moe_tile.frag<4x2xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%m: memref<4x4xf32>, %i: index) {
  %a = moe_tile.load %m[%i, %i] : memref<4x4xf32> -> !moe_tile.buf<4x4xf32>
  // expected-error @below {{frag_load_c1: '!moe_tile.buf<4x4xf32>' and '!moe_tile.frag<4x4xbf16>' differ in shape or element type}}
  %p = moe_tile.frag_load %a : !moe_tile.buf<4x4xf32> -> !moe_tile.frag<4x4xbf16>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%m: memref<4x2xf32>, %i: index) {
  %a = moe_tile.load %m[%i, %i] : memref<4x2xf32> -> !moe_tile.buf<4x2xf32>
  // expected-error @below {{frag_load_c1: a column of '!moe_tile.buf<4x2xf32>' is one row of 4 values, not '!moe_tile.frag<1x2xf32>'}}
  %p = moe_tile.frag_load %a at %i : !moe_tile.buf<4x2xf32> -> !moe_tile.frag<1x2xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) {
  // expected-error @below {{frag_splat_c1: 'f32' for '!moe_tile.frag<4x4xbf16>'}}
  %p = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x4xbf16>
  moe_tile.return
}

// -----

moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  moe_tile.roles {
    moe_tile.role @a threads(32) {
      // expected-error @below {{ring_alloc_c1: stands at the top level of a kernel}}
      %r = moe_tile.ring_alloc : !moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>
    }
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k(%b: i1) attributes {form = #moe_tile.form<explicit>} {
  scf.if %b {
    // expected-error @below {{buf_alloc_c1: stands at the top level of a kernel or of a role}}
    %r = moe_tile.buf_alloc : !moe_tile.buf<4x8xf32>
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  moe_tile.roles {
    // expected-error @below {{roles_c1: roles holds only moe_tile.role}}
    %c = arith.constant 0 : index
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  moe_tile.roles {
    moe_tile.role @a threads(32) { }
    // expected-error @below {{roles_c2: two roles named 'a'}}
    moe_tile.role @a threads(32) { }
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  // expected-error @below {{roles_c3: 66560 registers, a block has 65536}}
  moe_tile.roles {
    moe_tile.role @load threads(128) regs(40) { }
    moe_tile.role @compute threads(128) copies(2) divide(m) regs(240) { }
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  moe_tile.roles {
    // expected-error @below {{role_c1: threads must be a multiple of 32 and copies positive, got 48 and 1}}
    moe_tile.role @a threads(48) { }
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  moe_tile.roles {
    // expected-error @below {{role_c2: regs must be a multiple of 8 in 24..256, got 30}}
    moe_tile.role @a threads(32) regs(30) { }
  }
  moe_tile.return
}

// -----

moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  moe_tile.roles {
    // expected-error @below {{role_c3: 2 copies need divide}}
    moe_tile.role @a threads(32) copies(2) { }
  }
  moe_tile.return
}

// -----

!RG = !moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>
moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  %r = moe_tile.ring_alloc : !RG
  // expected-error @below {{cursor_c1: a cursor is used once, got 2 openings, 0 closings and 0 other uses}}
  %c = moe_tile.cursor %r : !RG -> !moe_tile.cursor<producer>
  %a = moe_tile.acquire %r[%c] : !RG, !moe_tile.cursor<producer> -> !moe_tile.buf<4x8xf32>
  %b = moe_tile.acquire %r[%c] : !RG, !moe_tile.cursor<producer> -> !moe_tile.buf<4x8xf32>
  moe_tile.return
}

// -----

!RG = !moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>
moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  %r = moe_tile.ring_alloc : !RG
  %c = moe_tile.cursor %r : !RG -> !moe_tile.cursor<producer>
  // expected-error @below {{slot_c1: the ring has buffers ('!moe_tile.buf<4x8xf32>'), results are ()}}
  "moe_tile.acquire"(%r, %c) : (!RG, !moe_tile.cursor<producer>) -> ()
  %n = moe_tile.publish %r[%c] : !RG, !moe_tile.cursor<producer>
  moe_tile.return
}

// -----

!RG = !moe_tile.ring<2 x (a: !moe_tile.buf<4x8xf32>), sync = tx>
moe_tile.kernel @k() attributes {form = #moe_tile.form<explicit>} {
  %r = moe_tile.ring_alloc : !RG
  %c = moe_tile.cursor %r : !RG -> !moe_tile.cursor<consumer>
  // expected-error @below {{slot_c2: needs a producer cursor, got a consumer cursor}}
  %a = moe_tile.acquire %r[%c] : !RG, !moe_tile.cursor<consumer> -> !moe_tile.buf<4x8xf32>
  %n = moe_tile.publish %r[%c] : !RG, !moe_tile.cursor<consumer>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%m: memref<4x4xbf16>, %i: index) attributes {form = #moe_tile.form<explicit>} {
  %b = moe_tile.buf_alloc : !moe_tile.buf<4x1xbf16>
  // expected-error @below {{copy_c1: gather moves at least 4 bytes, a row has 2}}
  moe_tile.copy %m[%i, %i] how(gather) to %b : memref<4x4xbf16>, !moe_tile.buf<4x1xbf16>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%m: memref<4x4xbf16>, %i: index) attributes {form = #moe_tile.form<explicit>} {
  %b = moe_tile.buf_alloc : !moe_tile.buf<4x4xbf16, swizzle = 32>
  // expected-error @below {{copy_c2: a swizzled row is a multiple of 16 bytes, got 8}}
  moe_tile.copy %m[%i, %i] to %b : memref<4x4xbf16>, !moe_tile.buf<4x4xbf16, swizzle = 32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%s: f32) attributes {form = #moe_tile.form<explicit>} {
  %b = moe_tile.buf_alloc : !moe_tile.buf<4x4xf32>
  %f = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x2xf32>
  // expected-error @below {{deposit_c1: 2 columns for a buffer of 4}}
  moe_tile.deposit %f to %b : !moe_tile.frag<4x2xf32> to !moe_tile.buf<4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%m: memref<4x4xi32>, %i: index) attributes {form = #moe_tile.form<explicit>} {
  // signal_c1
  // expected-error @below {{'moe_tile.signal' op operand #0 must be 1D memref of 32-bit signless integer values, but got 'memref<4x4xi32>'}}
  moe_tile.signal %m[%i] : memref<4x4xi32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%m: memref<?x4x4xf32>, %i: index, %s: f32) attributes {form = #moe_tile.form<explicit>} {
  %f = moe_tile.frag_splat %s : f32 -> !moe_tile.frag<4x2xf32>
  // expected-error @below {{partial_c1: '!moe_tile.frag<4x2xf32>' in a workspace of 'memref<?x4x4xf32>'}}
  moe_tile.partial_put %f to %m[%i] : !moe_tile.frag<4x2xf32>, memref<?x4x4xf32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%ids: memref<?x2xi32>, %t: index, %v: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) {
  // expected-error @below {{align_c1: experts = 4, topk = 2, block_m = 0, pad = 1 must be positive, experts at most 2048}}
  moe_tile.align ids(%ids : memref<?x2xi32>) tokens(%t)
    to(%v, %v, %v, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 4 topk 2 block_m 0
  moe_tile.return
}

// -----

moe_tile.kernel @k(%ids: memref<?x2xi32>, %t: index, %v: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) {
  // expected-error @below {{align_c1: experts = 2049, topk = 2}}
  moe_tile.align ids(%ids : memref<?x2xi32>) tokens(%t)
    to(%v, %v, %v, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 2049 topk 2 block_m 16
  moe_tile.return
}

// -----

moe_tile.kernel @k(%ids: memref<?x2xi32>, %t: index, %v: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) {
  // expected-error @below {{align_c2: ids of type 'memref<?x2xi32>' must have topk = 3 columns}}
  moe_tile.align ids(%ids : memref<?x2xi32>) tokens(%t)
    to(%v, %v, %v, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 4 topk 3 block_m 16
  moe_tile.return
}

// -----

moe_tile.kernel @k(%t: index, %v: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) {
  // expected-error @below {{align_c2: without ids topk = 3 is at most experts = 2}}
  moe_tile.align tokens(%t)
    to(%v, %v, %v, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 2 topk 3 block_m 16
  moe_tile.return
}

// -----

moe_tile.kernel @k(%t: index, %v: memref<?xi32>, %table: memref<?x3xi32>, %count: memref<1xi32>) {
  // expected-error @below {{align_c3: the table must have four columns, got 'memref<?x3xi32>'}}
  moe_tile.align tokens(%t)
    to(%v, %v, %v, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x3xi32>, memref<1xi32>)
    experts 2 topk 2 block_m 16
  moe_tile.return
}

// -----

moe_tile.kernel @k(%t: index, %v: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<2xi32>) {
  // expected-error @below {{align_c3: count and device_tokens have one element, got 'memref<2xi32>'}}
  moe_tile.align tokens(%t)
    to(%v, %v, %v, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<2xi32>)
    experts 2 topk 2 block_m 16
  moe_tile.return
}

// -----

moe_tile.kernel @k(%t: index, %v: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) {
  %c0 = arith.constant 0 : index
  %c7 = arith.constant 7 : i32
  // expected-error @below {{align_c4: stands alone in its kernel, found memref.store}}
  moe_tile.align tokens(%t)
    to(%v, %v, %v, %table, %count : memref<?xi32>, memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>)
    experts 2 topk 2 block_m 16
  memref.store %c7, %count[%c0] : memref<1xi32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: memref<?x8xf32>, %i: memref<?x9xi32>, %w: memref<?x9xf32>) {
  // expected-error @below {{topk_c1: logits of type 'memref<?x8xf32>', ids of 'memref<?x9xi32>' and weights of 'memref<?x9xf32>' must have static E and 1 <= k <= E}}
  moe_tile.topk logits(%l : memref<?x8xf32>) to(%i, %w : memref<?x9xi32>, memref<?x9xf32>)
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: memref<?x8xf32>, %i: memref<?x3xi32>, %w: memref<?x3xf32>) {
  // expected-error @below {{topk_c2: 1 of 4 groups of 8 experts must divide them and hold 3}}
  moe_tile.topk logits(%l : memref<?x8xf32>) to(%i, %w : memref<?x3xi32>, memref<?x3xf32>) groups 4 of 1
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: memref<?x8xf32>, %b: memref<7xf32>, %i: memref<?x3xi32>, %w: memref<?x3xf32>) {
  // expected-error @below {{topk_c3: bias of type 'memref<7xf32>' for 8 experts}}
  moe_tile.topk logits(%l : memref<?x8xf32>) bias(%b : memref<7xf32>) to(%i, %w : memref<?x3xi32>, memref<?x3xf32>)
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: memref<?x8xf32>, %i: memref<?x3xi32>, %w: memref<?x3xf32>) {
  // expected-error @below {{topk_c3: top2_sum needs two experts in a group, got 1}}
  moe_tile.topk logits(%l : memref<?x8xf32>) to(%i, %w : memref<?x3xi32>, memref<?x3xf32>) groups 8 of 4 top2_sum
  moe_tile.return
}

// -----

moe_tile.kernel @k(%l: memref<?x8xf32>, %i: memref<?x3xi32>, %w: memref<?x3xf32>) {
  %c0 = arith.constant 0 : index
  %c7 = arith.constant 7 : i32
  // expected-error @below {{topk_c4: stands alone in its kernel, found memref.store}}
  moe_tile.topk logits(%l : memref<?x8xf32>) to(%i, %w : memref<?x3xi32>, memref<?x3xf32>)
  memref.store %c7, %i[%c0, %c0] : memref<?x3xi32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%ids: memref<?x2xi32>) {
  // expected-error @below {{slot_list_c1: experts, columns and block must be positive, got 4 and 64 by 0}}
  %l = moe_tile.slot_list ids(%ids : memref<?x2xi32>) experts 4 columns 64 by 0 -> !moe_tile.tiles<blocks>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%ids: memref<?x2xi32>) {
  // expected-error @below {{slot_list_c1: gives a list of blocks}}
  %l = moe_tile.slot_list ids(%ids : memref<?x2xi32>) experts 4 columns 64 by 8 -> !moe_tile.tiles<records>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%ids: memref<?x?xi32>) {
  // expected-error @below {{slot_list_c2: ids need a static number of columns, got 'memref<?x?xi32>'}}
  %l = moe_tile.slot_list ids(%ids : memref<?x?xi32>) experts 4 columns 64 by 8 -> !moe_tile.tiles<blocks>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%ids: memref<?x2xi32>, %n: memref<2xi32>) {
  // expected-error @below {{slot_list_c2: device_tokens has one element, got 'memref<2xi32>'}}
  %l = moe_tile.slot_list ids(%ids : memref<?x2xi32>) device_tokens(%n : memref<2xi32>) experts 4 columns 64 by 8 -> !moe_tile.tiles<blocks>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%ids: memref<?x2xi32>, %s: index) {
  // expected-error @below {{slot_row_c1: one row of one of experts > 0, got 2 rows and 4 experts}}
  %r = moe_tile.slot_row %s of ids(%ids : memref<?x2xi32>) experts 4 -> !moe_tile.rows<2>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%ids: memref<?x2xi32>, %s: index) {
  // expected-error @below {{slot_row_c1: one row of one of experts > 0, got 1 rows and 0 experts}}
  %r = moe_tile.slot_row %s of ids(%ids : memref<?x2xi32>) experts 0 -> !moe_tile.rows<1>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%ids: memref<?x2xi32>, %d: memref<?x8xf32>, %o: memref<?x8xf32>, %n: memref<?x1xi32>, %i: index) {
  // expected-error @below {{sum_last_c1: experts, by and teams must be positive, got 4, 0 and 1}}
  moe_tile.sum_last %d[%i, %i] by 0 to %o counters(%n) ids(%ids : memref<?x2xi32>) experts 4
    : memref<?x8xf32> to memref<?x8xf32>, memref<?x1xi32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%ids: memref<?x2xi32>, %d: memref<?x8xf32>, %o: memref<?x4xf32>, %n: memref<?x1xi32>, %i: index) {
  // expected-error @below {{sum_last_c2: rows of type 'memref<?x8xf32>' and sums of type 'memref<?x4xf32>' need elements of f32, bf16 or f16 and as many columns}}
  moe_tile.sum_last %d[%i, %i] by 8 to %o counters(%n) ids(%ids : memref<?x2xi32>) experts 4
    : memref<?x8xf32> to memref<?x4xf32>, memref<?x1xi32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%ids: memref<?x2xi32>, %d: memref<?x8xf32>, %o: memref<?x8xf32>, %n: memref<?x1xi32>, %i: index) {
  // expected-error @below {{sum_last_c3: stands last in for_tiles over a slot list}}
  moe_tile.sum_last %d[%i, %i] by 8 to %o counters(%n) ids(%ids : memref<?x2xi32>) experts 4
    : memref<?x8xf32> to memref<?x8xf32>, memref<?x1xi32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%p: memref<?xi32>, %d: memref<?x8xf32>, %o: memref<?x8xf32>, %n: memref<?x1xi32>, %i: index) {
  %s = moe_tile.row_iota %i limit(%i) -> !moe_tile.rows<4>
  // expected-error @below {{sum_arrived_c1: by, topk and teams must be positive, got 0, 2 and 1}}
  moe_tile.sum_arrived %d[%s, %i] by 0 to %o counters(%n) places(%p) topk 2
    : !moe_tile.rows<4>, memref<?x8xf32> to memref<?x8xf32>, memref<?x1xi32>, memref<?xi32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%p: memref<?xi32>, %d: memref<?x8xbf16>, %o: memref<?x8xf32>, %n: memref<?x1xi32>, %i: index) {
  %s = moe_tile.row_iota %i limit(%i) -> !moe_tile.rows<4>
  // expected-error @below {{sum_arrived_c2: rows of type 'memref<?x8xbf16>' and sums of type 'memref<?x8xf32>' need elements of f32, bf16 or f16 and as many columns, rows of added ones f32}}
  moe_tile.sum_arrived %d[%s, %i] by 8 to %o counters(%n) places(%p) topk 2 added
    : !moe_tile.rows<4>, memref<?x8xbf16> to memref<?x8xf32>, memref<?x1xi32>, memref<?xi32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%p: memref<?xi32>, %d: memref<?x8xf32>, %o: memref<?x8xf32>, %n: memref<?x1xi32>, %i: index) {
  %s = moe_tile.row_iota %i limit(%i) -> !moe_tile.rows<4>
  // expected-error @below {{sum_arrived_c3: stands last in for_tiles over a list of row blocks}}
  moe_tile.sum_arrived %d[%s, %i] by 8 to %o counters(%n) places(%p) topk 2
    : !moe_tile.rows<4>, memref<?x8xf32> to memref<?x8xf32>, memref<?x1xi32>, memref<?xi32>
  moe_tile.return
}

// -----

moe_tile.kernel @k(%p: memref<?xi32>, %o: memref<?x8xf64>) {
  // expected-error @below {{clear_absent_c1: topk must be positive and sums of f32, bf16 or f16, got 2 and 'memref<?x8xf64>'}}
  moe_tile.clear_absent %o places(%p) topk 2 : memref<?x8xf64>, memref<?xi32>
  moe_tile.return
}
