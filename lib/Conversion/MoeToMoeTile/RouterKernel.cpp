//===- RouterKernel.cpp - The kernel of moe.topk --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One row of logits at a time: scores, group scores and the choice are scalar
// code on rows of the workspace. A choice is k passes over E values, which
// costs less than sorting for the k of real layers.
//
//===----------------------------------------------------------------------===//

#include "ScalarBody.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
class RouterKernel {
public:
  RouterKernel(KernelBuilder &kernel, TopkOp op)
      : kernel(kernel), op(op), loc(op.getLoc()), k{kernel.b, loc} {}

  void emitRow(Value token);

  Value logits, bias, ids, weights; ///< the op's own
  Value scores, biased, taken;      ///< [T, E] of the workspace
  Value groupScores, groupsTaken;   ///< [T, groups], null without groups

private:
  void loadScores();
  void softmax(Value memory, int64_t count);
  void chooseGroups();
  /// Column of the best value in [from, to) that is not taken; takes it.
  Value takeBest(Value values, Value flags, Value from, Value to);
  Value constant(double v) { return kernel.f32(v); }
  Value load(Value memory, Value column) {
    return k.load(memory, {token, column});
  }
  void store(Value v, Value memory, Value column) {
    k.store(v, memory, {token, column});
  }
  /// Folds f over [0, count), from `init`.
  Value fold(int64_t count, Value init,
             llvm::function_ref<Value(Value, Value)> f);

  KernelBuilder &kernel;
  TopkOp op;
  Location loc;
  ScalarBody k;
  Value token;
};
} // namespace

Value RouterKernel::fold(int64_t count, Value init,
                         llvm::function_ref<Value(Value, Value)> f) {
  OpBuilder &b = kernel.b;
  auto loopOp = scf::ForOp::create(b, loc, k.index(0), k.index(count),
                                   k.index(1), ValueRange{init});
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loopOp.getBody());
  Value next = f(loopOp.getInductionVar(), loopOp.getRegionIterArg(0));
  scf::YieldOp::create(b, loc, next);
  return loopOp.getResult(0);
}

void RouterKernel::softmax(Value memory, int64_t count) {
  OpBuilder &b = kernel.b;
  Value top =
      fold(count, constant(-std::numeric_limits<double>::infinity()),
           [&](Value j, Value best) -> Value {
             return arith::MaxNumFOp::create(b, loc, best, load(memory, j));
           });
  Value sum = fold(count, constant(0), [&](Value j, Value total) -> Value {
    Value e = math::ExpOp::create(
        b, loc, arith::SubFOp::create(b, loc, load(memory, j), top));
    store(e, memory, j);
    return arith::AddFOp::create(b, loc, total, e);
  });
  k.loop(k.index(count), [&](Value j) {
    store(arith::DivFOp::create(b, loc, load(memory, j), sum), memory, j);
  });
}

void RouterKernel::loadScores() {
  OpBuilder &b = kernel.b;
  auto type = cast<MemRefType>(logits.getType());
  int64_t experts = type.getDimSize(1);
  Value zero = k.index(0);
  auto row = [&](Value memory, ValueRange at) {
    auto type = cast<MemRefType>(memory.getType());
    return mapToF32(kernel,
                    tile::LoadOp::create(
                        b, loc,
                        tile::FragType::get(1, experts, type.getElementType()),
                        memory, at));
  };
  Value s = row(logits, {token, zero});
  if (op.getScoring() == Scoring::Sigmoid)
    s = tile::MapOp::create(
            b, loc, TypeRange{s.getType()}, ValueRange{s},
            [&](OpBuilder &b, Location loc, ValueRange v) {
              Value e = math::ExpOp::create(
                  b, loc, arith::NegFOp::create(b, loc, v[0]));
              Value one =
                  arith::ConstantOp::create(b, loc, b.getF32FloatAttr(1.0));
              return SmallVector<Value>{arith::DivFOp::create(
                  b, loc, one, arith::AddFOp::create(b, loc, e, one))};
            })
            .getResult(0);
  tile::StoreOp::create(b, loc, s, scores, ValueRange{token, zero});
  if (op.getScoring() == Scoring::Softmax)
    softmax(scores, experts);
  if (bias) {
    Value again = tile::LoadOp::create(
        b, loc, tile::FragType::get(1, experts, b.getF32Type()), scores,
        ValueRange{token, zero});
    Value sum =
        tile::MapOp::create(b, loc, TypeRange{again.getType()},
                            ValueRange{again, row(bias, {zero})},
                            [](OpBuilder &b, Location loc, ValueRange v) {
                              return SmallVector<Value>{
                                  arith::AddFOp::create(b, loc, v[0], v[1])};
                            })
            .getResult(0);
    tile::StoreOp::create(b, loc, sum, biased, ValueRange{token, zero});
  }
}

Value RouterKernel::takeBest(Value values, Value flags, Value from, Value to) {
  OpBuilder &b = kernel.b;
  Value none = k.index(-1);
  auto loopOp = scf::ForOp::create(b, loc, from, to, k.index(1),
                                   ValueRange{none, constant(0)});
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loopOp.getBody());
    Value e = loopOp.getInductionVar();
    Value at = loopOp.getRegionIterArg(0), best = loopOp.getRegionIterArg(1);
    Value v = load(values, e);
    auto both = [&](Value x, Value y) -> Value {
      return arith::AndIOp::create(b, loc, x, y);
    };
    auto either = [&](Value x, Value y) -> Value {
      return arith::OrIOp::create(b, loc, x, y);
    };
    auto compare = [&](arith::CmpFPredicate p, Value x, Value y) -> Value {
      return arith::CmpFOp::create(b, loc, p, x, y);
    };
    // Ids ascend, so an equal value stays behind; any number beats a NaN.
    Value free = k.cmp(arith::CmpIPredicate::eq, load(flags, e), k.i32(0));
    Value beats = either(compare(arith::CmpFPredicate::OGT, v, best),
                         both(compare(arith::CmpFPredicate::UNO, best, best),
                              compare(arith::CmpFPredicate::ORD, v, v)));
    Value first = k.cmp(arith::CmpIPredicate::eq, at, none);
    Value take = both(free, either(first, beats));
    scf::YieldOp::create(
        b, loc,
        ValueRange{arith::SelectOp::create(b, loc, take, e, at),
                   arith::SelectOp::create(b, loc, take, v, best)});
  }
  Value chosen = loopOp.getResult(0);
  store(k.i32(1), flags, chosen);
  return chosen;
}

