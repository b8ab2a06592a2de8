//===- PlanBuilder.h - Building a plan and its kernels ----------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_CONVERSION_MOETOMOETILE_PLANBUILDER_H
#define MOEC_LIB_CONVERSION_MOETOMOETILE_PLANBUILDER_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Dialect/MoeTile/IR/MoeTile.h"

namespace mlir::moe {

/// The buffers of one routing in one row layout and block size.
struct RoutingBuffers {
  Value slots;  ///< [capacity] i32: flat slot of every row
  Value places; ///< [T * k] i32: row of every flat slot, -1 = nowhere
  Value valid;  ///< [T * k] i32: the flat slot itself, -1 = nowhere
  Value table;  ///< [blocks, 4] i32: expert, first row, rows, 0
  Value count;  ///< [1] i32: used entries of the table
  /// A routing that nobody sorts: what says which slot goes where; all of the
  /// above are null. The last two may be null.
  Value ids, expertMap, deviceTokens;

  bool isDirect() const { return bool(ids); }
};

/// A kernel under construction: arguments are added as they are needed, each
/// tied to the plan's value that is passed for it.
class KernelBuilder {
public:
  KernelBuilder(OpBuilder &moduleBuilder, Location loc, StringRef name);

  /// The kernel's argument for a value of the plan.
  Value use(Value planValue);
  /// A fresh zeroed counter by which workers take tiles.
  void useClaimCounter(Value planValue);

  Value index(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }
  Value f32(double v) {
    return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(v));
  }

  tile::KernelOp kernel;
  OpBuilder b; ///< inside of the kernel
  Location loc;
  SmallVector<Value> planOperands;
  std::optional<unsigned> claimCounter; ///< number of that argument

private:
  DenseMap<Value, Value> known;
};

/// How kernels are made; see the options of moe-to-tile.
struct PlanOptions {
  bool alignOp = false;
  int64_t tokens = 0;
  bool pdl = false;
  bool tileSums = false;
};

/// Who sums the rows of a GEMM over top-k.
enum class SumBy {
  Launch,       ///< a launch behind it, or nobody
  Experts,      ///< the reduction of the product itself
  Last,         ///< the last tile of a token, of slots that nobody sorts
  Arrived,      ///< the last tile of a token, of sorted slots
  Added,        ///< all tiles, in f32; the last one converts
  AddedThenCast ///< all tiles, in f32; a launch converts
};

/// Turns one function into a plan.
class PlanBuilder {
public:
  PlanBuilder(func::FuncOp func, SymbolTable &symbols,
              const PlanOptions &options = {})
      : func(func), symbols(symbols), options(options), b(func.getContext()),
        loc(func.getLoc()) {}

  /// Builds the plan beside the function; the caller erases the function.
  LogicalResult build();
  int64_t getNumKernels() const { return kernelCount; }

private:
  friend class GemmKernel;

  LogicalResult convert(Operation &op);
  LogicalResult convertQuantize(QuantizeOp op);
  LogicalResult convertActivate(ActivateOp op);
  LogicalResult convertDequantize(DequantizeOp op);
  LogicalResult convertRounding(QuantizeOp from, DequantizeOp to);
  LogicalResult convertRepack(RepackOp op);
  LogicalResult convertGroupSum(GroupSumOp op);
  LogicalResult convertCombine(CombineOp op);
  LogicalResult convertDispatch(DispatchOp op);
  LogicalResult convertDenseWeights(DenseWeightsOp op);
  LogicalResult convertGemm(GroupedGemmOp op);
  LogicalResult convertTopk(TopkOp op);
  /// tensor.expand_shape and tensor.collapse_shape: another view of a buffer.
  LogicalResult convertReshape(Operation &op);
  /// One value of a tensor, spread over a vector.
  LogicalResult convertSplat(tensor::SplatOp op);
  /// `buffers` are those of `routing`, unless it is static. Rows of d have
  /// `parts` summands side by side.
  LogicalResult emitCombine(Value d, Value weights, Value add, Value addGate,
                            Value routing, RowLayout layout,
                            const RoutingBuffers &buffers, Value out,
                            int64_t parts = 1);

  /// Who sums the rows of a GEMM, as its configuration asks for and as the
  /// target can.
  SumBy sumsBy(GroupedGemmOp op);
  /// Whether tiles of the GEMM write the sums.
  bool isSummedByTiles(GroupedGemmOp op) {
    SumBy by = sumsBy(op);
    return by == SumBy::Last || by == SumBy::Arrived || by == SumBy::Added;
  }
  /// [T, N] f32 that tiles add rows to; made on first call, zeroed if `zero`.
  Value addedRows(GroupedGemmOp op, bool zero);
  /// Rows of f32 in `from`, rounded to the type of `out`.
  LogicalResult emitCast(Value from, Value out);

