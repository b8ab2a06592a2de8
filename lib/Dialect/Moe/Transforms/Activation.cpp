//===- Activation.cpp - Activations as scalar programs --------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Activation.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::moe;

namespace {
/// Shorthand for scalar f32 arithmetic.
struct Scalar {
  OpBuilder &b;
  Location loc;

  Value constant(double v) const {
    return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(float(v)));
  }
  Value add(Value x, Value y) const {
    return arith::AddFOp::create(b, loc, x, y);
  }
  Value mul(Value x, Value y) const {
    return arith::MulFOp::create(b, loc, x, y);
  }
  Value min(Value x, double limit) const {
    return arith::MinimumFOp::create(b, loc, x, constant(limit));
  }
  Value max(Value x, double limit) const {
    return arith::MaximumFOp::create(b, loc, x, constant(limit));
  }
  /// x * sigma(alpha * x) as x / (1 + exp(-alpha * x)).
  Value silu(Value x, double alpha) const {
    Value scaled = alpha == 1.0 ? x : mul(x, constant(alpha));
    Value exp =
        math::ExpOp::create(b, loc, arith::NegFOp::create(b, loc, scaled));
    return arith::DivFOp::create(b, loc, x, add(exp, constant(1.0)));
  }
  Value gelu(Value x) const {
    Value erf =
        math::ErfOp::create(b, loc, mul(x, constant(0.7071067811865476)));
    return mul(mul(x, constant(0.5)), add(erf, constant(1.0)));
  }
  Value geluTanh(Value x) const {
    Value cube = mul(mul(x, x), x);
    Value inner = add(x, mul(cube, constant(0.044715)));
    Value tanh =
        math::TanhOp::create(b, loc, mul(inner, constant(0.7978845608028654)));
    return mul(mul(x, constant(0.5)), add(tanh, constant(1.0)));
  }
};
} // namespace

Value moe::buildActivation(OpBuilder &b, Location loc,
                           ActivationAttr activation, ValueRange inputs) {
  Scalar s{b, loc};
  Value g = inputs[0];
  Value u = activation.isGated() ? inputs[1] : Value();
  if (double limit = activation.getLimit(); u && limit != 0) {
    g = s.min(g, limit);
    u = s.max(s.min(u, limit), -limit);
  }
  switch (activation.getKind()) {
  case ActivationKind::Identity:
    return g;
  case ActivationKind::Silu:
    return s.silu(g, 1.0);
  case ActivationKind::Gelu:
    return s.gelu(g);
  case ActivationKind::GeluTanh:
    return s.geluTanh(g);
  case ActivationKind::Relu:
    return s.max(g, 0.0);
  case ActivationKind::Relu2: {
    Value r = s.max(g, 0.0);
    return s.mul(r, r);
  }
  case ActivationKind::Swiglu:
    return s.mul(s.silu(g, 1.0), u);
  case ActivationKind::Geglu:
    return s.mul(s.gelu(g), u);
  case ActivationKind::GegluTanh:
    return s.mul(s.geluTanh(g), u);
  case ActivationKind::Reglu:
    return s.mul(s.max(g, 0.0), u);
  case ActivationKind::SwigluOai:
    return s.mul(s.add(u, s.constant(1.0)), s.silu(g, activation.getAlpha()));
  }
  llvm_unreachable("covered switch");
}
