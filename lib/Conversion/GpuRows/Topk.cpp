//===- Topk.cpp - moe_tile.topk for GPUs ----------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One wave routes one token: lane l holds experts l, l + wave, ... in
// registers. Values that compete become integers of the same order, a NaN below
// all numbers, so that a reduction finds the largest of the wave and another
// one its lowest expert.
//
//===----------------------------------------------------------------------===//

#include "PlainKernel.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::rows;

/// Waves, and so tokens, of a block.
static constexpr int64_t kWaves = 4;
/// Key of what cannot be taken, and of NaN.
static constexpr int64_t kNone = INT32_MIN, kNan = INT32_MIN + 1;
/// Expert that is none.
static constexpr int64_t kNobody = INT32_MAX;

namespace {
class TopkEmitter {
public:
  TopkEmitter(PlainKernel &k, tile::TopkOp op)
      : k(k), b(k.b), op(op), experts(op.getExperts()), topk(op.getK()),
        lanes(k.wave()), registers(llvm::divideCeil(experts, lanes)) {}
  void emit();

private:
  void loadScores();
  void chooseGroups();
  void choose();
  void finishWeights();

  Value real(double v) {
    return arith::ConstantOp::create(b, k.loc, b.getF32FloatAttr(v));
  }
  Value addf(Value x, Value y) { return arith::AddFOp::create(b, k.loc, x, y); }
  Value divf(Value x, Value y) { return arith::DivFOp::create(b, k.loc, x, y); }
  Value maxf(Value x, Value y) {
    return arith::MaxNumFOp::create(b, k.loc, x, y);
  }
  Value equal(Value x, Value y) {
    return k.cmp(arith::CmpIPredicate::eq, x, y);
  }
  /// e^x by the instruction for 2^x.
  Value exp(Value x);
  Value fold(Value v, function_ref<Value(Value, Value)> f) {
    return k.target.combine(b, k.loc, v, lanes, f);
  }
  Value keyOf(Value v);
  Value valueOf(Value key);
  /// Over the wave.
  Value largest(Value key) { return k.target.largest(b, k.loc, key); }
  Value lowest(Value v) { return k.target.smallest(b, k.loc, v); }
  Value expertAt(int64_t r) { return k.add(lane, k.c32(lanes * r)); }
  /// Largest key.
  Value top(ArrayRef<Value> keys);
  /// Largest key and the lowest expert that has it.
  std::pair<Value, Value> best(ArrayRef<Value> keys);
  Value loadFloat(Value memory, Value index);

  PlainKernel &k;
  OpBuilder &b;
  tile::TopkOp op;
  int64_t experts, topk, lanes, registers;
  Value token, lane;
  SmallVector<Value> scores, keys; ///< of this lane's experts
  Value id, weight, sum; ///< lane j: of the j-th choice; sum of all weights
};
} // namespace

Value TopkEmitter::exp(Value x) {
  auto flags =
      arith::FastMathFlagsAttr::get(b.getContext(), arith::FastMathFlags::afn);
  return math::Exp2Op::create(
      b, k.loc, arith::MulFOp::create(b, k.loc, x, real(1.4426950408889634)),
      flags);
}

Value TopkEmitter::keyOf(Value v) {
  // Adding zero makes one zero of both.
  Value bits =
      arith::BitcastOp::create(b, k.loc, b.getI32Type(), addf(v, real(0)));
  Value flipped = arith::XOrIOp::create(b, k.loc, bits, k.c32(0x7fffffff));
  Value key = k.select(k.less(bits, k.c32(0)), flipped, bits);
  Value isNan =
      arith::CmpFOp::create(b, k.loc, arith::CmpFPredicate::UNO, v, v);
  return k.select(isNan, k.c32(kNan), key);
}

Value TopkEmitter::valueOf(Value key) {
  // The key of NaN is a NaN too.
  Value flipped = arith::XOrIOp::create(b, k.loc, key, k.c32(0x7fffffff));
  return arith::BitcastOp::create(
      b, k.loc, b.getF32Type(), k.select(k.less(key, k.c32(0)), flipped, key));
}

Value TopkEmitter::loadFloat(Value memory, Value index) {
  Type element = cast<MemRefType>(memory.getType()).getElementType();
  Value v = k.load(element, k.at(k.pointer(memory), index, element),
                   element.getIntOrFloatBitWidth() / 8);
  return element.isF32()
             ? v
             : arith::ExtFOp::create(b, k.loc, b.getF32Type(), v).getOut();
}