void RouterKernel::chooseGroups() {
  OpBuilder &b = kernel.b;
  Value choice = bias ? biased : scores;
  int64_t groups = op.getGroups();
  int64_t size = cast<MemRefType>(logits.getType()).getDimSize(1) / groups;
  bool sumOfTwo = op.getGroupScore() == GroupScore::Top2Sum;
  auto firstOf = [&](Value group) -> Value {
    return arith::MulIOp::create(b, loc, group, k.index(size));
  };
  k.loop(k.index(groups), [&](Value g) {
    Value from = firstOf(g), to = k.add(from, k.index(size));
    Value score = load(choice, takeBest(choice, taken, from, to));
    if (sumOfTwo)
      score = arith::AddFOp::create(
          b, loc, score, load(choice, takeBest(choice, taken, from, to)));
    store(score, groupScores, g);
    store(k.i32(0), groupsTaken, g);
  });
  k.loop(k.index(groups * size), [&](Value e) { store(k.i32(1), taken, e); });
  k.loop(k.index(op.getTopkGroups()), [&](Value) {
    Value g = takeBest(groupScores, groupsTaken, k.index(0), k.index(groups));
    Value from = firstOf(g);
    k.loop(k.index(size),
           [&](Value j) { store(k.i32(0), taken, k.add(from, j)); });
  });
}

void RouterKernel::emitRow(Value row) {
  token = row;
  OpBuilder &b = kernel.b;
  int64_t experts = cast<MemRefType>(logits.getType()).getDimSize(1);
  int64_t topk = cast<MemRefType>(ids.getType()).getDimSize(1);
  loadScores();
  k.loop(k.index(experts), [&](Value e) { store(k.i32(0), taken, e); });
  if (groupScores)
    chooseGroups();
  Value choice = bias ? biased : scores;
  k.loop(k.index(topk), [&](Value j) {
    Value e = takeBest(choice, taken, k.index(0), k.index(experts));
    store(k.toI32(e), ids, j);
    store(load(scores, e), weights, j);
  });
  if (op.getScoring() == Scoring::SoftmaxSelected)
    softmax(weights, topk);
  Value factor = constant(op.getScale().convertToDouble());
  if (op.getRenormalize()) {
    Value sum = fold(topk, constant(0), [&](Value j, Value total) -> Value {
      return arith::AddFOp::create(b, loc, total, load(weights, j));
    });
    Value isZero = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, sum,
                                         constant(0));
    factor = arith::SelectOp::create(
        b, loc, isZero, factor, arith::DivFOp::create(b, loc, factor, sum));
  }
  k.loop(k.index(topk), [&](Value j) {
    store(arith::MulFOp::create(b, loc, load(weights, j), factor), weights, j);
  });
}

LogicalResult PlanBuilder::convertTopk(TopkOp op) {
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  Value logits = buffer(op.getLogits());
  int64_t experts = cast<MemRefType>(logits.getType()).getDimSize(1);
  if (ShapedType::isDynamic(experts))
    return op.emitOpError("needs a static number of experts");
  if (options.alignOp) {
    KernelBuilder kernel = startKernel("topk");
    Value from = kernel.use(logits);
    Value bias = op.getBias() ? kernel.use(buffer(op.getBias())) : Value();
    Value ids = kernel.use(values.lookup(op->getResult(0)));
    Value weights = kernel.use(values.lookup(op->getResult(1)));
    // The enumerations have the same values.
    tile::TopkOp::create(kernel.b, loc, from, bias, ids, weights,
                         static_cast<tile::Scoring>(op.getScoring()),
                         op.getGroups(), op.getTopkGroups(),
                         op.getGroupScore() == GroupScore::Top2Sum,
                         op.getRenormalize(), op.getScale());
    launch(kernel);
    return success();
  }
  Value tokens = memref::DimOp::create(b, loc, logits, 0);
  constexpr int64_t any = ShapedType::kDynamic;
  auto rows = [&](int64_t cols, Type type) {
    return workspace({any, cols}, type, tokens);
  };
  KernelBuilder kernel = startKernel("topk");
  RouterKernel router(kernel, op);
  router.logits = kernel.use(logits);
  if (op.getBias())
    router.bias = kernel.use(buffer(op.getBias()));
  router.ids = kernel.use(values.lookup(op->getResult(0)));
  router.weights = kernel.use(values.lookup(op->getResult(1)));
  router.scores = kernel.use(rows(experts, f32));
  if (router.bias)
    router.biased = kernel.use(rows(experts, f32));
  router.taken = kernel.use(rows(experts, i32));
  if (op.getGroups() > 1) {
    router.groupScores = kernel.use(rows(op.getGroups(), f32));
    router.groupsTaken = kernel.use(rows(op.getGroups(), i32));
  }
  parallelRows(kernel, memref::DimOp::create(kernel.b, loc, router.logits, 0),
               [&](Value row) { router.emitRow(row); });
  launch(kernel);
  return success();
}
