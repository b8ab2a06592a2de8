//===- Decoder.cpp - Values and control flow ------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Decoder.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::emu;

unsigned emu::spaceOf(Type pointer) {
  return cast<LLVM::LLVMPointerType>(pointer).getAddressSpace();
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

std::optional<SmallVector<Scalar>> Decoder::flatten(Type type) {
  auto one = [](Scalar::Class cls, unsigned bits) {
    return SmallVector<Scalar>{{cls, uint8_t(bits)}};
  };
  auto many = [&](Type element,
                  uint64_t count) -> std::optional<SmallVector<Scalar>> {
    auto elements = flatten(element);
    if (!elements || count > 4096)
      return std::nullopt;
    SmallVector<Scalar> all;
    for (uint64_t i = 0; i < count; ++i)
      all.append(*elements);
    return all;
  };
  // A resource is three words, a buffer pointer has an offset behind it.
  if (auto pointer = dyn_cast<LLVM::LLVMPointerType>(type);
      pointer && program.amd &&
      (pointer.getAddressSpace() == 7 || pointer.getAddressSpace() == 8))
    return SmallVector<Scalar>(pointer.getAddressSpace() == 7 ? 4 : 3,
                               {Scalar::Int, 64});
  if (type.isIndex() || isa<LLVM::LLVMPointerType>(type))
    return one(Scalar::Int, 64);
  if (auto i = dyn_cast<IntegerType>(type)) {
    if (llvm::is_contained({1u, 4u, 8u, 16u, 32u, 64u}, i.getWidth()))
      return one(Scalar::Int, i.getWidth());
    return std::nullopt;
  }
  if (type.isF32())
    return one(Scalar::F32, 32);
  if (type.isF64())
    return one(Scalar::F64, 64);
  if (type.isBF16())
    return one(Scalar::BF16, 16);
  if (type.isF16())
    return one(Scalar::F16, 16);
  if (isa<Float8E4M3FNType>(type))
    return one(Scalar::F8E4M3, 8);
  if (isa<Float8E5M2Type>(type))
    return one(Scalar::F8E5M2, 8);
  if (isa<Float8E4M3FNUZType>(type))
    return one(Scalar::F8E4M3Z, 8);
  if (isa<Float8E5M2FNUZType>(type))
    return one(Scalar::F8E5M2Z, 8);
  if (isa<Float8E8M0FNUType>(type))
    return one(Scalar::F8E8M0, 8);
  if (isa<Float4E2M1FNType>(type))
    return one(Scalar::F4E2M1, 4);
  if (auto v = dyn_cast<VectorType>(type)) {
    if (v.isScalable())
      return std::nullopt;
    return many(v.getElementType(), v.getNumElements());
  }
  if (auto a = dyn_cast<LLVM::LLVMArrayType>(type))
    return many(a.getElementType(), a.getNumElements());
  if (auto s = dyn_cast<LLVM::LLVMStructType>(type)) {
    SmallVector<Scalar> all;
    for (Type field : s.getBody()) {
      auto elements = flatten(field);
      if (!elements)
        return std::nullopt;
      all.append(*elements);
    }
    return all;
  }
  return std::nullopt;
}

SmallVector<Scalar> Decoder::elementsOf(Operation *op, Type type) {
  if (auto elements = flatten(type))
    return *elements;
  op->emitOpError() << "has no emulation for type " << type;
  return {};
}

static uint32_t bytesOfElements(ArrayRef<Scalar> elements, unsigned lanes) {
  uint32_t bytes = 0;
  for (Scalar s : elements)
    bytes += s.regBytes(lanes);
  return bytes;
}

Reg Decoder::allocate(ArrayRef<Scalar> elements) {
  Reg at = kernel.regBytes;
  kernel.regBytes += bytesOfElements(elements, program.lanes);
  return at;
}

Reg Decoder::allocateFor(Operation *op, Value value) {
  SmallVector<Scalar> elements = elementsOf(op, value.getType());
  if (elements.empty() && !isa<LLVM::LLVMStructType>(value.getType()))
    return noReg;
  return regs[value] = allocate(elements);
}

void Decoder::alias(Value result, Reg at) {
  regs[result] = at;
  shared.insert(at);
}

bool Decoder::mayReuse(Operation *op, Value operand) const {
  return operand.hasOneUse() && operand.getParentBlock() == op->getBlock() &&
         !shared.contains(reg(operand)) &&
         !(operand.getDefiningOp() &&
           isa<LLVM::ConstantOp, LLVM::ZeroOp>(operand.getDefiningOp()));
}

void Decoder::setConstant(Reg at, Scalar scalar, uint64_t value) {
  kernel.constants.push_back({at, scalar.wide(), value});
}

Reg Decoder::constant(bool wide, uint64_t value) {
  auto [it, isNew] = constantRegs.try_emplace({wide, value}, 0);
  if (isNew) {
    Scalar s{Scalar::Int, uint8_t(wide ? 64 : 32)};
    it->second = allocate(s);
    setConstant(it->second, s, value);
  }
  shared.insert(it->second);
  return it->second;
}

static constexpr char unknownPlace[] = "unknown place";

static std::string locationText(Location loc) {
  if (auto fused = dyn_cast<FusedLoc>(loc))
    if (!fused.getLocations().empty())
      return locationText(fused.getLocations().front());
  if (auto named = dyn_cast<NameLoc>(loc)) {
    std::string child = isa<UnknownLoc>(named.getChildLoc())
                            ? std::string()
                            : locationText(named.getChildLoc()) + " ";
    return child + "\"" + named.getName().str() + "\"";
  }
  if (auto call = dyn_cast<CallSiteLoc>(loc))
    return locationText(call.getCallee());
  if (auto file = dyn_cast<FileLineColLoc>(loc)) {
    StringRef name = file.getFilename().getValue();
    name = name.substr(name.rfind('/') + 1);
    return (name + ":" + Twine(file.getLine()) + ":" + Twine(file.getColumn()))
        .str();
  }
  return unknownPlace;
}

uint32_t Decoder::placeOf(Operation *op) {
  auto [it, isNew] = places.try_emplace(op, program.places.size());
  if (isNew) {
    std::string where = locationText(op->getLoc());
    // Several operations of one place, or of none: their number helps.
    if (!usedPlaces.insert(where).second || where == unknownPlace)
      where += ", operation " + std::to_string(places.size());
    program.places.push_back({where, op->getName().getStringRef().str()});
  }
  return it->second;
}

Instr &Decoder::emit(Operation *op, Fn fn) {
  kernel.code.emplace_back();
  Instr &i = kernel.code.back();
  i.fn = fn;
  i.place = placeOf(op);
  return i;
}

uint32_t Decoder::addExtra(ArrayRef<uint32_t> words) {
  uint32_t at = kernel.extra.size();
  kernel.extra.insert(kernel.extra.end(), words.begin(), words.end());
  return at;
}

void Decoder::addMoves(SmallVectorImpl<Move> &moves, Reg dst, Reg src,
                       Type type) {
  if (dst == src)
    return;
  SmallVector<Scalar> elements = *flatten(type);
  bool first = isa<LLVM::LLVMStructType>(type);
  for (size_t i = 0; i < elements.size();) {
    size_t end = i;
    uint32_t bytes = 0;
    for (; end < elements.size() && elements[end].wide() == elements[i].wide();
         ++end)
      bytes += elements[end].regBytes(program.lanes);
    moves.push_back({dst, src, bytes, elements[i].wide(), first});
    first = false;
    dst += bytes;
    src += bytes;
    i = end;
  }
}

void Decoder::emitMoves(Operation *op, SmallVector<Move> moves) {
  if (moves.empty())
    return;
  auto overlap = [](uint32_t a, uint32_t aBytes, uint32_t b, uint32_t bBytes) {
    return a < b + bBytes && b < a + aBytes;
  };
  bool conflict = false;
  for (size_t a = 0; a < moves.size(); ++a)
    for (size_t b = 0; b < moves.size(); ++b)
      conflict |= a != b && overlap(moves[a].dst, moves[a].bytes, moves[b].src,
                                    moves[b].bytes);
  auto emitOne = [&](ArrayRef<Move> list) {
    SmallVector<uint32_t> words;
    for (const Move &m : list)
      words.append({m.dst, m.src, m.bytes, m.wide | unsigned(m.isStruct) << 1});
    uint32_t extra = addExtra(words);
    Instr &i = emit(op, execCopy);
    i.extra = extra;
    i.count = list.size();
  };
  if (conflict) {
    // All values first leave their places, then take the new ones.
    SmallVector<Move> out, in;
    for (const Move &m : moves) {
      Reg temporary = kernel.regBytes;
      kernel.regBytes += m.bytes;
      out.push_back({temporary, m.src, m.bytes, m.wide, m.isStruct});
      in.push_back({m.dst, temporary, m.bytes, m.wide, m.isStruct});
    }
    emitOne(out);
    moves = in;
  }
  emitOne(moves);
}

void Decoder::emitMoves(Operation *op, ValueRange from, ArrayRef<Reg> to) {
  SmallVector<Move> moves;
  for (auto [value, dst] : llvm::zip(from, to))
    addMoves(moves, dst, reg(value), value.getType());
  emitMoves(op, moves);
}

//===----------------------------------------------------------------------===//
// Functions and blocks
//===----------------------------------------------------------------------===//

LogicalResult Decoder::decode(LLVM::LLVMFuncOp func) {
  kernel.name = func.getName().str();
  auto triple = [&](StringRef name, uint32_t *out) {
    auto a = func->getAttrOfType<DenseI32ArrayAttr>(name);
    if (!a)
      return;
    std::fill_n(out, 3, 1);
    for (auto [i, v] : llvm::enumerate(a.asArrayRef().take_front(3)))
      out[i] = v;
  };
  if (program.amd) {
    triple("rocdl.reqd_work_group_size", kernel.required);
    // Without a word, LLVM is told of 256.
    kernel.mostThreads = 256;
    if (auto sizes =
            func->getAttrOfType<StringAttr>("rocdl.flat_work_group_size"))
      if (sizes.getValue().split(',').second.getAsInteger(10,
                                                          kernel.mostThreads))
        return func.emitOpError("has no upper bound in "
                                "rocdl.flat_work_group_size");
  } else {
    triple("nvvm.reqntid", kernel.required);
    triple("nvvm.cluster_dim", kernel.cluster);
  }
  for (BlockArgument arg : func.getArguments()) {
    SmallVector<Scalar> elements = elementsOf(func, arg.getType());
    if (elements.size() != 1)
      return func.emitOpError()
             << "parameter " << arg.getArgNumber() << " of type "
             << arg.getType() << " has no emulation";
    Parameter p;
    p.reg = regs[arg] = allocate(elements);
    p.wide = elements[0].wide();
    p.bytes = elements[0].bytes();
    p.pointer = isa<LLVM::LLVMPointerType>(arg.getType());
    if (auto type =
            func.getArgAttrOfType<TypeAttr>(arg.getArgNumber(), "llvm.byval")) {
      auto size = sizeOf(type.getValue());
      if (!size)
        return func.emitOpError("has a by-value parameter without a size");
      p.byValue = true;
      p.bytes = *size;
      if (!func.getArgAttr(arg.getArgNumber(), "nvvm.grid_constant"))
        return func.emitOpError()
               << "parameter " << arg.getArgNumber()
               << " is passed by value without nvvm.grid_constant: the device "
                  "would copy it to local memory";
    }
    kernel.parameters.push_back(p);
  }
  callStack.push_back(func);
  returns.emplace_back();
  if (failed(decodeRegion(func.getBody())))
    return failure();
  callStack.pop_back();
  returns.pop_back();
  for (auto [at, block] : jumps)
    kernel.code[at].imm = starts.lookup(block);
  return success();
}

LogicalResult Decoder::decodeRegion(Region &region) {
  // Block arguments first: branches forward copy into them.
  for (mlir::Block &block : llvm::drop_begin(region.getBlocks()))
    for (BlockArgument arg : block.getArguments())
      if (allocateFor(block.getParentOp(), arg) == noReg)
        return failure();
  for (mlir::Block &block : region) {
    starts[&block] = here();
    if (failed(decodeBlock(block)))
      return failure();
  }
  return success();
}

LogicalResult Decoder::decodeBlock(mlir::Block &block) {
  for (Operation &op : block)
    if (failed(decodeOp(op)))
      return failure();
  return success();
}

LogicalResult Decoder::decodeOp(Operation &op) {
  using Part = LogicalResult (Decoder::*)(Operation *, bool &);
  static constexpr Part nvidia[] = {
      &Decoder::decodeControl,     &Decoder::decodeArith,
      &Decoder::decodeVector,      &Decoder::decodeMemory,
      &Decoder::decodeMatrix,      &Decoder::decodeCopies,
      &Decoder::decodeConversions, &Decoder::decodeMoeNv,
      &Decoder::decodeNvvm};
  static constexpr Part amd[] = {
      &Decoder::decodeControl,   &Decoder::decodeArith, &Decoder::decodeVector,
      &Decoder::decodeAmdMatrix, &Decoder::decodeAmd,   &Decoder::decodeMemory};
  bool known = false;
  for (Part part : program.amd ? ArrayRef(amd) : ArrayRef(nvidia)) {
    known = true;
    if (failed((this->*part)(&op, known)))
      return failure();
    if (known)
      return success();
  }
  return op.emitOpError("has no emulation");
}

void Decoder::jumpTo(Operation *op, mlir::Block *target) {
  emit(op, execJump);
  jumps.push_back({here() - 1, target});
}

LogicalResult Decoder::branch(Operation *op, mlir::Block *target,
                              ValueRange operands) {
  SmallVector<Reg> to;
  for (BlockArgument arg : target->getArguments())
    to.push_back(reg(arg));
  emitMoves(op, operands, to);
  jumpTo(op, target);
  return success();
}

LogicalResult Decoder::condBranch(Operation *op, Value cond, mlir::Block *yes,
                                  ValueRange yesOperands, mlir::Block *no,
                                  ValueRange noOperands) {
  Instr &br = emit(op, execBrFalse);
  br.a = reg(cond);
  uint32_t at = here() - 1;
  if (failed(branch(op, yes, yesOperands)))
    return failure();
  kernel.code[at].imm = here();
  return branch(op, no, noOperands);
}

LogicalResult Decoder::switchBranch(Operation *op, Value value,
                                    std::optional<DenseIntElementsAttr> values,
                                    mlir::Block *defaultTarget,
                                    ValueRange defaultOperands,
                                    ArrayRef<mlir::Block *> targets,
                                    ArrayRef<ValueRange> operands) {
  uint32_t at = here();
  Instr &i = emit(op, execSwitch);
  i.a = reg(value);
  bool wide = (*flatten(value.getType()))[0].wide();
  i.flags = wide;
  SmallVector<uint32_t> words;
  if (values)
    for (const APInt &v : values->getValues<APInt>()) {
      uint64_t bits = v.getZExtValue();
      words.append({uint32_t(bits), uint32_t(bits >> 32), 0});
    }
  uint32_t extra = addExtra(words);
  kernel.code[at].extra = extra;
  kernel.code[at].count = targets.size();
  for (size_t t = 0; t < targets.size(); ++t) {
    kernel.extra[extra + t * 3 + 2] = here();
    if (failed(branch(op, targets[t], operands[t])))
      return failure();
  }
  kernel.code[at].imm = here();
  return branch(op, defaultTarget, defaultOperands);
}

LogicalResult Decoder::decodeControl(Operation *op, bool &known) {
  if (auto br = dyn_cast<LLVM::BrOp>(op))
    return branch(op, br.getDest(), br.getDestOperands());
  if (auto br = dyn_cast<cf::BranchOp>(op))
    return branch(op, br.getDest(), br.getDestOperands());
  if (auto br = dyn_cast<LLVM::CondBrOp>(op))
    return condBranch(op, br.getCondition(), br.getTrueDest(),
                      br.getTrueDestOperands(), br.getFalseDest(),
                      br.getFalseDestOperands());
  if (auto br = dyn_cast<cf::CondBranchOp>(op))
    return condBranch(op, br.getCondition(), br.getTrueDest(),
                      br.getTrueDestOperands(), br.getFalseDest(),
                      br.getFalseDestOperands());
  auto doSwitch = [&](auto sw, Value value) {
    SmallVector<mlir::Block *> targets(sw.getCaseDestinations());
    SmallVector<ValueRange> operands;
    for (size_t i = 0; i < targets.size(); ++i)
      operands.push_back(sw.getCaseOperands(i));
    std::optional<DenseIntElementsAttr> values;
    if (auto v = sw.getCaseValues())
      values = v;
    return switchBranch(op, value, values, sw.getDefaultDestination(),
                        sw.getDefaultOperands(), targets, operands);
  };
  if (auto sw = dyn_cast<LLVM::SwitchOp>(op))
    return doSwitch(sw, sw.getValue());
  if (auto sw = dyn_cast<cf::SwitchOp>(op))
    return doSwitch(sw, sw.getFlag());
  if (isa<scf::ForOp>(op))
    return decodeFor(op);
  if (isa<scf::IfOp>(op))
    return decodeIf(op);
  if (isa<scf::WhileOp>(op))
    return decodeWhile(op);
  // Handled by the operation around them.
  if (isa<scf::YieldOp, scf::ConditionOp>(op))
    return success();
  if (auto call = dyn_cast<LLVM::CallOp>(op))
    return decodeCall(call);
  if (auto ret = dyn_cast<LLVM::ReturnOp>(op)) {
    if (returns.size() == 1) {
      emit(op, execExit);
      return success();
    }
    emitMoves(op, ret->getOperands(), returns.back().results);
    emit(op, execJump);
    returns.back().jumps.push_back(here() - 1);
    return success();
  }
  if (isa<LLVM::UnreachableOp>(op)) {
    emit(op, execTrap);
    return success();
  }
  known = false;
  return success();
}

LogicalResult Decoder::decodeFor(Operation *op) {
  auto loop = cast<scf::ForOp>(op);
  if (allocateFor(op, loop.getInductionVar()) == noReg)
    return failure();
  Reg iv = reg(loop.getInductionVar());
  // Results live where the loop's values live.
  SmallVector<Reg> carried{iv};
  for (auto [arg, result] :
       llvm::zip(loop.getRegionIterArgs(), loop.getResults())) {
    if (allocateFor(op, arg) == noReg)
      return failure();
    regs[result] = reg(arg);
    carried.push_back(reg(arg));
  }
  SmallVector<Value> inits{loop.getLowerBound()};
  llvm::append_range(inits, loop.getInitArgs());
  emitMoves(op, inits, carried);

  Scalar type = (*flatten(loop.getInductionVar().getType()))[0];
  Reg cond = allocate(Scalar{Scalar::Int, 1});
  uint32_t head = here();
  Instr &compare = emit(op, findElementwise("icmp", type, type));
  compare.dst = cond;
  compare.a = iv;
  compare.b = reg(loop.getUpperBound());
  compare.imm = loop.getUnsignedCmp() ? 6 : 2;
  Instr &leave = emit(op, execBrFalse);
  leave.a = cond;
  uint32_t leaveAt = here() - 1;
  if (failed(decodeBlock(*loop.getBody())))
    return failure();
  auto yield = cast<scf::YieldOp>(loop.getBody()->getTerminator());
  emitMoves(yield, yield.getOperands(), ArrayRef<Reg>(carried).drop_front());
  Instr &next = emit(op, findElementwise("add", type, type));
  next.dst = next.a = iv;
  next.b = reg(loop.getStep());
  emit(op, execJump).imm = head;
  kernel.code[leaveAt].imm = here();
  return success();
}

LogicalResult Decoder::decodeIf(Operation *op) {
  auto branch = cast<scf::IfOp>(op);
  SmallVector<Reg> results;
  for (Value result : branch.getResults()) {
    if (allocateFor(op, result) == noReg)
      return failure();
    results.push_back(reg(result));
  }
  Instr &br = emit(op, execBrFalse);
  br.a = reg(branch.getCondition());
  uint32_t brAt = here() - 1;
  auto side = [&](Region &region) {
    mlir::Block &block = region.front();
    if (failed(decodeBlock(block)))
      return failure();
    emitMoves(block.getTerminator(), block.getTerminator()->getOperands(),
              results);
    return success();
  };
  if (failed(side(branch.getThenRegion())))
    return failure();
  if (branch.getElseRegion().empty()) {
    kernel.code[brAt].imm = here();
    return success();
  }
  emit(op, execJump);
  uint32_t jumpAt = here() - 1;
  kernel.code[brAt].imm = here();
  if (failed(side(branch.getElseRegion())))
    return failure();
  kernel.code[jumpAt].imm = here();
  return success();
}

LogicalResult Decoder::decodeWhile(Operation *op) {
  auto loop = cast<scf::WhileOp>(op);
  SmallVector<Reg> before, after;
  for (Value arg : loop.getBeforeArguments()) {
    if (allocateFor(op, arg) == noReg)
      return failure();
    before.push_back(reg(arg));
  }
  for (auto [arg, result] :
       llvm::zip(loop.getAfterArguments(), loop.getResults())) {
    if (allocateFor(op, arg) == noReg)
      return failure();
    regs[result] = reg(arg);
    after.push_back(reg(arg));
  }
  emitMoves(op, loop.getInits(), before);
  uint32_t head = here();
  if (failed(decodeBlock(*loop.getBeforeBody())))
    return failure();
  scf::ConditionOp condition = loop.getConditionOp();
  emitMoves(condition, condition.getArgs(), after);
  Instr &leave = emit(op, execBrFalse);
  leave.a = reg(condition.getCondition());
  uint32_t leaveAt = here() - 1;
  if (failed(decodeBlock(*loop.getAfterBody())))
    return failure();
  scf::YieldOp yield = loop.getYieldOp();
  emitMoves(yield, yield.getOperands(), before);
  emit(op, execJump).imm = head;
  kernel.code[leaveAt].imm = here();
  return success();
}

LogicalResult Decoder::decodeCall(LLVM::CallOp op) {
  auto callee = op.getCallee()
                    ? SymbolTable::lookupNearestSymbolFrom<LLVM::LLVMFuncOp>(
                          op, op.getCalleeAttr().getAttr())
                    : LLVM::LLVMFuncOp();
  if (!callee || callee.isExternal())
    return op.emitOpError("calls a function without a body: no emulation");
  if (llvm::is_contained(callStack, callee.getOperation()))
    return op.emitOpError("is recursive: no emulation");
  callStack.push_back(callee);
  returns.emplace_back();
  for (auto [arg, operand] :
       llvm::zip(callee.getArguments(), op.getArgOperands()))
    alias(arg, reg(operand));
  for (Value result : op->getResults()) {
    if (allocateFor(op, result) == noReg)
      return failure();
    returns.back().results.push_back(reg(result));
  }
  // The body is decoded anew for each call; jumps are bound at once.
  auto outerJumps = std::move(jumps);
  jumps.clear();
  if (failed(decodeRegion(callee.getBody())))
    return failure();
  for (auto [at, block] : jumps)
    kernel.code[at].imm = starts.lookup(block);
  jumps = std::move(outerJumps);
  for (uint32_t at : returns.back().jumps)
    kernel.code[at].imm = here();
  returns.pop_back();
  callStack.pop_back();
  return success();
}
