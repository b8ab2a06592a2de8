//===- MoeNvToInlineAsm.cpp - moe_nv to PTX in inline assembly ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Conversion/Passes.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"

namespace mlir::moe {
#define GEN_PASS_DEF_CONVERTMOENVTOINLINEASM
#include "moec/Conversion/Passes.h.inc"
} // namespace mlir::moe

using namespace mlir;
using namespace mlir::moe;

/// An llvm.inline_asm with side effects; `result` may be null. All operations
/// here touch memory or wait, so none may be removed, merged or reordered.
static LLVM::InlineAsmOp emitAsm(OpBuilder &b, Location loc, Type result,
                                 ValueRange operands, const Twine &text,
                                 const Twine &constraints) {
  return LLVM::InlineAsmOp::create(
      b, loc, result ? TypeRange(result) : TypeRange(), operands, text.str(),
      constraints.str(), /*has_side_effects=*/true, /*is_align_stack=*/false,
      LLVM::TailCallKind::None,
      LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT),
      /*operand_attrs=*/ArrayAttr());
}

/// `{$first, $first+1, ...}`, or `$first` alone.
static std::string registers(unsigned first, unsigned count) {
  if (count == 1)
    return ("$" + Twine(first)).str();
  std::string text = "{";
  for (unsigned i = 0; i < count; ++i)
    text += ((i ? ", $" : "$") + Twine(first + i)).str();
  return text + "}";
}

/// `text` repeated, with commas between and one in front of each if `lead`.
static std::string repeat(StringRef text, unsigned count, bool lead = false) {
  std::string all;
  for (unsigned i = 0; i < count; ++i)
    all += ((i || lead ? "," : "") + text).str();
  return all;
}

static void lower(nv::WgmmaWaitOp op, OpBuilder &b) {
  Location loc = op.getLoc();
  std::string text =
      ("wgmma.wait_group.sync.aligned " + Twine(op.getPending()) + ";").str();
  SmallVector<Value> fields;
  for (Value accumulator : op.getAccumulators())
    for (int64_t i = 0, e = cast<LLVM::LLVMStructType>(accumulator.getType())
                                .getBody()
                                .size();
         i < e; ++i)
      fields.push_back(
          LLVM::ExtractValueOp::create(b, loc, accumulator, ArrayRef{i}));
  if (fields.empty()) {
    emitAsm(b, loc, Type(), {}, text, "~{memory}");
    return;
  }
  std::string outputs, ties;
  SmallVector<Type> types;
  for (auto [i, field] : llvm::enumerate(fields)) {
    outputs += (i ? "," : "");
    outputs += field.getType().isF32() ? "=f" : "=r";
    ties += "," + std::to_string(i);
    types.push_back(field.getType());
  }
  // A single output is a scalar, several are one struct.
  Type result = types.size() == 1
                    ? types.front()
                    : LLVM::LLVMStructType::getLiteral(op.getContext(), types);
  Value all =
      emitAsm(b, loc, result, fields, text, outputs + ties + ",~{memory}")
          .getResult(0);
  int64_t next = 0;
  for (Value old : op.getResults()) {
    Value rebuilt = LLVM::UndefOp::create(b, loc, old.getType());
    for (int64_t i = 0,
                 e = cast<LLVM::LLVMStructType>(old.getType()).getBody().size();
         i < e; ++i, ++next) {
      Value field =
          types.size() == 1
              ? all
              : LLVM::ExtractValueOp::create(b, loc, all, ArrayRef{next})
                    .getResult();
      rebuilt =
          LLVM::InsertValueOp::create(b, loc, rebuilt, field, ArrayRef{i});
    }
    old.replaceAllUsesWith(rebuilt);
  }
}

static void lower(nv::MmaF8Op op, OpBuilder &b) {
  auto name = [](Type element) {
    return isa<Float8E5M2Type>(element) ? "e5m2" : "e4m3";
  };
  std::string text = ("mma.sync.aligned.m16n8k32.row.col.f32." +
                      Twine(name(op.getAType())) + "." + name(op.getBType()) +
                      ".f32 {$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, "
                      "{$10, $11, $12, $13};")
                         .str();
  SmallVector<Value> operands(op.getA());
  llvm::append_range(operands, op.getB());
  llvm::append_range(operands, op.getC());
  // All lanes take part: with a side effect it stays where they are together.
  Value result = emitAsm(b, op.getLoc(), op.getResult().getType(), operands,
                         text, "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f")
                     .getResult(0);
  op.getResult().replaceAllUsesWith(result);
}

