//===- MoeNv.cpp - Operations of moe_nv -----------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/MoeNv/IR/MoeNv.h"

using namespace mlir;
using namespace mlir::moe::nv;

#include "moec/Dialect/MoeNv/IR/MoeNvDialect.cpp.inc"

void MoeNvDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "moec/Dialect/MoeNv/IR/MoeNvOps.cpp.inc"
      >();
}

// Results are the operands after the wait, so one type list says both.
static ParseResult parseTiedTypes(OpAsmParser &parser,
                                  SmallVectorImpl<Type> &operands,
                                  SmallVectorImpl<Type> &results) {
  if (parser.parseTypeList(operands))
    return failure();
  results.assign(operands.begin(), operands.end());
  return success();
}
static void printTiedTypes(OpAsmPrinter &printer, Operation *,
                           TypeRange operands, TypeRange) {
  llvm::interleaveComma(operands, printer);
}

static ParseResult parseSameType(OpAsmParser &parser, Type &operand,
                                 Type &result) {
  if (parser.parseType(operand))
    return failure();
  result = operand;
  return success();
}
static void printSameType(OpAsmPrinter &printer, Operation *, Type operand,
                          Type) {
  printer << operand;
}

LogicalResult WgmmaRegistersOp::verify() {
  // wgmma_registers_c1
  auto type = cast<LLVM::LLVMStructType>(getAccumulator().getType());
  if (type.isOpaque() || type.getBody().empty() ||
      !llvm::all_equal(type.getBody()) || !type.getBody().front().isF32() ||
      type.getBody().size() % 4 != 0 || type.getBody().size() > 128)
    return emitOpError("wgmma_registers_c1: takes accumulators of 4, 8, ..., "
                       "128 f32 fields, got ")
           << type;
  if (getResult().getType() != type)
    return emitOpError("wgmma_registers_c1: result of type ")
           << getResult().getType() << ", accumulators " << type;
  // wgmma_registers_c2
  size_t count = getA().size();
  if (count == 0 || count % 4 != 0 || count > 16)
    return emitOpError("wgmma_registers_c2: takes 4, 8, 12 or 16 registers of "
                       "a, got ")
           << count;
  if (!getElt().isBF16() && !getElt().isF16())
    return emitOpError("wgmma_registers_c2: multiplies bf16 or f16, got ")
           << getElt();
  return success();
}

LogicalResult MmaF8Op::verify() {
  // mma_f8_c1
  auto type = cast<LLVM::LLVMStructType>(getResult().getType());
  if (getA().size() != 4 || getB().size() != 2 || getC().size() != 4 ||
      type.isOpaque() || type.getBody().size() != 4 ||
      !llvm::all_of(type.getBody(), [](Type t) { return t.isF32(); }))
    return emitOpError("mma_f8_c1: takes 4 registers of a, 2 of b and 4 "
                       "accumulators, gives 4 f32 fields; got ")
           << getA().size() << ", " << getB().size() << ", " << getC().size()
           << " and " << type;
  // mma_f8_c2
  for (Type element : {getAType(), getBType()})
    if (!isa<Float8E4M3FNType, Float8E5M2Type>(element))
      return emitOpError("mma_f8_c2: multiplies f8E4M3FN and f8E5M2, got ")
             << element;
  return success();
}

LogicalResult WgmmaWaitOp::verify() {
  for (Value accumulator : getAccumulators()) {
    auto type = cast<LLVM::LLVMStructType>(accumulator.getType());
    // wgmma_wait_c1
    if (type.isOpaque() || type.getBody().empty() ||
        !llvm::all_equal(type.getBody()) ||
        !(type.getBody().front().isF32() ||
          type.getBody().front().isInteger(32)))
      return emitOpError("takes accumulators that are structs of f32 or i32 "
                         "fields, got ")
             << type;
  }
  // wgmma_wait_c2
  if (getResultTypes() != getAccumulators().getTypes())
    return emitOpError("has results of other types than its accumulators");
  // wgmma_wait_c3
  if (getPending() > 7)
    return emitOpError("expects pending in [0, 7], got ")
           << static_cast<int32_t>(getPending());
  return success();
}

LogicalResult BulkReduceAddOp::verify() {
  // bulk_reduce_add_c1
  if (!getElt().isF32() && !getElt().isBF16() && !getElt().isF16())
    return emitOpError("adds f32, bf16 or f16, got ") << getElt();
  return success();
}

#define GET_OP_CLASSES
#include "moec/Dialect/MoeNv/IR/MoeNvOps.cpp.inc"
