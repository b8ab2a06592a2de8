// What has no emulation is refused before anything runs, with its place.

// RUN: split-file %s %t
// RUN: not %emulate %t/op.mlir | FileCheck %s --check-prefix=OP
// RUN: not %emulate %t/type.mlir | FileCheck %s --check-prefix=TYPE
// RUN: not %emulate %t/asm.mlir | FileCheck %s --check-prefix=ASM
// RUN: not %emulate %t/byval.mlir | FileCheck %s --check-prefix=BYVAL
// RUN: not %emulate %t/external.mlir | FileCheck %s --check-prefix=EXTERNAL
// RUN: not %emulate %t/launch.mlir --only=missing | FileCheck %s --check-prefix=MISSING
// RUN: not %emulate %t/launch.mlir --only=threads | FileCheck %s --check-prefix=THREADS
// RUN: not %emulate %t/launch.mlir --only=count | FileCheck %s --check-prefix=COUNT
// RUN: not %emulate %t/launch.mlir --only=width | FileCheck %s --check-prefix=WIDTH
// RUN: not %emulate %t/launch.mlir --only=smem | FileCheck %s --check-prefix=SMEM
// RUN: not %emulate %t/launch.mlir --only=map | FileCheck %s --check-prefix=MAP
// RUN: not %emulate %t/launch.mlir --only=clusters | FileCheck %s --check-prefix=CLUSTERS

//--- op.mlir
llvm.func @k() attributes {nvvm.kernel} {
  // OP: error: loc("{{.*}}op.mlir":3:3): 'nvvm.breakpoint' op has no emulation
  nvvm.breakpoint
  llvm.return
}
//--- type.mlir
llvm.func @k(%a: i128) attributes {nvvm.kernel} {
  // TYPE: 'llvm.func' op has no emulation for type 'i128'
  llvm.return
}
//--- asm.mlir
llvm.func @k() attributes {nvvm.kernel} {
  // ASM: 'llvm.inline_asm' op has no emulation
  llvm.inline_asm has_side_effects "nop;", "" : () -> ()
  llvm.return
}
//--- byval.mlir
// BYVAL: parameter 0 is passed by value without nvvm.grid_constant: the device would copy it to local memory
llvm.func @k(%a: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>}) attributes {nvvm.kernel} {
  llvm.return
}
//--- external.mlir
llvm.func @elsewhere()
llvm.func @k() attributes {nvvm.kernel} {
  // EXTERNAL: 'llvm.call' op calls a function without a body: no emulation
  llvm.call @elsewhere() : () -> ()
  llvm.return
}
//--- launch.mlir
module attributes {
  emu.buffers = [{name = "b", type = "i32", size = 64, init = "zero"}],
  emu.launches = [
    {kernel = "missing", grid = [1], block = [32], args = []},
    {kernel = "threads", grid = [1], block = [32], args = []},
    {kernel = "count", grid = [1], block = [32], args = [{i32 = 1}, {i32 = 2}]},
    {kernel = "width", grid = [1], block = [32], args = [{i64 = 1}]},
    {kernel = "smem", grid = [1], block = [32], smem = 232449, args = []},
    {kernel = "map", grid = [1], block = [32], args = [{map = "b", type = "f32", dims = [8, 8], strides = [33], box = [4, 4]}]},
    {kernel = "clusters", grid = [3], block = [32], cluster = [2], args = []}]
} {
  // MISSING: error: no kernel named 'missing' in the module
  // THREADS: error: kernel 'threads': launched with 32x1x1 threads, nvvm.reqntid says 64x1x1
  llvm.func @threads() attributes {nvvm.kernel, nvvm.reqntid = array<i32: 64>} {
    llvm.return
  }
  // COUNT: error: kernel 'count': 2 arguments for 1 parameters
  llvm.func @count(%a: i32) attributes {nvvm.kernel} {
    llvm.return
  }
  // WIDTH: error: kernel 'width': argument 0 has 8 bytes, the parameter 4
  llvm.func @width(%a: i32) attributes {nvvm.kernel} {
    llvm.return
  }
  // SMEM: error: kernel 'smem': 232449 bytes of shared memory, 232448 at most
  llvm.func @smem() attributes {nvvm.kernel} {
    llvm.return
  }
  // MAP: error: kernel 'map': tensor map of argument 0: stride 33 of dimension 1 is not a multiple of 16 below 2^40
  llvm.func @map(%a: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}) attributes {nvvm.kernel} {
    llvm.return
  }
  // CLUSTERS: error: kernel 'clusters': grid 3x1x1 is no multiple of cluster 2x1x1
  llvm.func @clusters() attributes {nvvm.kernel} {
    llvm.return
  }
}