static void lower(nv::WgmmaRegistersOp op, OpBuilder &b) {
  Location loc = op.getLoc();
  auto type = cast<LLVM::LLVMStructType>(op.getAccumulator().getType());
  unsigned fields = type.getBody().size(), n = fields * 2;
  SmallVector<Value> operands;
  std::string outputs, ties;
  for (unsigned i = 0; i < fields; ++i) {
    outputs += i ? ",=f" : "=f";
    if (op.getFromZero())
      continue;
    ties += "," + std::to_string(i);
    operands.push_back(LLVM::ExtractValueOp::create(b, loc, op.getAccumulator(),
                                                    ArrayRef{int64_t(i)}));
  }
  // Inputs: accumulators (tied), registers of A, descriptors of B.
  unsigned first = fields + operands.size();
  unsigned count = op.getA().size();
  llvm::append_range(operands, op.getA());
  for (unsigned s = 0; s < count / 4; ++s) {
    Value descriptor = op.getDescriptor();
    if (s) {
      // 16 columns are 32 bytes, two units of a descriptor.
      Value step = LLVM::ConstantOp::create(b, loc, b.getI64Type(),
                                            b.getI64IntegerAttr(2 * s));
      descriptor = LLVM::AddOp::create(b, loc, descriptor, step);
    }
    operands.push_back(descriptor);
  }
  StringRef element = op.getElt().isBF16() ? "bf16" : "f16";
  std::string text = "wgmma.fence.sync.aligned;\n\t";
  for (unsigned s = 0; s < count / 4; ++s) {
    bool keep = s > 0 || !op.getFromZero();
    text += ("wgmma.mma_async.sync.aligned.m64n" + Twine(n) + "k16.f32." +
             element + "." + element + " " + registers(0, fields) + ", " +
             registers(first + 4 * s, 4) + ", $" + Twine(first + count + s) +
             ", " + (keep ? "1" : "0") + ", 1, 1, 0;\n\t")
                .str();
  }
  // Written before the last operand is read: outputs share no register with A.
  if (op.getFromZero())
    outputs = repeat("=&f", fields);
  SmallVector<Type> types(fields, b.getF32Type());
  Value all =
      emitAsm(b, loc, LLVM::LLVMStructType::getLiteral(op.getContext(), types),
              operands, text,
              outputs + ties + repeat("r", count, /*lead=*/true) +
                  repeat("l", count / 4, /*lead=*/true) + ",~{memory}")
          .getResult(0);
  op.getResult().replaceAllUsesWith(all);
}

static void lower(nv::LoadNcOp op, OpBuilder &b) {
  Location loc = op.getLoc();
  Type i32 = b.getI32Type();
  auto vector = dyn_cast<VectorType>(op.getType());
  unsigned count = vector ? vector.getNumElements() : 1;
  std::string width =
      count == 1 ? ".b32" : (".v" + Twine(count) + ".b32").str();
  std::string text =
      (Twine("ld.global.nc") + (op.getNoAllocate() ? ".L1::no_allocate" : "") +
       width + " " + registers(0, count) + ", [$" + Twine(count) + "];")
          .str();
  Type result = i32;
  if (count > 1)
    result = LLVM::LLVMStructType::getLiteral(op.getContext(),
                                              SmallVector<Type>(count, i32));
  Value loaded =
      emitAsm(b, loc, result, op.getAddress(), text, repeat("=r", count) + ",l")
          .getResult(0);
  if (vector) {
    Value lanes = LLVM::UndefOp::create(b, loc, vector);
    for (int64_t i = 0; i < count; ++i) {
      Value lane = LLVM::ExtractValueOp::create(b, loc, loaded, ArrayRef{i});
      Value at = LLVM::ConstantOp::create(b, loc, i32, b.getI32IntegerAttr(i));
      lanes = LLVM::InsertElementOp::create(b, loc, lanes, lane, at);
    }
    loaded = lanes;
  }
  op.getResult().replaceAllUsesWith(loaded);
}