void TopkEmitter::loadScores() {
  Value infinity = real(-std::numeric_limits<double>::infinity());
  Value first = arith::MulIOp::create(b, k.loc, k.wide(token), k.c64(experts));
  SmallVector<Value> exists;
  for (int64_t r = 0; r < registers; ++r) {
    Value expert = expertAt(r);
    exists.push_back(k.less(expert, k.c32(experts)));
    auto load = [&] {
      return loadFloat(op.getLogits(), k.add(first, k.wide(expert)));
    };
    scores.push_back(lanes * (r + 1) <= experts
                         ? load()
                         : k.choose(exists[r], load, infinity));
  }
  if (op.getScoring() == tile::Scoring::Softmax) {
    Value top = scores[0];
    for (Value s : ArrayRef(scores).drop_front())
      top = maxf(top, s);
    top = fold(top, [&](Value x, Value y) { return maxf(x, y); });
    Value total;
    for (auto [s, there] : llvm::zip(scores, exists)) {
      s = k.select(there, exp(arith::SubFOp::create(b, k.loc, s, top)),
                   real(0));
      total = total ? addf(total, s) : s;
    }
    total = fold(total, [&](Value x, Value y) { return addf(x, y); });
    for (Value &s : scores)
      s = divf(s, total);
  } else if (op.getScoring() == tile::Scoring::Sigmoid) {
    for (Value &s : scores)
      s = divf(real(1), addf(real(1), exp(arith::NegFOp::create(b, k.loc, s))));
  }
  for (int64_t r = 0; r < registers; ++r) {
    Value choice = scores[r];
    if (Value bias = op.getBias()) {
      Value expert = expertAt(r);
      auto load = [&] { return loadFloat(bias, expert); };
      choice = addf(choice, lanes * (r + 1) <= experts
                                ? load()
                                : k.choose(exists[r], load, real(0)));
    }
    keys.push_back(k.select(exists[r], keyOf(choice), k.c32(kNone)));
  }
}

Value TopkEmitter::top(ArrayRef<Value> keys) {
  Value key = keys[0];
  for (Value other : keys.drop_front())
    key = arith::MaxSIOp::create(b, k.loc, key, other);
  return largest(key);
}

std::pair<Value, Value> TopkEmitter::best(ArrayRef<Value> keys) {
  Value key = top(keys);
  Value expert = k.c32(kNobody);
  for (int64_t r = keys.size() - 1; r >= 0; --r)
    expert = k.select(equal(keys[r], key), expertAt(r), expert);
  return {key, lowest(expert)};
}

void TopkEmitter::chooseGroups() {
  int64_t groups = op.getGroups(), size = experts / groups;
  // Lane g keeps the score of group g.
  auto loop = scf::ForOp::create(b, k.loc, k.c32(0), k.c32(groups), k.c32(1),
                                 ValueRange{k.c32(kNone)});
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value group = loop.getInductionVar();
    SmallVector<Value> mine;
    for (int64_t r = 0; r < registers; ++r)
      mine.push_back(k.select(equal(k.div(expertAt(r), k.c32(size)), group),
                              keys[r], k.c32(kNone)));
    auto [key, expert] = best(mine);
    Value score = key;
    if (op.getTop2Sum()) {
      for (int64_t r = 0; r < registers; ++r)
        mine[r] = k.select(equal(expertAt(r), expert), k.c32(kNone), mine[r]);
      score = keyOf(addf(valueOf(key), valueOf(top(mine))));
    }
    scf::YieldOp::create(
        b, k.loc,
        k.select(equal(lane, group), score, loop.getRegionIterArg(0)));
  }
  Value open = loop.getResult(0), chosen = k.c32(0);
  for (int64_t i = 0; i < op.getTopkGroups(); ++i) {
    Value key = largest(open);
    Value group = lowest(k.select(equal(open, key), lane, k.c32(kNobody)));
    chosen = arith::OrIOp::create(
        b, k.loc, chosen, arith::ShLIOp::create(b, k.loc, k.c32(1), group));
    open = k.select(equal(lane, group), k.c32(kNone), open);
  }
  for (int64_t r = 0; r < registers; ++r) {
    Value bit = k.both(arith::ShRUIOp::create(b, k.loc, chosen,
                                              k.div(expertAt(r), k.c32(size))),
                       k.c32(1));
    keys[r] = k.select(equal(bit, k.c32(1)), keys[r], k.c32(kNone));
  }
}

