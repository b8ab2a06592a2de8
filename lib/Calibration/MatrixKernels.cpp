//===- MatrixKernels.cpp - One product of warpgroups, again and again -----===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// probe_wgmma_TYPE_nN_PLACE(operands, rounds, out): every warpgroup multiplies
// the same operands, 64 rows of A of its own by N rows of B, the 128 bytes of a
// row in four steps, as products do. Operands are laid out as in shared memory
// (swizzle of 128 bytes): A of four warpgroups, then B. The first block stores
// its sums, which are `rounds` times the product.
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::calibration;

/// Bytes of A of one warpgroup.
static constexpr int64_t kTileBytes = 64 * 128;
/// Steps of a row of 128 bytes.
static constexpr int64_t kSteps = 4;

std::string MatrixKernel::getName() const {
  return ("probe_wgmma_" + type + "_n" + Twine(n) + "_" +
          (registers ? "registers" : "shared"))
      .str();
}

int64_t MatrixKernel::getElementBits() const {
  return type == "bf16" ? 16 : type == "tf32" ? 32 : 8;
}

SmallVector<MatrixKernel> calibration::getMatrixKernels() {
  SmallVector<MatrixKernel> all;
  for (StringRef type : {"bf16", "fp8", "int8", "tf32"})
    for (int64_t n : {8, 16, 32, 64, 128, 256}) {
      all.push_back({type, n, /*registers=*/false});
      if (type == "bf16")
        all.push_back({type, n, /*registers=*/true});
    }
  return all;
}

static NVVM::WGMMATypes typeOf(const MatrixKernel &kernel) {
  return llvm::StringSwitch<NVVM::WGMMATypes>(kernel.type)
      .Case("bf16", NVVM::WGMMATypes::bf16)
      .Case("fp8", NVVM::WGMMATypes::e4m3)
      .Case("int8", NVVM::WGMMATypes::s8)
      .Default(NVVM::WGMMATypes::tf32);
}

/// Rows of 128 bytes with a swizzle of 128, eight rows 1024 bytes apart.
static Value makeDescriptor(KernelBuilder &k, Value place) {
  Value address = LLVM::PtrToIntOp::create(k.b, k.loc, k.i64(), place);
  Value units = k.shr(k.bitAnd(address, k.c64(0x3ffff)), k.c64(4));
  return k.bitOr(units, k.c64(int64_t(uint64_t(1) << 16 | uint64_t(64) << 32 |
                                      uint64_t(1) << 62)));
}

/// The registers of A of a thread, from where wgmma would read them.
static SmallVector<Value> loadRegisters(KernelBuilder &k, Value tile) {
  Value inGroup = k.bitAnd(k.thread(), k.c32(127));
  Value warp = k.shr(inGroup, k.c32(5)), lane = k.bitAnd(inGroup, k.c32(31));
  Value g = k.shr(lane, k.c32(2)), t = k.bitAnd(lane, k.c32(3));
  SmallVector<Value> registers;
  for (int64_t i = 0; i < 4 * kSteps; ++i) {
    Value row = k.add(k.add(k.mul(warp, k.c32(16)), g), k.c32(i % 2 * 8));
    // A step is two chunks of 16 bytes; rows 8 apart swizzle alike.
    Value chunk = k.bitXor(k.c32(i / 4 * 2 + i % 4 / 2), g);
    Value offset = k.add(k.mul(row, k.c32(128)),
                         k.add(k.mul(chunk, k.c32(16)), k.mul(t, k.c32(4))));
    registers.push_back(k.load(k.i32(), k.at(tile, offset), 4));
  }
  return registers;
}

