//===- InitAll.cpp - Register everything of moec --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/InitAll.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"
#include "moec/Dialect/MoeTile/IR/MoeTile.h"
#include "moec/Dialect/MoeTile/Transforms/Passes.h"

#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/Arith/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/Transforms/FuncBufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/Dialect/SCF/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/X86Vector/X86VectorDialect.h"
#include "mlir/InitAllPasses.h"
#include "moec/Conversion/Passes.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Dialect/Moe/Transforms/Passes.h"
#include "moec/Pipelines/LowerToLLVM.h"
#include "moec/Pipelines/MoeToCpu.h"
#include "moec/Pipelines/MoeToNVVM.h"
#include "moec/Pipelines/MoeToROCDL.h"
#include "moec/Pipelines/NvvmToLLVM.h"
#include "moec/Pipelines/RocdlToLLVM.h"
#include "moec/Pipelines/TileToExplicit.h"
#include "moec/Reference/Moe/Passes.h"

using namespace mlir;

void moe::registerAllDialects(DialectRegistry &registry) {
  registry.insert<amdgpu::AMDGPUDialect, arith::ArithDialect,
                  bufferization::BufferizationDialect, func::FuncDialect,
                  gpu::GPUDialect, LLVM::LLVMDialect, NVVM::NVVMDialect,
                  ROCDL::ROCDLDialect, linalg::LinalgDialect, math::MathDialect,
                  memref::MemRefDialect, scf::SCFDialect, tensor::TensorDialect,
                  ub::UBDialect, vector::VectorDialect,
                  x86vector::X86VectorDialect>();
  registry.insert<MoeDialect, tile::MoeTileDialect, nv::MoeNvDialect>();
  registerMoeInterfaceModels(registry);
  registerMoeTilingModels(registry);
  // Upstream ops around ours bufferise too.
  arith::registerBufferizableOpInterfaceExternalModels(registry);
  bufferization::func_ext::registerBufferizableOpInterfaceExternalModels(
      registry);
  scf::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerBufferizableOpInterfaceExternalModels(registry);
}

void moe::registerAllPasses() {
  registerMoecConversionPasses();
  mlir::registerAllPasses();
  registerMoeTransformsPasses();
  registerLowerToLLVM();
  registerMoeToCpu();
  registerMoeToNVVM();
  registerMoeToROCDL();
  registerTileToExplicit();
  registerNvvmToLLVM();
  registerRocdlToLLVM();
  registerMoeReferencePasses();
  tile::registerMoeTileTransformsPasses();
}
