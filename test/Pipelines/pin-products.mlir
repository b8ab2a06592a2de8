// The last sum of a chain of WMMA passes through an empty piece of assembly, so that no instruction of the chain moves
// under the mask of a store; what stays in a loop or in the chain does not.
// RUN: moe-opt %s -moe-rocdl-pin-products | FileCheck %s
// RUN: moe-opt %s -moe-rocdl-to-llvm=chip=gfx1100 | FileCheck %s --check-prefix=LLVM

!H = vector<16xbf16>
!S = vector<8xf32>

// CHECK-LABEL: llvm.func @chain
// CHECK:         %[[LOOP:.+]] = scf.for {{.*}} iter_args(%[[SUM:.+]] = %{{.+}})
// CHECK-NEXT:      %[[NEXT:.+]] = amdgpu.wmma {{.*}} + %[[SUM]]
// CHECK-NEXT:      scf.yield %[[NEXT]]
// CHECK:         %[[FIRST:.+]] = amdgpu.wmma {{.*}} + %[[LOOP]]
// CHECK-NEXT:    %[[LAST:.+]] = amdgpu.wmma {{.*}} + %[[FIRST]]
// CHECK-NEXT:    %[[PINNED:.+]] = llvm.inline_asm has_side_effects asm_dialect = att "", "=v,0" %[[LAST]] : (vector<8xf32>) -> vector<8xf32>
// CHECK-NEXT:    llvm.extractelement %[[PINNED]]
// CHECK:         scf.if
// CHECK-NEXT:      llvm.store %[[PINNED]]
// LLVM: %[[LAST:.+]] = rocdl.wmma
// LLVM: %[[LAST:.+]] = rocdl.wmma
// LLVM: %[[LAST:.+]] = rocdl.wmma
// LLVM-NEXT: llvm.inline_asm has_side_effects {{.*}} %[[LAST]]
llvm.func @chain(%a: !H, %b: !H, %c: !S, %n: i32, %p: !llvm.ptr<1>, %q: !llvm.ptr<1>, %mask: i1) {
  %c0 = llvm.mlir.constant(0 : i32) : i32
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %loop = scf.for %i = %c0 to %n step %c1 iter_args(%sum = %c) -> (!S) : i32 {
    %next = amdgpu.wmma 16x16x16 %a * %b + %sum : !H, !H, !S
    scf.yield %next : !S
  }
  %first = amdgpu.wmma 16x16x16 %a * %b + %loop : !H, !H, !S
  %last = amdgpu.wmma 16x16x16 %b * %a + %first : !H, !H, !S
  %x = llvm.extractelement %last[%c0 : i32] : !S
  llvm.store %x, %q : f32, !llvm.ptr<1>
  scf.if %mask {
    llvm.store %last, %p : !S, !llvm.ptr<1>
  }
  llvm.return
}