  /// The plan's buffer for a tensor value of the function; a fresh workspace
  /// for a tensor.empty has elements of `element`, if given, and is cleared if
  /// `zero`.
  Value buffer(Value tensor, Type element = {}, bool zero = false);
  /// Gives the results of an op the buffers of its inits.
  LogicalResult bindResults(DestinationStyleOpInterface op);
  Value index(int64_t v) { return arith::ConstantIndexOp::create(b, loc, v); }
  Value tokensOf(Value routing);
  /// Whether rows of a routing of all experts stand by expert, row t of expert
  /// e at e T + t, without a table: on GPUs, where no op on it needs another
  /// order.
  bool isStatic(Value routing);
  /// Whether all that read these weights do so over such a routing: then they
  /// lie in the same order.
  bool isStatic(DenseWeightsOp weights);
  Value workspace(ArrayRef<int64_t> shape, Type element, ValueRange sizes,
                  bool zero = false);
  const RoutingBuffers &routingFor(Value routing, bool padded, int64_t blockM);
  KernelBuilder startKernel(StringRef stem);
  void launch(KernelBuilder &kernel);
  /// Marks memories that no launch which may still run at the kernel's start
  /// writes: a launch starts after all but the last one have ended.
  void markSettled(KernelBuilder &kernel);
  bool runsBeside(KernelBuilder &kernel);

  func::FuncOp func;
  SymbolTable &symbols;
  PlanOptions options;
  Value deviceTokens; ///< memref<1xi32>, null: all tokens exist
  tile::PlanOp plan;
  OpBuilder b;
  Location loc;
  IRMapping values; ///< scalars, and tensors to memrefs
  DenseMap<Value, SmallVector<std::tuple<bool, int64_t, RoutingBuffers>, 1>>
      routings;
  /// Arrivals at the sums of a product whose last tiles sum, where an earlier
  /// kernel clears them.
  DenseMap<Operation *, Value> clearedCounters;
  /// What the tiles of a product add its rows to.
  DenseMap<Operation *, Value> addedSums;
  int64_t kernelCount = 0;
  tile::KernelOp lastKernel; ///< of the last launch, null before the first
  int64_t launches = 0;      ///< so far
  SmallVector<Value> lastOperands;
};

/// Emits the serial kernel that fills the buffers of a routing. `ids` null:
/// every token goes to every expert.
void emitAlignKernel(KernelBuilder &k, Value ids, Value expertMap, Value tokens,
                     RoutingType type, bool padded, int64_t blockM,
                     const RoutingBuffers &buffers, Value counts);

/// Emits the kernel of one moe_tile.align that fills the same buffers, shaped
/// for `shapeTokens` tokens (0: many). `deviceTokens` (may be null): the plan's
/// memory with the number of tokens that exist.
void emitAlignOp(KernelBuilder &k, Value ids, Value expertMap, Value tokens,
                 Value deviceTokens, RoutingType type, bool padded,
                 int64_t blockM, const RoutingBuffers &buffers,
                 int64_t shapeTokens);

/// Clones a scalar region (arith, math, a yield) at the insertion point of `b`
/// and returns what it yields.
Value cloneScalarBody(OpBuilder &b, Region &region, ValueRange arguments);

/// f32 from a float of any type, and back (saturating where `maxFinite` > 0).
Value extendToF32(OpBuilder &b, Location loc, Value v);
Value truncateFromF32(OpBuilder &b, Location loc, Value v, Type type);

/// How the codes of a quantised tensor lie in its stored elements.
tile::DequantFormat dequantFormat(QuantAttr quant);

/// The fresh scale and quantised values (stored elements) of f32 fragments that
/// stand side by side and are one scale group wide together; see moe.quantize
/// for the formula.
void emitFreshQuant(KernelBuilder &k, QuantAttr quant, ValueRange fragments,
                    SmallVectorImpl<Value> &quantised, Value &scale);

/// Loop over `rows` rows that is dealt out to the grid.
void parallelRows(KernelBuilder &k, Value rows,
                  llvm::function_ref<void(Value)> body);

/// A fragment of f32 from a fragment of any float type.
Value mapToF32(KernelBuilder &k, Value fragment);

/// Element type of the rows that a GEMM writes: the field `partial` of its
/// configuration where only sums over top-k read them, else the result's own.
Type partialElement(GroupedGemmOp op);

/// Parts of K that tiles of the GEMM take one of, whose results stand side by
/// side.
int64_t partsOfK(GroupedGemmOp op);

/// Whether the rows of a GEMM that only sums over top-k read stand sorted by
/// expert, whatever its layout says: its configuration stores by descriptor.
bool sortsSummedRows(GroupedGemmOp op);

/// Diagnoses a fresh quantisation that has no meaning.
LogicalResult checkFreshQuant(Operation *op, QuantAttr quant);

/// Whether what `op` makes is only read by `moe.dequantize`: the two round
/// values, in one kernel that stores neither codes nor scales.
bool isRounding(QuantizeOp op);

} // namespace mlir::moe

#endif // MOEC_LIB_CONVERSION_MOETOMOETILE_PLANBUILDER_H