void TopkEmitter::choose() {
  SmallVector<Value> inits{k.c32(0), real(0), real(0)};
  llvm::append_range(inits, keys);
  auto loop =
      scf::ForOp::create(b, k.loc, k.c32(0), k.c32(topk), k.c32(1), inits);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    SmallVector<Value> open(loop.getRegionIterArgs().drop_front(3));
    Value expert = best(open).second, score = real(0);
    for (int64_t r = 0; r < registers; ++r) {
      Value isChosen = equal(expertAt(r), expert);
      score = k.select(isChosen, scores[r], score);
      open[r] = k.select(isChosen, k.c32(kNone), open[r]);
    }
    score = k.target.broadcast(b, k.loc, score, k.laneOf(expert));
    Value mine = equal(lane, loop.getInductionVar());
    SmallVector<Value> next{k.select(mine, expert, loop.getRegionIterArg(0)),
                            k.select(mine, score, loop.getRegionIterArg(1)),
                            addf(loop.getRegionIterArg(2), score)};
    llvm::append_range(next, open);
    scf::YieldOp::create(b, k.loc, next);
  }
  id = loop.getResult(0);
  weight = loop.getResult(1);
  sum = loop.getResult(2);
}

void TopkEmitter::finishWeights() {
  Value isChoice = k.less(lane, k.c32(topk));
  if (op.getScoring() == tile::Scoring::SoftmaxSelected) {
    auto add = [&](Value x, Value y) { return addf(x, y); };
    Value top = fold(k.select(isChoice, weight,
                              real(-std::numeric_limits<double>::infinity())),
                     [&](Value x, Value y) { return maxf(x, y); });
    Value e = k.select(
        isChoice, exp(arith::SubFOp::create(b, k.loc, weight, top)), real(0));
    weight = divf(e, fold(e, add));
    if (op.getRenormalize())
      sum = fold(weight, add);
  }
  Value factor = real(op.getScale().convertToDouble());
  if (op.getRenormalize()) {
    Value isZero = arith::CmpFOp::create(b, k.loc, arith::CmpFPredicate::OEQ,
                                         sum, real(0));
    factor = k.select(isZero, factor, divf(factor, sum));
  }
  weight = arith::MulFOp::create(b, k.loc, weight, factor);
  k.when(isChoice, [&] {
    Value at =
        k.add(arith::MulIOp::create(b, k.loc, k.wide(token), k.c64(topk)),
              k.wide(lane));
    k.storeWord(id, k.pointer(op.getIds()), at);
    k.store(weight, k.at(k.pointer(op.getWeights()), at, b.getF32Type()), 4);
  });
}

void TopkEmitter::emit() {
  for (Value memory : {Value(op.getLogits()), Value(op.getBias()),
                       Value(op.getIds()), Value(op.getWeights())})
    if (memory)
      k.pointer(memory);
  Value tokens = k.extent(op.getLogits(), 0);
  Value thread = k.thread();
  lane = k.laneOf(thread);
  Value wave = k.waveOf(thread);
  token = k.add(k.mul(k.block(), k.c32(kWaves)), wave);
  k.awaitEarlierLaunches();
  // Whole waves.
  k.when(k.less(token, tokens), [&] {
    loadScores();
    if (op.getGroups() > 1)
      chooseGroups();
    choose();
    finishWeights();
  });
}

bool rows::isTopkKernel(tile::KernelOp kernel) {
  return !kernel.getBody().getOps<tile::TopkOp>().empty();
}

FailureOr<LLVM::LLVMFuncOp> rows::convertTopkKernel(tile::KernelOp kernel,
                                                    OpBuilder &b,
                                                    const WaveTarget &target) {
  tile::TopkOp op = *kernel.getBody().getOps<tile::TopkOp>().begin();
  if (op.getExperts() > 1024 || op.getK() > 32 || op.getGroups() > 32)
    return op.emitOpError("takes up to 1024 experts, 32 choices and 32 groups "
                          "on GPUs, got ")
           << op.getExperts() << ", " << op.getK() << " and " << op.getGroups();
  for (Value memory : op->getOperands())
    if (auto type = cast<MemRefType>(memory.getType());
        !type.getLayout().isIdentity() || type.getElementType().isF64())
      return op.emitOpError("takes row-major memory of at most 32-bit elements "
                            "on GPUs, got ")
             << type;
  PlainKernel k(kernel, b, target);
  TopkEmitter emitter(k, op);
  emitter.emit();
  PlainKernel::Grid grid;
  auto logits = cast<MemRefType>(op.getLogits().getType());
  if (logits.isDynamicDim(0)) {
    grid.operand = PlainKernel::operandNumber(op.getLogits());
    grid.div = kWaves;
  } else {
    grid.blocks = (logits.getDimSize(0) + kWaves - 1) / kWaves;
  }
  k.finish(k.wave() * kWaves, /*cluster=*/1, grid);
  return k.func;
}
