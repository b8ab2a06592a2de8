//===- KernelBuilder.cpp - One probe kernel under construction ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

#include "moec/Target/AmdKernel.h"

#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::calibration;

Type KernelBuilder::pointer(MLIRContext *context, unsigned space) {
  return LLVM::LLVMPointerType::get(context, space);
}

KernelBuilder::KernelBuilder(ModuleOp module, const ProbeTarget &target,
                             StringRef name, ArrayRef<Type> parameters,
                             int64_t threads, bool atMost)
    : ArithBuilder(OpBuilder(module.getBodyRegion()),
                   NameLoc::get(StringAttr::get(module.getContext(), name))),
      target(target) {
  b.setInsertionPointToEnd(module.getBody());
  auto type = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), parameters);
  func = LLVM::LLVMFuncOp::create(b, loc, name, type);
  if (target.amd) {
    markAmdKernel(func, target.name, target.wave, threads);
  } else {
    func->setAttr("nvvm.kernel", b.getUnitAttr());
    func->setAttr(atMost ? "nvvm.maxntid" : "nvvm.reqntid",
                  b.getDenseI32ArrayAttr({static_cast<int32_t>(threads)}));
  }
  b.setInsertionPointToStart(func.addEntryBlock(b));
}

void KernelBuilder::fit(int64_t blocks) {
  if (!target.amd)
    func->setAttr("nvvm.minctasm", b.getI32IntegerAttr(blocks));
}

KernelBuilder::~KernelBuilder() {
  LLVM::ReturnOp::create(b, loc, ValueRange());
}

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

Value KernelBuilder::extend(Value x) {
  return arith::ExtUIOp::create(b, loc, i64(), x);
}
Value KernelBuilder::low(Value x) {
  return arith::TruncIOp::create(b, loc, i32(), x);
}

Value KernelBuilder::mix(Value x) {
  x = mul(bitXor(x, shr(x, c32(16))), c32(0x7feb352d));
  x = mul(bitXor(x, shr(x, c32(15))), c32(0x846ca68b));
  return bitXor(x, shr(x, c32(16)));
}

SmallVector<Value> KernelBuilder::noise(Value number) {
  Value word = mix(number);
  return {word, bitXor(word, c32(0x9e3779b9)), bitXor(word, c32(0x3c6ef372)),
          bitXor(word, c32(0x5bd1e995))};
}

Value KernelBuilder::pack(ArrayRef<Value> words) {
  Value vector = LLVM::UndefOp::create(
      b, loc, VectorType::get({static_cast<int64_t>(words.size())}, i32()));
  for (auto [i, word] : llvm::enumerate(words))
    vector = LLVM::InsertElementOp::create(b, loc, vector, word, c32(i));
  return vector;
}

Value KernelBuilder::fold(Value vector) {
  Value sum;
  for (int64_t i = 0; i < cast<VectorType>(vector.getType()).getNumElements();
       ++i) {
    Value word = LLVM::ExtractElementOp::create(b, loc, vector, c32(i));
    sum = sum ? bitXor(sum, word) : word;
  }
  return sum;
}

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

