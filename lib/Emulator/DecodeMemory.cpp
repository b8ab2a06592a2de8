//===- DecodeMemory.cpp - Loads, stores and addresses ---------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Decoder.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::emu;

uint64_t Decoder::alignOf(Type type) {
  if (auto s = dyn_cast<LLVM::LLVMStructType>(type)) {
    uint64_t align = 1;
    if (!s.isPacked())
      for (Type field : s.getBody())
        align = std::max(align, alignOf(field));
    return align;
  }
  if (auto a = dyn_cast<LLVM::LLVMArrayType>(type))
    return alignOf(a.getElementType());
  return llvm::PowerOf2Ceil(std::max<uint64_t>(1, sizeOf(type).value_or(1)));
}

std::optional<uint64_t> Decoder::sizeOf(Type type) {
  if (auto s = dyn_cast<LLVM::LLVMStructType>(type)) {
    uint64_t size = 0;
    for (Type field : s.getBody()) {
      auto bytes = sizeOf(field);
      if (!bytes)
        return std::nullopt;
      if (!s.isPacked())
        size = llvm::alignTo(size, alignOf(field));
      size += *bytes;
    }
    return s.isPacked() ? size : llvm::alignTo(size, alignOf(type));
  }
  if (auto a = dyn_cast<LLVM::LLVMArrayType>(type)) {
    auto bytes = sizeOf(a.getElementType());
    if (!bytes)
      return std::nullopt;
    return *bytes * a.getNumElements();
  }
  auto elements = flatten(type);
  if (!elements || elements->empty())
    return std::nullopt;
  return uint64_t((*elements)[0].bytes()) * elements->size();
}

uint32_t Decoder::memFlags(Type pointer, Scalar element, uint64_t align,
                           LLVM::AtomicOrdering ordering,
                           std::optional<StringRef> scope) {
  uint32_t flags = spaceOf(pointer);
  if (element.wide())
    flags |= memWide;
  switch (ordering) {
  case LLVM::AtomicOrdering::not_atomic:
    break;
  case LLVM::AtomicOrdering::unordered:
  case LLVM::AtomicOrdering::monotonic:
    flags |= memAtomic;
    break;
  case LLVM::AtomicOrdering::acquire:
    flags |= memAtomic | memAcquire;
    break;
  case LLVM::AtomicOrdering::release:
    flags |= memAtomic | memRelease;
    break;
  default:
    flags |= memAtomic | memAcquire | memRelease;
  }
  if (program.amd && scope) {
    scope->consume_back("-one-as");
    if (*scope == "workgroup" || *scope == "wavefront" ||
        *scope == "singlethread")
      flags |= memNarrow;
  }
  return flags | uint32_t(align) << memAlignShift;
}

