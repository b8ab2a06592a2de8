# RUN: rm -rf %t && mkdir %t && %python %s %emulate %t
"""Kernels that the emulator must refuse before it runs anything.

What it does not know it may not guess: every case is the body of a kernel with
one operation in a form without emulation, and what is said of it. A case without
a text is the nearest form that is known, and must be decoded.
"""

import pathlib
import subprocess
import sys

MODULE = """
module {{
  llvm.mlir.global external @smem() {{addr_space = 3 : i32, alignment = 1024 : i64}} : !llvm.array<0 x i8>
  {before}
  llvm.func @k(%g: !llvm.ptr<1>, %map: !llvm.ptr {{llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}},
               %n: i32, %f: f32) attributes {{nvvm.kernel}} {{
    %c0 = arith.constant 0 : i32
    %s = llvm.mlir.addressof @smem : !llvm.ptr<3>
    %cluster = llvm.addrspacecast %s : !llvm.ptr<3> to !llvm.ptr<7>
{body}
    llvm.return
  }}
}}
"""

# Name, text of the refusal (empty: is decoded), body, text before the kernel.
CASES = [
    # Memory.
    ("load-struct", "'llvm.load' op has no emulation for structs",
     "%v = llvm.load %g : !llvm.ptr<1> -> !llvm.struct<(i32, i32)>"),
    ("store-struct", "'llvm.store' op has no emulation for structs", """
    %v = llvm.mlir.undef : !llvm.struct<(i32, i32)>
    llvm.store %v, %g : !llvm.struct<(i32, i32)>, !llvm.ptr<1>"""),
    ("load-vector", "", "%v = llvm.load %g : !llvm.ptr<1> -> vector<4xi32>"),
    ("atomic-of-a-vector", "'llvm.atomicrmw' op has no emulation for this operation or type", """
    %v = llvm.mlir.undef : vector<2xf16>
    %r = llvm.atomicrmw fadd %g, %v monotonic : !llvm.ptr<1>, vector<2xf16>"""),
    ("atomic-fsub", "'llvm.atomicrmw' op has no emulation for this operation or type",
     "%r = llvm.atomicrmw fsub %g, %f monotonic : !llvm.ptr<1>, f32"),
    ("atomic-fadd", "", "%r = llvm.atomicrmw fadd %g, %f monotonic : !llvm.ptr<1>, f32"),
    ("memset-of-32-bit-length", "'llvm.intr.memset' op has no emulation for lengths of 32 bits", """
    %b = arith.constant 0 : i8
    "llvm.intr.memset"(%g, %b, %n) <{isVolatile = false}> : (!llvm.ptr<1>, i8, i32) -> ()"""),
    ("memset", "", """
    %b = arith.constant 0 : i8
    %long = arith.extui %n : i32 to i64
    "llvm.intr.memset"(%g, %b, %long) <{isVolatile = false}> : (!llvm.ptr<1>, i8, i64) -> ()"""),
    ("address-of-a-function", "names a symbol without an emulation: h",
     "%p = llvm.mlir.addressof @h : !llvm.ptr", "llvm.func @h()"),
    ("alloca-of-dynamic-size", "'llvm.alloca' op has no emulation for a dynamic size",
     "%p = llvm.alloca %n x i32 : (i32) -> !llvm.ptr<5>"),
    ("alloca-of-static-size", "", "%p = llvm.alloca %c0 x i32 : (i32) -> !llvm.ptr<5>"),

    # Control.
    ("recursive", "'llvm.call' op is recursive: no emulation",
     "llvm.call @again() : () -> ()", """
  llvm.func @again() {
    llvm.call @again() : () -> ()
    llvm.return
  }"""),
    ("recursive-by-two", "'llvm.call' op is recursive: no emulation",
     "llvm.call @a() : () -> ()", """
  llvm.func @a() {
    llvm.call @b() : () -> ()
    llvm.return
  }
  llvm.func @b() {
    llvm.call @a() : () -> ()
    llvm.return
  }"""),
    ("called-twice", "", """
    llvm.call @once() : () -> ()
    llvm.call @once() : () -> ()""", """
  llvm.func @once() {
    llvm.return
  }"""),

    # Values.
    ("select-mixed-widths", "'llvm.select' op has no emulation for mixed widths", """
    %a = llvm.mlir.undef : !llvm.struct<(i32, i64)>
    %yes = arith.constant true
    %r = llvm.select %yes, %a, %a : i1, !llvm.struct<(i32, i64)>"""),
    ("select-equal-widths", "", """
    %a = llvm.mlir.undef : !llvm.struct<(i32, f32)>
    %yes = arith.constant true
    %r = llvm.select %yes, %a, %a : i1, !llvm.struct<(i32, f32)>"""),
    ("extract-at-a-dynamic-position", "'vector.extract' op has no emulation for dynamic positions", """
    %v = arith.constant dense<1> : vector<4xi32>
    %i = arith.index_cast %n : i32 to index
    %r = vector.extract %v[%i] : i32 from vector<4xi32>"""),
    ("extract-at-a-static-position", "", """
    %v = arith.constant dense<1> : vector<4xi32>
    %r = vector.extract %v[3] : i32 from vector<4xi32>"""),
    ("insert-at-a-dynamic-position", "'vector.insert' op has no emulation for dynamic positions", """
    %v = arith.constant dense<1> : vector<4xi32>
    %i = arith.index_cast %n : i32 to index
    %r = vector.insert %n, %v[%i] : i32 into vector<4xi32>"""),
    ("slice-of-two-dimensions", "'vector.extract_strided_slice' op has no emulation beyond one dimension", """
    %v = arith.constant dense<1> : vector<4x4xi32>
    %r = vector.extract_strided_slice %v {offsets = [0, 0], sizes = [2, 2], strides = [1, 1]} : vector<4x4xi32> to vector<2x2xi32>"""),
    ("slice-of-one-dimension", "", """
    %v = arith.constant dense<1> : vector<4xi32>
    %r = vector.extract_strided_slice %v {offsets = [1], sizes = [2], strides = [1]} : vector<4xi32> to vector<2xi32>"""),

    # Warps.
    ("redux-of-floats", "'nvvm.redux.sync' op has no emulation for this kind",
     "%r = nvvm.redux.sync fmin %f, %n : f32 -> f32"),
    ("redux", "", "%r = nvvm.redux.sync umin %n, %n : i32 -> i32"),

    # Conversions.
    ("f8-with-relu", "has no emulation with relu",
     "%r = nvvm.convert.f32x2.to.f8x2 %f, %f {relu = true, rnd = #nvvm.fp_rnd_mode<rn>, sat = #nvvm.sat_mode<satfinite>} : i16 (f8E4M3FN)"),
    ("f8", "",
     "%r = nvvm.convert.f32x2.to.f8x2 %f, %f {rnd = #nvvm.fp_rnd_mode<rn>, sat = #nvvm.sat_mode<satfinite>} : i16 (f8E4M3FN)"),
    ("bf16-with-random-bits", "has no emulation with random bits",
     "%r = nvvm.convert.f32x2.to.bf16x2 %f, %f, %n {rnd = #nvvm.fp_rnd_mode<rs>} : vector<2xbf16>"),
    ("bf16", "",
     "%r = nvvm.convert.f32x2.to.bf16x2 %f, %f {rnd = #nvvm.fp_rnd_mode<rn>} : vector<2xbf16>"),
    ("e2m3", "has no emulation",
     "%r = nvvm.convert.f32x2.to.f6x2 %f, %f : i16 (f6E2M3FN)"),

    # Copies.
    ("bulk-store-with-byte-mask", "has no emulation with byte_mask", """
    %mask = arith.constant 1 : i16
    nvvm.cp.async.bulk.global.shared.cta %g, %s, %n byte_mask = %mask : !llvm.ptr<1>, !llvm.ptr<3>"""),
    ("bulk-store", "", "nvvm.cp.async.bulk.global.shared.cta %g, %s, %n : !llvm.ptr<1>, !llvm.ptr<3>"),
    ("tma-load-im2col", "has no emulation except in tile mode", """
    %o = arith.constant 0 : i16
    nvvm.cp.async.bulk.tensor.shared.cluster.global %cluster, %map, %s, box [%n, %n, %n] im2col [%o] {mode = #nvvm.tma_load_mode<im2col>} : !llvm.ptr<7>, !llvm.ptr"""),
    ("tma-store-im2col", "has no emulation except in tile mode",
     "nvvm.cp.async.bulk.tensor.global.shared.cta %map, %s, box [%n, %n, %n] {mode = #nvvm.tma_store_mode<im2col>} : !llvm.ptr, !llvm.ptr<3>"),
    ("tma-store", "",
     "nvvm.cp.async.bulk.tensor.global.shared.cta %map, %s, box [%n, %n, %n] : !llvm.ptr, !llvm.ptr<3>"),
    ("tma-reduce-max", "has no emulation except for add in tile mode",
     "nvvm.cp.async.bulk.tensor.reduce %map, %s, box [%n, %n] {redKind = #nvvm.tma_redux_kind<max>} : !llvm.ptr, !llvm.ptr<3>"),
    ("tma-reduce-add", "",
     "nvvm.cp.async.bulk.tensor.reduce %map, %s, box [%n, %n] {redKind = #nvvm.tma_redux_kind<add>} : !llvm.ptr, !llvm.ptr<3>"),

    # Matrices.
    ("ldmatrix-of-bytes", "has no emulation except for 8x8 matrices of b16",
     "%r = nvvm.ldmatrix %s {num = 1 : i32, layout = #nvvm.mma_layout<col>, shape = #nvvm.ld_st_matrix_shape<m = 16, n = 16>, eltType = #nvvm.ld_st_matrix_elt_type<b8>} : (!llvm.ptr<3>) -> !llvm.struct<(i32, i32)>"),
    ("ldmatrix", "",
     "%r = nvvm.ldmatrix %s {num = 1 : i32, layout = #nvvm.mma_layout<row>, shape = #nvvm.ld_st_matrix_shape<m = 8, n = 8>, eltType = #nvvm.ld_st_matrix_elt_type<b16>} : (!llvm.ptr<3>) -> i32"),
    ("mma-8x8x4", "has no emulation for this shape or these types", """
    %a = llvm.mlir.undef : vector<2xf16>
    %r = nvvm.mma.sync A[%a, %a] B[%a, %a] C[%f, %f, %f, %f, %f, %f, %f, %f] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, shape = #nvvm.shape<m = 8, n = 8, k = 4>} : (vector<2xf16>, vector<2xf16>, f32) -> !llvm.struct<(f32, f32, f32, f32, f32, f32, f32, f32)>"""),
    ("mma-16x8x16", "", """
    %a = llvm.mlir.undef : vector<2xf16>
    %r = nvvm.mma.sync A[%a, %a, %a, %a] B[%a, %a] C[%f, %f, %f, %f] {layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, shape = #nvvm.shape<m = 16, n = 8, k = 16>} : (vector<2xf16>, vector<2xf16>, f32) -> !llvm.struct<(f32, f32, f32, f32)>"""),
]


def main(driver, folder):
    wrong = 0
    for name, text, body, *before in CASES:
        path = pathlib.Path(folder) / f"{name}.mlir"
        path.write_text(MODULE.format(body=body, before="".join(before)), encoding="utf-8")
        done = subprocess.run([driver, str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, timeout=60)
        if text:
            good = done.returncode == 1 and text in done.stdout and "error: loc(" in done.stdout
        else:
            good = done.returncode == 0 and done.stdout == "decoded k\n"
        if not good:
            wrong += 1
            print(f"{name}: wanted '{text or 'decoded'}', exit {done.returncode}:\n{done.stdout[:600]}")
    assert len({case[0] for case in CASES}) == len(CASES), "a name twice"
    print(f"{len(CASES)} kernels, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