Value KernelBuilder::thread() {
  if (target.amd)
    return ROCDL::ThreadIdXOp::create(b, loc, i32());
  return NVVM::ThreadIdXOp::create(b, loc, i32());
}
Value KernelBuilder::block() {
  if (target.amd)
    return ROCDL::BlockIdXOp::create(b, loc, i32());
  return NVVM::BlockIdXOp::create(b, loc, i32());
}
Value KernelBuilder::global() {
  Value size;
  if (auto fixed = func->getAttrOfType<DenseI32ArrayAttr>(
          target.amd ? "rocdl.reqd_work_group_size" : "nvvm.reqntid"))
    size = c32(fixed[0]);
  else
    size = NVVM::BlockDimXOp::create(b, loc, i32());
  return add(mul(extend(block()), extend(size)), extend(thread()));
}
void KernelBuilder::barrier() {
  if (target.amd)
    amdgpu::LDSBarrierOp::create(b, loc);
  else
    NVVM::BarrierOp::create(b, loc);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value KernelBuilder::at(Value pointer, Value bytes) {
  return LLVM::GEPOp::create(b, loc, pointer.getType(), b.getI8Type(), pointer,
                             ArrayRef<LLVM::GEPArg>{bytes});
}
Value KernelBuilder::pieceAt(Value pointer, Value number) {
  return at(pointer, shl(number, c64(4)));
}
Value KernelBuilder::stream(Value pointer) {
  Type type = VectorType::get({4}, i32());
  if (target.amd)
    return LLVM::LoadOp::create(b, loc, type, pointer, /*alignment=*/16,
                                /*isVolatile=*/false, /*isNonTemporal=*/true);
  return nv::LoadNcOp::create(b, loc, type, pointer, b.getUnitAttr());
}
Value KernelBuilder::load(Type type, Value pointer, int64_t alignment) {
  return LLVM::LoadOp::create(b, loc, type, pointer, alignment);
}
void KernelBuilder::store(Value value, Value pointer, int64_t alignment) {
  LLVM::StoreOp::create(b, loc, value, pointer, alignment);
}

Value KernelBuilder::shared(int64_t bytes) {
  auto module = func->getParentOfType<ModuleOp>();
  OpBuilder::InsertionGuard guard(b);
  std::string name =
      target.amd ? ("lds_" + func.getSymName()).str() : "dyn_smem";
  auto global = module.lookupSymbol<LLVM::GlobalOp>(name);
  if (!global) {
    b.setInsertionPointToStart(module.getBody());
    global = LLVM::GlobalOp::create(
        b, loc, LLVM::LLVMArrayType::get(b.getI8Type(), target.amd ? bytes : 0),
        /*isConstant=*/false,
        target.amd ? LLVM::Linkage::Internal : LLVM::Linkage::External, name,
        Attribute(), /*alignment=*/target.amd ? 16 : 1024, /*addrSpace=*/3);
  }
  b.setInsertionPointToEnd(&func.getBody().front());
  return LLVM::AddressOfOp::create(b, loc, global);
}

//===----------------------------------------------------------------------===//
// Control
//===----------------------------------------------------------------------===//

SmallVector<Value> KernelBuilder::loop(Value from, Value to, Value step,
                                       ValueRange start, Body body) {
  auto op = scf::ForOp::create(b, loc, from, to, step, start);
  OpBuilder::InsertionGuard guard(b);
  Block *block = op.getBody();
  if (!block->empty() && isa<scf::YieldOp>(block->back()))
    block->back().erase();
  b.setInsertionPointToEnd(block);
  SmallVector<Value> next =
      body(op.getInductionVar(), ValueRange(op.getRegionIterArgs()));
  scf::YieldOp::create(b, loc, next);
  return SmallVector<Value>(op.getResults());
}

void KernelBuilder::when(Value condition, function_ref<void()> body) {
  auto op = scf::IfOp::create(b, loc, condition, /*else=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(op.thenBlock());
  body();
}

SmallVector<Value> KernelBuilder::pieces(
    Value count, Value threads, int64_t unroll, ValueRange start,
    function_ref<SmallVector<Value>(ArrayRef<Value>, ValueRange)> body) {
  Value first = global();
  // Whole rounds: the last piece of the last round is below the count.
  Value last = sub(count, mul(threads, c64(unroll - 1)));
  Value step = mul(threads, c64(unroll));
  Value left = arith::MaxSIOp::create(b, loc, sub(last, first), c64(0));
  Value rounds = arith::CeilDivUIOp::create(b, loc, left, step);
  Value rest = add(first, mul(rounds, step));
  SmallVector<Value> carried =
      loop(first, rest, step, start, [&](Value i, ValueRange values) {
        SmallVector<Value> numbers;
        for (int64_t j = 0; j < unroll; ++j) {
          numbers.push_back(i);
          i = add(i, threads);
        }
        return body(numbers, values);
      });
  return loop(rest, count, threads, carried,
              [&](Value i, ValueRange values) { return body(i, values); });
}