LogicalResult Decoder::decodeMemory(Operation *op, bool &known) {
  auto pack = [](Scalar s) { return uint64_t(s.cls) << 8 | s.bits; };
  if (auto load = dyn_cast<LLVM::LoadOp>(op)) {
    SmallVector<Scalar> elements = elementsOf(op, load.getType());
    if (elements.empty() || allocateFor(op, load.getResult()) == noReg)
      return failure();
    if (isa<LLVM::LLVMStructType>(load.getType()))
      return op->emitOpError("has no emulation for structs");
    if (elements[0].bits == 4)
      return op->emitOpError("has no emulation for type ") << load.getType();
    Instr &i = emit(op, execLoad);
    i.dst = reg(load.getResult());
    i.a = reg(load.getAddr());
    i.count = elements.size();
    i.imm = elements[0].bytes();
    i.flags = memFlags(load.getAddr().getType(), elements[0],
                       load.getAlignment().value_or(alignOf(load.getType())),
                       load.getOrdering(), load.getSyncscope());
    return success();
  }
  if (auto store = dyn_cast<LLVM::StoreOp>(op)) {
    Type type = store.getValue().getType();
    SmallVector<Scalar> elements = elementsOf(op, type);
    if (elements.empty())
      return failure();
    if (isa<LLVM::LLVMStructType>(type))
      return op->emitOpError("has no emulation for structs");
    if (elements[0].bits == 4)
      return op->emitOpError("has no emulation for type ") << type;
    Instr &i = emit(op, execStore);
    i.a = reg(store.getValue());
    i.b = reg(store.getAddr());
    i.count = elements.size();
    i.imm = elements[0].bytes();
    i.flags = memFlags(store.getAddr().getType(), elements[0],
                       store.getAlignment().value_or(alignOf(type)),
                       store.getOrdering(), store.getSyncscope());
    return success();
  }
  if (auto rmw = dyn_cast<LLVM::AtomicRMWOp>(op)) {
    static const llvm::StringMap<RmwOp> ops = {
        {"xchg", RmwOp::Xchg},     {"add", RmwOp::Add},
        {"sub", RmwOp::Sub},       {"_and", RmwOp::And},
        {"nand", RmwOp::Nand},     {"_or", RmwOp::Or},
        {"_xor", RmwOp::Xor},      {"max", RmwOp::Max},
        {"min", RmwOp::Min},       {"umax", RmwOp::UMax},
        {"umin", RmwOp::UMin},     {"fadd", RmwOp::FAdd},
        {"fmax", RmwOp::FMax},     {"fmin", RmwOp::FMin},
        {"uinc_wrap", RmwOp::Inc}, {"udec_wrap", RmwOp::Dec}};
    auto it = ops.find(stringifyEnum(rmw.getBinOp()));
    SmallVector<Scalar> elements = elementsOf(op, rmw.getVal().getType());
    if (elements.empty() || allocateFor(op, rmw.getResult()) == noReg)
      return failure();
    if (it == ops.end() || elements.size() != 1)
      return op->emitOpError("has no emulation for this operation or type");
    Instr &i = emit(op, execAtomicRmw);
    i.dst = reg(rmw.getResult());
    i.a = reg(rmw.getPtr());
    i.b = reg(rmw.getVal());
    i.flags = memFlags(rmw.getPtr().getType(), elements[0], 0,
                       rmw.getOrdering(), rmw.getSyncscope());
    i.imm = uint64_t(it->second) | pack(elements[0]) << 8;
    return success();
  }
  if (auto cas = dyn_cast<LLVM::AtomicCmpXchgOp>(op)) {
    SmallVector<Scalar> elements = elementsOf(op, cas.getVal().getType());
    if (elements.empty() || allocateFor(op, cas.getResult()) == noReg)
      return failure();
    Instr &i = emit(op, execCmpXchg);
    i.dst = reg(cas.getResult());
    i.a = reg(cas.getPtr());
    i.b = reg(cas.getCmp());
    i.c = reg(cas.getVal());
    i.flags = memFlags(cas.getPtr().getType(), elements[0], 0,
                       cas.getSuccessOrdering(), cas.getSyncscope());
    i.imm = pack(elements[0]);
    return success();
  }
  if (isa<LLVM::FenceOp>(op)) {
    emit(op, execFence);
    return success();
  }
  if (auto set = dyn_cast<LLVM::MemsetOp>(op)) {
    if (!set.getLen().getType().isInteger(64))
      return op->emitOpError("has no emulation for lengths of 32 bits");
    Instr &i = emit(op, execMemset);
    i.a = reg(set.getDst());
    i.b = reg(set.getVal());
    i.c = reg(set.getLen());
    i.flags = spaceOf(set.getDst().getType());
    return success();
  }
  if (auto address = dyn_cast<LLVM::AddressOfOp>(op)) {
    auto it = symbols.find(address.getGlobalName());
    if (it == symbols.end())
      return op->emitOpError("names a symbol without an emulation: ")
             << address.getGlobalName();
    alias(address.getResult(), constant(true, it->second));
    return success();
  }
  if (auto cast = dyn_cast<LLVM::AddrSpaceCastOp>(op)) {
    unsigned from = spaceOf(cast.getArg().getType());
    unsigned to = spaceOf(cast.getType());
    uint64_t tag = 0;
    bool toGeneric = to == 0;
    unsigned specific = toGeneric ? from : to;
    if (specific == 3 || (specific == 7 && !program.amd))
      tag = sharedTag << 48;
    else if (specific == 5)
      tag = localTag << 48;
    // Only the step from or to generic changes the number.
    if (!tag || (from != 0 && to != 0)) {
      alias(cast.getResult(), reg(cast.getArg()));
      return success();
    }
    allocateFor(op, cast.getResult());
    Scalar s{Scalar::Int, 64};
    Instr &i = emit(op, findElementwise("xor", s, s));
    i.dst = reg(cast.getResult());
    i.a = reg(cast.getArg());
    i.b = constant(true, tag);
    return success();
  }
  if (auto local = dyn_cast<LLVM::AllocaOp>(op)) {
    APInt count;
    auto bytes = sizeOf(local.getElemType());
    if (!bytes || !matchPattern(local.getArraySize(), m_ConstantInt(&count)))
      return op->emitOpError("has no emulation for a dynamic size");
    uint64_t align = std::max<uint64_t>(local.getAlignment().value_or(0),
                                        alignOf(local.getElemType()));
    kernel.localBytes = llvm::alignTo(kernel.localBytes, align);
    uint64_t address = kernel.localBytes;
    if (spaceOf(local.getType()) == 0)
      address |= localTag << 48;
    kernel.localBytes += *bytes * count.getZExtValue();
    alias(local.getResult(), constant(true, address));
    return success();
  }
  if (auto gep = dyn_cast<LLVM::GEPOp>(op)) {
    // Of a buffer pointer the last part.
    bool isBuffer = program.amd && spaceOf(gep.getBase().getType()) == 7;
    uint32_t part = isBuffer ? 3 * 8 * program.lanes : 0;
    if (!isBuffer && allocateFor(op, gep.getResult()) == noReg)
      return failure();
    uint64_t fixed = 0;
    SmallVector<uint32_t> words;
    Type type = gep.getElemType();
    bool first = true;
    for (auto index : gep.getIndices()) {
      std::optional<int64_t> constantValue;
      if (auto attr = dyn_cast<IntegerAttr>(index))
        constantValue = attr.getInt();
      uint64_t size = 0;
      if (!first) {
        if (auto s = dyn_cast<LLVM::LLVMStructType>(type)) {
          for (int64_t f = 0; f < *constantValue; ++f) {
            if (!s.isPacked())
              fixed = llvm::alignTo(fixed, alignOf(s.getBody()[f]));
            fixed += sizeOf(s.getBody()[f]).value_or(0);
          }
          type = s.getBody()[*constantValue];
          if (!s.isPacked())
            fixed = llvm::alignTo(fixed, alignOf(type));
          continue;
        }
        if (auto a = dyn_cast<LLVM::LLVMArrayType>(type))
          type = a.getElementType();
        else if (auto v = dyn_cast<VectorType>(type))
          type = v.getElementType();
        else
          return op->emitOpError("has no emulation for an index into ") << type;
      }
      first = false;
      auto bytes = sizeOf(type);
      if (!bytes)
        return op->emitOpError("has no emulation for type ") << type;
      size = *bytes;
      if (isa<LLVM::LLVMStructType>(type))
        size = llvm::alignTo(size, alignOf(type));
      if (constantValue) {
        fixed += *constantValue * int64_t(size);
        continue;
      }
      Value v = cast<Value>(index);
      words.append({reg(v), (*flatten(v.getType()))[0].bits, uint32_t(size)});
    }
    uint32_t extra = addExtra(words);
    Instr &i = emit(op, execGep);
    i.dst = reg(gep.getResult()) + part;
    i.a = reg(gep.getBase()) + part;
    i.imm = fixed;
    i.count = words.size() / 3;
    i.extra = extra;
    return success();
  }
  known = false;
  return success();
}