static void addMatrixKernel(ModuleOp module, const ProbeTarget &target,
                            const MatrixKernel &kernel) {
  MLIRContext *context = module.getContext();
  Builder t(context);
  Type p = KernelBuilder::pointer(context);
  KernelBuilder k(module, target, kernel.getName(), {p, t.getI32Type(), p},
                  128 * kernel.getMostGroups(), /*atMost=*/true);
  Value base = k.shared(kMatrixBytes), thread = k.thread();
  Value threads = NVVM::BlockDimXOp::create(k.b, k.loc, k.i32());
  k.loop(thread, k.c32(kMatrixBytes / 16), threads, {},
         [&](Value i, ValueRange) {
           Value from = k.pieceAt(k.arg(0), k.extend(i));
           k.store(k.stream(from), k.at(base, k.shl(i, k.c32(4))), 16);
           return SmallVector<Value>();
         });
  NVVM::FenceProxyOp::create(
      k.b, k.loc, NVVM::ProxyKind::async_shared,
      NVVM::SharedSpaceAttr::get(context, NVVM::SharedSpace::shared_cta));
  k.barrier();

  // The same in all lanes, and known to be.
  Value warp = NVVM::ShflOp::create(k.b, k.loc, k.i32(), k.c32(-1),
                                    k.shr(thread, k.c32(5)), k.c32(0),
                                    k.c32(31), NVVM::ShflKind::idx, UnitAttr());
  Value tile = k.at(base, k.mul(k.shr(warp, k.c32(2)), k.c32(kTileBytes)));
  Value a = makeDescriptor(k, tile);
  Value b = makeDescriptor(k, k.at(base, k.c32(kMatrixB)));
  SmallVector<Value> registers;
  if (kernel.registers)
    registers = loadRegisters(k, tile);

  NVVM::WGMMATypes type = typeOf(kernel);
  bool integers = kernel.type == "int8";
  Type sum = integers ? k.i32() : t.getF32Type();
  Type accType = LLVM::LLVMStructType::getLiteral(
      context, SmallVector<Type>(kernel.n / 2, sum));
  auto shape = NVVM::MMAShapeAttr::get(context, 64, kernel.n,
                                       256 / kernel.getElementBits());
  auto round = [&](Value acc, bool first) -> Value {
    if (kernel.registers) {
      acc = nv::WgmmaRegistersOp::create(k.b, k.loc, accType, acc, registers, b,
                                         TypeAttr::get(t.getBF16Type()),
                                         first ? t.getUnitAttr() : UnitAttr());
    } else {
      NVVM::WgmmaFenceAlignedOp::create(k.b, k.loc);
      for (int64_t s = 0; s < kSteps; ++s)
        acc = NVVM::WgmmaMmaAsyncOp::create(
                  k.b, k.loc, accType, acc, k.add(a, k.c64(2 * s)),
                  k.add(b, k.c64(2 * s)), shape, type, type,
                  integers ? NVVM::WGMMATypes::s32 : NVVM::WGMMATypes::f32,
                  first && s == 0 ? NVVM::WGMMAScaleOut::zero
                                  : NVVM::WGMMAScaleOut::one,
                  NVVM::WGMMAScaleIn::one, NVVM::WGMMAScaleIn::one,
                  NVVM::MMALayout::row, NVVM::MMALayout::col,
                  NVVM::MMAIntOverflowAttr())
                  .getResult();
    }
    NVVM::WgmmaGroupSyncAlignedOp::create(k.b, k.loc);
    return acc;
  };
  // A first round without sums: those set to zero in registers would make the
  // assembler serialise every product.
  Value acc = round(LLVM::UndefOp::create(k.b, k.loc, accType), true);
  acc =
      k.loop(k.c32(1), k.arg(1), k.c32(1), acc, [&](Value, ValueRange carried) {
        Value acc = round(carried[0], false);
        NVVM::WgmmaWaitGroupSyncOp::create(k.b, k.loc, uint64_t(1));
        return SmallVector<Value>{acc};
      })[0];
  acc = nv::WgmmaWaitOp::create(k.b, k.loc, /*pending=*/0, ValueRange(acc))
            .getResult(0);
  k.when(k.same(k.block(), k.c32(0)), [&] {
    Value out = k.at(k.arg(2), k.extend(k.mul(thread, k.c32(kernel.n * 2))));
    for (int64_t i = 0; i < kernel.n / 2; ++i)
      k.store(LLVM::ExtractValueOp::create(k.b, k.loc, acc, i),
              k.at(out, k.c64(4 * i)), 4);
  });
}

void calibration::addMatrixKernels(ModuleOp module, const ProbeTarget &target) {
  for (const MatrixKernel &kernel : getMatrixKernels())
    addMatrixKernel(module, target, kernel);
}