static void lower(nv::RedAddOp op, OpBuilder &b) {
  Location loc = op.getLoc();
  Value value = op.getValue();
  Type type = value.getType(), element = getElementTypeOrSelf(type);
  auto vector = dyn_cast<VectorType>(type);
  unsigned count = vector ? vector.getNumElements() : 1;
  // Halves travel in pairs: one 32-bit register holds two of them.
  bool halves = !element.isF32();
  if (halves) {
    count /= 2;
    value = LLVM::BitcastOp::create(
        b, loc,
        count == 1 ? Type(b.getI32Type())
                   : Type(VectorType::get(count, b.getI32Type())),
        value);
  }
  SmallVector<Value> operands{op.getAddress()};
  if (count == 1 && !isa<VectorType>(value.getType()))
    operands.push_back(value);
  else
    for (unsigned i = 0; i < count; ++i) {
      Value at = LLVM::ConstantOp::create(b, loc, b.getI32Type(),
                                          b.getI32IntegerAttr(i));
      operands.push_back(LLVM::ExtractElementOp::create(b, loc, value, at));
    }
  std::string text = "red.relaxed.gpu.global.add";
  if (halves)
    text += ".noftz";
  if (count > 1)
    text += (".v" + Twine(count)).str();
  text += element.isF32() ? ".f32" : element.isBF16() ? ".bf16x2" : ".f16x2";
  emitAsm(
      b, loc, Type(), operands, text + " [$0], " + registers(1, count) + ";",
      "l" + repeat(halves ? "r" : "f", count, /*lead=*/true) + ",~{memory}");
}

static void lower(nv::BulkReduceAddOp op, OpBuilder &b) {
  StringRef kind = op.getElt().isF32()    ? ".f32"
                   : op.getElt().isBF16() ? ".noftz.bf16"
                                          : ".noftz.f16";
  emitAsm(b, op.getLoc(), Type(),
          {op.getDestination(), op.getSource(), op.getSize()},
          "cp.reduce.async.bulk.global.shared::cta.bulk_group.add" + kind +
              " [$0], [$1], $2;",
          "l,r,r,~{memory}");
}

static void lower(nv::WaitParityOp op, OpBuilder &b) {
  // Braces make the label local to each copy of the text.
  emitAsm(b, op.getLoc(), Type(), {op.getBarrier(), op.getParity()},
          "{\n\t.reg .pred done;\n\tWAIT_PARITY:\n\t"
          "mbarrier.try_wait.parity.shared::cta.b64 done, [$0], $1;\n\t"
          "@!done bra WAIT_PARITY;\n\t}",
          "r,r,~{memory}");
}

static void lower(nv::SignalOp op, OpBuilder &b) {
  emitAsm(b, op.getLoc(), Type(), {op.getCounter(), op.getIncrement()},
          "fence.acq_rel.gpu;\n\tred.release.gpu.global.add.u32 [$0], $1;",
          "l,r,~{memory}");
}

static void lower(nv::AwaitOp op, OpBuilder &b) {
  emitAsm(b, op.getLoc(), Type(), {op.getCounter(), op.getTarget()},
          "{\n\t.reg .pred less;\n\t.reg .b32 count;\n\tAWAIT:\n\t"
          "ld.acquire.gpu.global.u32 count, [$0];\n\t"
          "setp.lt.u32 less, count, $1;\n\t@less bra AWAIT;\n\t}",
          "l,r,~{memory}");
}

namespace {
struct ConvertMoeNvToInlineAsmPass
    : moe::impl::ConvertMoeNvToInlineAsmBase<ConvertMoeNvToInlineAsmPass> {
  using ConvertMoeNvToInlineAsmBase::ConvertMoeNvToInlineAsmBase;

  void runOnOperation() override {
    getOperation()->walk([&](Operation *op) {
      OpBuilder b(op);
      bool known = llvm::TypeSwitch<Operation *, bool>(op)
                       .Case<nv::WgmmaWaitOp, nv::WgmmaRegistersOp, nv::MmaF8Op,
                             nv::LoadNcOp, nv::RedAddOp, nv::BulkReduceAddOp,
                             nv::WaitParityOp, nv::SignalOp, nv::AwaitOp>(
                           [&](auto each) {
                             lower(each, b);
                             return true;
                           })
                       .Default(false);
      if (known) {
        op->erase();
        ++numOps;
      }
    });
  }
};
} // namespace
