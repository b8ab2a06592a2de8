//===- Dtype.cpp - The list of --dtype names -----------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Frontend/Dtype.h"

using namespace mlir;
using namespace mlir::moe;

ArrayRef<DtypeInfo> moe::allDtypes() {
  static constexpr DtypeInfo table[] = {
      {Dtype::F32, "f32", 0, 0, 0},
      {Dtype::BF16, "bf16", 0, 0, 0},
      {Dtype::F16, "f16", 0, 0, 0},
      {Dtype::Fp8Block, "fp8-block", 128, 128, 128},
      {Dtype::Fp8Token, "fp8-token", 1, 0, 0},
      {Dtype::Fp8Tensor, "fp8-tensor", 0, 0, 0},
      {Dtype::W4A16G128, "w4a16-g128", 1, 128, 0},
      {Dtype::W4A16G128Exllama, "w4a16-g128-exllama", 1, 128, 0},
      {Dtype::W4A16G64, "w4a16-g64", 1, 64, 0},
      {Dtype::W4A16G32, "w4a16-g32", 1, 32, 0},
      {Dtype::W4A16G128Zp, "w4a16-g128-zp", 1, 128, 0},
      {Dtype::MxFp4, "mxfp4", 1, 32, 0},
      {Dtype::MxFp8, "mxfp8", 1, 32, 32},
      {Dtype::NvFp4, "nvfp4", 1, 16, 0},
      {Dtype::W8A8, "w8a8", 1, 0, 0},
      {Dtype::W8A16, "w8a16", 1, 0, 0},
  };
  return table;
}

const DtypeInfo &moe::getDtypeInfo(Dtype dtype) {
  return allDtypes()[static_cast<size_t>(dtype)];
}

llvm::Expected<Dtype> moe::parseDtype(StringRef name) {
  for (const DtypeInfo &info : allDtypes())
    if (info.name == name)
      return info.dtype;
  std::string names;
  llvm::raw_string_ostream os(names);
  llvm::interleave(
      allDtypes(), os, [&](const DtypeInfo &info) { os << info.name; }, " ");
  return llvm::createStringError("unknown dtype '" + name.str() +
                                 "', known are: " + names);
}

FloatType moe::getHiddenType(MLIRContext *context, Dtype dtype) {
  switch (dtype) {
  case Dtype::F32:
    return Float32Type::get(context);
  case Dtype::F16:
    return Float16Type::get(context);
  default:
    return BFloat16Type::get(context);
  }
}

/// Quant of weights of `dtype`; `sharedExpert` picks the form that needs no
/// operand besides the scales.
static QuantAttr getQuant(MLIRContext *context, Dtype dtype,
                          bool sharedExpert) {
  const DtypeInfo &info = getDtypeInfo(dtype);
  Type i4 = IntegerType::get(context, 4), i8 = IntegerType::get(context, 8);
  Type fp8 = Float8E4M3FNType::get(context);
  Type fp4 = Float4E2M1FNType::get(context);
  Type f32 = Float32Type::get(context), bf16 = BFloat16Type::get(context);
  Type e8m0 = Float8E8M0FNUType::get(context);
  auto whole = [](int64_t granule) {
    return granule ? granule : QuantAttr::kWhole;
  };
  auto quant = [&](Type elem, Type scale, Packing packing = Packing::Plain,
                   ZeroPoint zero = ZeroPoint::None, int64_t zeroValue = 0) {
    return QuantAttr::get(context, elem, whole(info.granuleRows),
                          whole(info.granuleCols), scale, zero, zeroValue,
                          packing, ScaleLayout::RowMajor);
  };
  switch (dtype) {
  case Dtype::F32:
  case Dtype::BF16:
  case Dtype::F16:
    return {};
  case Dtype::Fp8Block:
  case Dtype::Fp8Token:
  case Dtype::Fp8Tensor:
    return quant(fp8, f32);
  case Dtype::W4A16G128Zp:
    if (!sharedExpert)
      return quant(i4, bf16, Packing::LowEven, ZeroPoint::Operand);
    [[fallthrough]];
  case Dtype::W4A16G128:
  case Dtype::W4A16G64:
  case Dtype::W4A16G32:
    return quant(i4, bf16, Packing::LowEven, ZeroPoint::Constant, 8);
  case Dtype::W4A16G128Exllama:
    return quant(i4, bf16, Packing::Exllama, ZeroPoint::Constant, 8);
  case Dtype::MxFp4:
    return quant(fp4, e8m0, Packing::Mx);
  case Dtype::MxFp8:
    return quant(fp8, e8m0);
  case Dtype::NvFp4:
    return sharedExpert ? QuantAttr() : quant(fp4, fp8, Packing::Mx);
  case Dtype::W8A8:
    return quant(i8, f32);
  case Dtype::W8A16:
    return quant(i8, bf16);
  }
  llvm_unreachable("covered switch");
}

QuantAttr moe::getWeightQuant(MLIRContext *context, Dtype dtype) {
  return getQuant(context, dtype, /*sharedExpert=*/false);
}

QuantAttr moe::getSharedQuant(MLIRContext *context, Dtype dtype) {
  return getQuant(context, dtype, /*sharedExpert=*/true);
}

QuantAttr moe::getActivationQuant(MLIRContext *context, Dtype dtype) {
  Type fp8 = Float8E4M3FNType::get(context), f32 = Float32Type::get(context);
  switch (dtype) {
  case Dtype::Fp8Block:
    return QuantAttr::get(fp8, 1, 128, f32);
  case Dtype::Fp8Token:
  case Dtype::Fp8Tensor:
    return QuantAttr::get(fp8, 1, QuantAttr::kWhole, f32);
  case Dtype::MxFp8:
    return QuantAttr::get(fp8, 1, 32, Float8E8M0FNUType::get(context));
  case Dtype::W8A8:
    return QuantAttr::get(IntegerType::get(context, 8), 1, QuantAttr::kWhole,
                          f32);
  default:
    return {};
  }
}

bool moe::hasGlobalScale(Dtype dtype) { return dtype == Dtype::NvFp4; }

std::optional<Dtype> moe::findDtype(QuantAttr weight, QuantAttr activation,
                                    Type hidden, bool factors) {
  MLIRContext *context = hidden.getContext();
  for (const DtypeInfo &info : allDtypes())
    if (getWeightQuant(context, info.dtype) == weight &&
        getActivationQuant(context, info.dtype) == activation &&
        getHiddenType(context, info.dtype) == hidden &&
        hasGlobalScale(info.dtype) == factors)
      return info.dtype;
  return std::nullopt;
}
