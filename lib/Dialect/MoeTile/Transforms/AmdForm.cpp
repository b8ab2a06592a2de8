//===- AmdForm.cpp - Tiles of AMD GPUs ------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AmdForm.h"

#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::tile;

/// Rows and columns of the smallest matrix instructions.
static constexpr int64_t kSide = 16;
/// Bytes of a vector that one lane reads.
static constexpr int64_t kVectorBytes = 16;
/// Matrix instructions of a wave in one step, at the least.
static constexpr int64_t kProducts = 8;
/// Registers of a lane that addresses, operands and data under way need beside
/// the accumulators, at the least.
static constexpr int64_t kOtherRegisters = 64;
/// Bytes after which the XOR pattern of a swizzle begins anew.
static constexpr int64_t kSwizzlePeriod = 1024;
/// Neighbours of a row that a lane decodes together.
static constexpr int64_t kDecodedRun = 8;
/// Values of a row that share a scale in instructions that take scales.
static constexpr int64_t kScaledRun = 32;

const AmdChip *moe::tile::amdChipOf(KernelOp kernel) {
  return findAmdChip(kernel.getTarget().value_or("").str());
}

//===----------------------------------------------------------------------===//
// Atoms
//===----------------------------------------------------------------------===//

static std::optional<AmdOperand> operandOf(Type type) {
  if (type.isBF16())
    return AmdOperand::BF16;
  if (type.isF16())
    return AmdOperand::F16;
  if (isa<Float8E4M3FNType>(type))
    return AmdOperand::F8;
  if (isa<Float8E5M2Type>(type))
    return AmdOperand::BF8;
  if (type.isInteger(8))
    return AmdOperand::I8;
  if (type.isF32())
    return AmdOperand::F32;
  return std::nullopt;
}

static bool isFloat8(Type type) {
  return isa<Float8E4M3FNType, Float8E5M2Type>(type);
}

/// Layout of one instruction, weights on its rows.
static DigitsAttr instructionLayout(AtomAttr atom) {
  if (atom.getFamily() != "wmma")
    return getAtomLayout(atom);
  // Lane halves hold even and odd rows of the result. Rows of the first operand
  // are read in an order in which a lane holds eight neighbours.
  return DigitsAttr::get(atom.getContext(), {{Level::Reg, Dim::N, 8, 1},
                                             {Level::Lane, Dim::M, 16, 1},
                                             {Level::Lane, Dim::N, 2, 8}});
}

/// The operand of an instruction with scales that does what `op` decodes: 8- or
/// 4-bit floats times powers of two, one for 32 values of a row.
static std::optional<AmdOperand> scaledOperandOf(DequantOp op) {
  if (!op || !op.getScale() || op.getZero() || op.getZeroValue() ||
      !isa<Float8E8M0FNUType>(getTileElementType(op.getScale().getType())) ||
      op.getScaleGranule() != std::pair<int64_t, int64_t>(1, kScaledRun))
    return std::nullopt;
  if (op.getFormat() == DequantFormat::Mx)
    return AmdOperand::F4;
  Type stored = getTileElementType(op.getSource().getType());
  std::optional<AmdOperand> operand = operandOf(stored);
  bool small = op.getFormat() == DequantFormat::Plain && operand &&
               stored.getIntOrFloatBitWidth() == 8;
  return small ? operand : std::nullopt;
}

/// The instructions that scale both operands by themselves and of which the
/// tile and its step are whole ones.
static SmallVector<const AmdMatrixOp *> findScaled(const TileGemm &gemm,
                                                   const AmdChip &chip) {
  std::optional<AmdOperand> a = scaledOperandOf(gemm.dequantA);
  std::optional<AmdOperand> b = scaledOperandOf(gemm.dequant);
  SmallVector<const AmdMatrixOp *> found;
  for (const AmdMatrixOp &op : chip.matrixOps) {
    // The operands' types are chosen each for itself.
    bool takesB = llvm::any_of(chip.matrixOps, [&](const AmdMatrixOp &other) {
      return other.scaled && other.operand == b && other.m == op.m &&
             other.k == op.k;
    });
    if (op.scaled && op.operand == a && takesB && gemm.step % op.k == 0 &&
        gemm.rows % op.n == 0 && gemm.cols % op.m == 0)
      found.push_back(&op);
  }
  return found;
}

static AtomAttr atomOf(MLIRContext *context, const AmdMatrixOp &op) {
  return AtomAttr::get(context, StringAttr::get(context, op.family), op.m, op.n,
                       op.k, /*swap=*/true);
}

DigitsAttr moe::tile::decodedFactorLayout(const TileGemm &gemm, int64_t columns,
                                          bool weights) {
  AccReadOp read = gemm.read;
  MmaOp mma = gemm.mma;
  auto accumulator = cast<FragType>(read.getResult().getType()).getLayout();
  if (!accumulator)
    return {};
  Dim side = weights ? Dim::N : Dim::M;
  SmallVector<Digit> digits;
  int64_t lanes = accumulator.getLevelSize(Level::Lane);
  // Columns of one instruction are those of the groups of lanes. Without scales
  // it takes eight neighbours from each, unless both groups hold the same.
  const AmdChip *chip = amdChipOf(gemm.kernel);
  AtomAttr atom = *mma.getAtom();
  int64_t rows = atom.getM();
  const AmdMatrixOp *scaled =
      chip ? chip->findScaledOp(rows, atom.getK()) : nullptr;
  int64_t groups = lanes / rows;
  bool repeats = atom.getFamily() == "wmma";
  int64_t dealt =
      scaled    ? groups
      : repeats ? 1
                : std::clamp<int64_t>(
                      kDecodedRun * groups * columns / gemm.step, 1, groups);
  if (columns > dealt)
    digits.push_back({Level::Reg, Dim::N, columns / dealt, dealt});
  // Registers beyond one instruction are further rows.
  for (const Digit &digit : accumulator.getDigits())
    if (digit.level == Level::Reg && digit.dim == side && digit.stride >= rows)
      digits.push_back({Level::Reg, Dim::M, digit.extent, digit.stride});
  // Lane l has row l % 16 (l % 32), or of RDNA3 the one in the order of the
  // operand.
  if (weights && atom.getFamily() == "wmma") {
    digits.push_back({Level::Lane, Dim::M, 2, 8});
    digits.push_back({Level::Lane, Dim::M, 8, 1});
  } else {
    digits.push_back({Level::Lane, Dim::M, rows, 1});
  }
  if (groups > dealt)
    digits.push_back({Level::Lane, Dim::M, groups / dealt, 0});
  if (dealt > 1)
    digits.push_back({Level::Lane, Dim::N, dealt, 1});
  for (const Digit &digit : accumulator.getDigits())
    if (digit.level == Level::Warp)
      digits.push_back({Level::Warp, Dim::M, digit.extent,
                        digit.dim == side ? digit.stride : 0});
  return DigitsAttr::get(accumulator.getContext(), digits);
}

DigitsAttr moe::tile::sumFactorLayout(const TileGemm &gemm, int64_t columns) {
  AccReadOp read = gemm.read;
  auto accumulator = cast<FragType>(read.getResult().getType()).getLayout();
  if (!accumulator)
    return {};
  SmallVector<Digit> digits;
  if (columns > 1)
    digits.push_back({Level::Reg, Dim::N, columns, 1});
  for (const Digit &digit : accumulator.getDigits())
    digits.push_back({digit.level, Dim::M, digit.extent,
                      digit.dim == Dim::N ? digit.stride : 0});
  return DigitsAttr::get(accumulator.getContext(), digits);
}

static LogicalResult checkScaleType(DequantOp dequant, const AmdChip &chip) {
  if (!dequant.getScale())
    return success();
  Type scale = getTileElementType(dequant.getScale().getType());
  if (isa<Float32Type, BFloat16Type, Float16Type, Float8E8M0FNUType,
          Float8E4M3FNType>(scale))
    return success();
  return dequant.emitOpError()
         << chip.name << ": rule scale_type: weights are decoded by scales of "
         << "f32, bf16, f16, f8E4M3FN or powers of two, got " << scale;
}

/// What decoding in registers, or on the way to LDS, can do.
static LogicalResult checkDecoding(const TileGemm &gemm, const AmdChip &chip,
                                   int64_t unit) {
  for (LoadOp load : gemm.getUnpackFactors()) {
    auto [rows, cols] = getTileShape(load.getType());
    if (rows != gemm.cols)
      return load.emitOpError()
             << chip.name << ": rule scale_group: scales are one for each "
             << "weight row, got " << rows << " for " << gemm.cols;
  }
  if (gemm.unpack)
    return checkScaleType(gemm.unpack, chip);
  for (DequantOp dequant : {gemm.dequant, gemm.dequantA}) {
    if (!dequant)
      continue;
    Type stored = getTileElementType(dequant.getSource().getType());
    if (dequant.getFormat() == DequantFormat::Plain && !isFloat8(stored) &&
        !stored.isInteger(8))
      return dequant.emitOpError()
             << chip.name << ": rule packing: decoded in registers are values "
             << "of 4 bits, i8, f8E4M3FN and f8E5M2, got " << stored;
    if (gemm.promote && (gemm.scale || gemm.zero) && !dequant.getScale())
      return dequant.emitOpError()
             << chip.name << ": rule scale_place: packed weights are scaled "
             << "where they are decoded (b = operand of the scale plan), this "
             << "plan scales their products";
    if (failed(checkScaleType(dequant, chip)))
      return failure();
    int64_t extent = dequant == gemm.dequant ? gemm.cols : gemm.rows;
    for (Value factor : {dequant.getScale(), dequant.getZero()}) {
      if (!factor)
        continue;
      auto [rows, cols] = getTileShape(factor.getType());
      // What is scaled is a lane's run, or the sum over whole instructions.
      int64_t least = dequant.getUnrounded() ? unit : kDecodedRun;
      int64_t granule = gemm.step / cols;
      if (rows != extent || gemm.step % cols != 0 || granule % least != 0 ||
          (granule % unit != 0 && unit % granule != 0))
        return dequant.emitOpError()
               << chip.name << ": rule scale_group: scales are one for each "
               << "row and multiple of " << least << " columns, got " << rows
               << "x" << cols << " for " << extent << "x" << gemm.step;
    }
  }
  return success();
}

/// What a role that brings operands can do: those of a product that needs
/// nothing else, for a result that waves finish by themselves.
static LogicalResult checkLoadRole(const TileGemm &gemm, const AmdChip &chip) {
  int64_t threads = amdLoadThreads(gemm);
  KernelOp kernel = gemm.kernel;
  if (threads == 0)
    return success();
  if (threads % chip.waveSize != 0)
    return kernel.emitOpError()
           << chip.name << ": rule load_threads: whole waves of "
           << chip.waveSize << " threads bring operands, got " << threads;
  ForTilesOp tiles = gemm.tiles;
  if (gemm.dequant || gemm.dequantA || gemm.promote ||
      !tiles.getBody().getOps<RowReduceOp>().empty())
    return kernel.emitOpError()
           << chip.name << ": rule load_role: a role brings operands of plain "
           << "products; this kernel "
           << (gemm.dequant || gemm.dequantA
                   ? "decodes operands beside the product"
               : gemm.promote ? "scales every product into a sum"
                              : "quantises its result");
  return success();
}

int64_t moe::tile::amdLoadThreads(const TileGemm &gemm) {
  return gemm.config.getInt("load_threads");
}

FailureOr<DigitsAttr> moe::tile::unpackFactorLayout(const TileGemm &gemm,
                                                    const AmdChip &chip,
                                                    int64_t columns,
                                                    int64_t threads) {
  DequantOp unpack = gemm.unpack;
  auto [rows, bytes] = getTileShape(unpack.getSource().getType());
  bytes *=
      getTileElementType(unpack.getSource().getType()).getIntOrFloatBitWidth() /
      8;
  if (bytes != 32 && bytes != 64 && bytes != 128)
    return unpack.emitOpError()
           << chip.name << ": rule k_step: rows of packed weights have 32, "
           << "64 or 128 bytes, got " << bytes;
  int64_t pieces = bytes / kVectorBytes;
  int64_t values = gemm.step / pieces;
  if (gemm.step % columns != 0 || (gemm.step / columns) % values != 0)
    return unpack.emitOpError()
           << chip.name << ": rule scale_group: scales are one for each "
           << "weight row and multiple of " << values << " columns, got "
           << columns << " for " << gemm.step << " columns";
  // Pieces of a row are a power of two, fewer than lanes. Waves behind the last
  // row have nothing to decode, and the factors of others.
  int64_t pass = threads / pieces, rowsOfWave = chip.waveSize / pieces;
  int64_t held = std::min(rows, pass);
  if (rows % held != 0 || pass % held != 0 || held % rowsOfWave != 0)
    return unpack.emitOpError()
           << chip.name << ": rule load_threads: " << threads
           << " threads do not share " << rows << " rows of " << pieces
           << " pieces of " << kVectorBytes << " bytes evenly";
  SmallVector<Digit> digits;
  for (const Digit &digit :
       {Digit{Level::Reg, Dim::M, rows / held, held},
        Digit{Level::Lane, Dim::M, pieces / columns, 0},
        Digit{Level::Lane, Dim::N, columns, 1},
        Digit{Level::Lane, Dim::M, rowsOfWave, 1},
        Digit{Level::Warp, Dim::M, held / rowsOfWave, rowsOfWave},
        Digit{Level::Warp, Dim::M, pass / held, 0}})
    if (digit.extent > 1)
      digits.push_back(digit);
  return DigitsAttr::get(unpack.getContext(), digits);
}

/// Waves along m and n, the rest of the tile in registers. Waves stand next to
/// each other, so that columns far apart (gate and up) meet in one lane.
static DigitsAttr shareTile(const TileGemm &gemm, AtomAttr atom, int64_t wavesM,
                            int64_t wavesN) {
  return instructionLayout(atom)
      .distribute(Level::Warp, wavesM, wavesN)
      .repeat(gemm.rows / (atom.getN() * wavesM),
              gemm.cols / (atom.getM() * wavesN));
}

/// Whether every split of the tile and its column factors go by registers.
static bool suitsEpilogue(const TileGemm &gemm, DigitsAttr layout) {
  bool suits = true;
  ForTilesOp(gemm.tiles).walk([&](SplitOp split) {
    if (split.getSource().getType().getCols() == gemm.cols)
      suits &= bool(splitLayout(layout, split.getBlock()));
  });
  if (PromoteOp promote = gemm.promote; promote && promote.getCol()) {
    auto [rows, cols] = getTileShape(promote.getCol().getType());
    auto factor =
        FragType::get(layout.getContext(), rows, cols,
                      Float32Type::get(layout.getContext()), DigitsAttr());
    suits &= bool(colFactorLayout(layout, factor));
  }
  return suits;
}

/// The layout by which `waves` waves share the tile, null if there is none.
/// Parts that are about square read least from LDS.
static DigitsAttr shareAmong(const TileGemm &gemm, AtomAttr atom,
                             int64_t waves) {
  DigitsAttr best;
  int64_t least = 0;
  for (int64_t wavesM = 1; wavesM <= waves; wavesM *= 2) {
    int64_t wavesN = waves / wavesM;
    if (gemm.rows % (atom.getN() * wavesM) != 0 ||
        gemm.cols % (atom.getM() * wavesN) != 0)
      continue;
    DigitsAttr layout = shareTile(gemm, atom, wavesM, wavesN);
    int64_t cost = gemm.rows / wavesM + gemm.cols / wavesN;
    if (!suitsEpilogue(gemm, layout) || (best && cost >= least))
      continue;
    least = cost;
    best = layout;
  }
  return best;
}

/// Rows of tokens and of weights that a wave reads from LDS in a step.
static int64_t rowsRead(const TileGemm &gemm, DigitsAttr layout) {
  int64_t across[] = {1, 1};
  for (const Digit &digit : layout.getDigits())
    if (digit.level == Level::Warp)
      across[digit.dim == Dim::M ? 0 : 1] *= digit.extent;
  return gemm.rows / across[0] + gemm.cols / across[1];
}

/// Leaves of `found` what can be shared among waves, at least by one, and what
/// the configuration names, if it names an instruction.
static LogicalResult keepFitting(const TileGemm &gemm, const AmdChip &chip,
                                 SmallVectorImpl<const AmdMatrixOp *> &found) {
  if (found.empty())
    return success();
  KernelOp kernel = gemm.kernel;
  MLIRContext *context = kernel.getContext();
  StringRef wanted = gemm.config.getString("atom");
  std::string known;
  llvm::erase_if(found, [&](const AmdMatrixOp *op) {
    std::string text =
        llvm::formatv("{0} {1}x{2}x{3}, swap", op->family, op->m, op->n, op->k);
    if (op->scaled && !shareAmong(gemm, atomOf(context, *op), 1))
      return true;
    known += (known.empty() ? "" : " or ") + text;
    return !wanted.empty() && wanted != text;
  });
  if (!found.empty() || wanted.empty())
    return success();
  return kernel.emitOpError()
         << chip.name << ": rule atom: " << wanted
         << " of the configuration does not fit, these operands and this tile "
         << "have " << known;
}

FailureOr<AmdTile> moe::tile::chooseAmdTile(const TileGemm &gemm,
                                            const AmdChip &chip) {
  KernelOp kernel = gemm.kernel;
  MmaOp mma = gemm.mma;
  MLIRContext *context = kernel.getContext();
  Type elements[] = {getTileElementType(mma.getA().getType()),
                     getTileElementType(mma.getB().getType())};
  std::optional<AmdOperand> operand = operandOf(elements[0]);
  const AmdMatrixOp *instruction =
      operand ? chip.findMatrixOp(*operand) : nullptr;
  // Without 8-bit products, those of f16, which holds all the values.
  if (isFloat8(elements[0]) && !instruction && chip.fp8 == AmdFp8::None)
    instruction = chip.findMatrixOp(AmdOperand::F16);
  // Scales are left to the instruction where there is one.
  SmallVector<const AmdMatrixOp *> fitting = findScaled(gemm, chip);
  if (instruction)
    fitting.push_back(instruction);
  if (failed(keepFitting(gemm, chip, fitting)))
    return failure();
  if (!fitting.empty())
    instruction = fitting.front();
  const AmdMatrixOp *scaled =
      instruction && instruction->scaled ? instruction : nullptr;
  bool mixed = isFloat8(elements[0]) && isFloat8(elements[1]);
  if (!instruction || (elements[0] != elements[1] && !mixed)) {
    InFlightDiagnostic error = kernel.emitOpError()
                               << chip.name
                               << ": rule matrix_operand: " << chip.family
                               << " has no matrix instruction for "
                               << elements[0] << " by " << elements[1];
    if (elements[0].isF32())
      error << "; use bf16 or f16, or a target that has one: cpu, gfx942, "
               "gfx950";
    return error;
  }
  int64_t bytes = elements[0].getIntOrFloatBitWidth() / 8;
  if (gemm.rows % kSide != 0 || gemm.cols % kSide != 0)
    return kernel.emitOpError()
           << chip.name << ": rule block: a tile is whole pieces of " << kSide
           << "x" << kSide << ", got " << gemm.rows << "x" << gemm.cols;
  // A lane reads whole vectors, lanes of one row different ones.
  int64_t groups = instruction->k / instruction->valuesPerLane;
  int64_t unit =
      groups * std::max(instruction->valuesPerLane, kVectorBytes / bytes);
  if (gemm.step % unit != 0)
    return kernel.emitOpError()
           << chip.name << ": rule k_step: step " << gemm.step
           << " is not a multiple of " << unit << ", what the lanes of "
           << instruction->family << " read at once";
  if (failed(checkDecoding(gemm, chip, scaled ? kScaledRun : unit)) ||
      failed(checkLoadRole(gemm, chip)))
    return failure();
  AtomAttr atom = atomOf(context, *instruction);

  int64_t threads = gemm.config.getInt("compute_threads");
  bool fewer = threads == 0;
  if (fewer)
    // Small tiles leave more than four waves of 32 lanes nothing to do.
    threads =
        chip.waveSize == 64 || gemm.rows * gemm.cols >= 64 * 128 ? 256 : 128;
  int64_t waves = threads / chip.waveSize;
  if (threads % chip.waveSize != 0 || threads > chip.maxThreads ||
      !llvm::isPowerOf2_64(waves))
    return kernel.emitOpError()
           << chip.name << ": rule workgroup: 1, 2, 4, ... waves of "
           << chip.waveSize << " threads, at most " << chip.maxThreads
           << " threads, got " << threads;

  // Half of the registers are for sums.
  bool twice = gemm.promote || gemm.scalesSums();
  int64_t sums = gemm.rows * gemm.cols / chip.waveSize * (twice ? 2 : 1);
  while (fewer && sums / waves > chip.maxVgprs / 2 &&
         waves * 2 * chip.waveSize <= chip.maxThreads)
    waves *= 2;
  // Enough products between two barriers. One that takes scales is as long as
  // two others, of 32 rows as four.
  int64_t products = gemm.rows * gemm.cols / (instruction->m * instruction->n) *
                     (gemm.step / instruction->k);
  if (scaled)
    products *= instruction->m == kSide ? 2 : 4;
  while (fewer && waves > 1 && products / waves < kProducts)
    waves /= 2;
  DigitsAttr layout = shareAmong(gemm, atom, waves);
  for (; !layout && fewer && waves > 1; layout = shareAmong(gemm, atom, waves))
    waves /= 2;
  if (!layout)
    return kernel.emitOpError()
           << chip.name << ": rule waves: " << waves
           << " waves cannot share a tile of " << gemm.rows << "x" << gemm.cols
           << " so that its gate and up columns meet in one lane";
  AmdTile best{atom, layout};
  // A larger instruction where the part of a wave is whole ones: half as many
  // of them, each operand read from registers for twice the products. Not at
  // the price of more from LDS.
  for (const AmdMatrixOp *other : fitting) {
    if (!other->scaled || other->m <= best.atom.getM())
      continue;
    AtomAttr larger = atomOf(context, *other);
    DigitsAttr shared = shareAmong(gemm, larger, waves);
    if (shared && rowsRead(gemm, shared) <= rowsRead(gemm, best.layout))
      best = {larger, shared};
  }
  int64_t accumulators = best.layout.getLevelSize(Level::Reg);
  if (accumulators + kOtherRegisters > chip.maxVgprs)
    return kernel.emitOpError()
           << chip.name << ": rule registers: a tile of " << gemm.rows << "x"
           << gemm.cols << " on " << best.getThreads(chip) << " threads needs "
           << accumulators << " accumulator registers of a lane and about "
           << kOtherRegisters << " more, there are " << chip.maxVgprs;
  return best;
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

/// Rows of memory start at whole vectors.
static LogicalResult checkVectors(LoadOp load, const AmdChip &chip) {
  MemRefType memory = load.getMemory().getType();
  int64_t bytes = memory.getElementTypeBitWidth() / 8;
  int64_t columns = memory.getShape().back();
  auto access = cast<TileAccess>(load.getOperation());
  int64_t rank = memory.getRank();
  if (memory.getLayout().isIdentity() && !ShapedType::isDynamic(columns) &&
      columns * bytes % kVectorBytes == 0 &&
      access.getMemoryDim(1) == rank - 1 && access.getGranuleOf(rank - 1) == 1)
    return success();
  return load.emitOpError()
         << chip.name << ": rule alignment: operands are read by "
         << kVectorBytes << " bytes of a row, the rows of " << memory
         << " are not whole vectors";
}

/// Copies straight to LDS: the lanes of a wave fill neighbouring bytes, and
/// nothing can be changed on the way.
static LogicalResult checkDirect(const TileGemm &gemm, const AmdChip &chip) {
  KernelOp kernel = gemm.kernel;
  auto refuse = [&]() {
    return kernel.emitOpError() << chip.name << ": rule lds_direct: ";
  };
  if (chip.directToLdsBytes == 0)
    return refuse() << chip.family << " has no loads from memory to LDS";
  if (gemm.k % gemm.step != 0)
    return refuse() << "a last step is filled up with zeros in registers, "
                    << gemm.k << " columns are not whole steps of "
                    << gemm.step;
  AccReadOp read = gemm.read;
  DigitsAttr layout = cast<FragType>(read.getResult().getType()).getLayout();
  int64_t wave = chip.waveSize * chip.directToLdsBytes;
  int64_t threads = layout.getLevelSize(Level::Warp) * chip.waveSize;
  if (threads * chip.directToLdsBytes % kSwizzlePeriod != 0)
    return refuse() << threads << " threads fill "
                    << threads * chip.directToLdsBytes
                    << " bytes at once, not whole swizzles of "
                    << kSwizzlePeriod;
  for (LoadOp load : {gemm.a, gemm.b}) {
    auto type = cast<BufType>(load.getType());
    Type element = type.getElementType();
    if (chip.fp8 == AmdFp8::Fnuz &&
        isa<Float8E4M3FNType, Float8E5M2Type>(element))
      return refuse() << "negative zeros of " << element
                      << " are NaN to the chip and cleared in registers";
    if (type.getSizeInBytes() % wave != 0)
      return refuse() << type << " has " << type.getSizeInBytes()
                      << " bytes, a wave fills " << wave;
  }
  return success();
}

LogicalResult moe::tile::assignAmdCopies(const TileGemm &gemm,
                                         const AmdChip &chip) {
  SmallVector<LoadOp> loads = slotLoads(gemm);
  llvm::append_range(loads, gemm.getFactors());
  if (gemm.scaleA)
    loads.push_back(gemm.scaleA);
  llvm::append_range(loads, gemm.getUnpackFactors());
  bool direct[2];
  for (int i : {0, 1}) {
    LoadOp load = i == 0 ? gemm.a : gemm.b;
    StringRef wanted = gemm.config.getString(i == 0 ? "a" : "b");
    direct[i] = load.getHow() ? *load.getHow() == How::LdsDirect
                              : wanted == "lds_direct";
  }
  if (direct[0] != direct[1])
    return KernelOp(gemm.kernel).emitOpError()
           << chip.name << ": rule lds_direct: both operands are copied "
           << "straight to LDS, or none";
  if (direct[0] && (gemm.unpack || amdLoadThreads(gemm)))
    return KernelOp(gemm.kernel).emitOpError()
           << chip.name << ": rule lds_direct: all threads copy, and nothing "
           << "is decoded on the way";
  if (direct[0] && failed(checkDirect(gemm, chip)))
    return failure();
  for (LoadOp load : loads) {
    bool operand = load == gemm.a || load == gemm.b;
    How how = !operand    ? How::Element
              : direct[0] ? How::LdsDirect
                          : How::Vector;
    if (operand && failed(checkVectors(load, chip)))
      return failure();
    load.setHow(how);
  }
  for (Operation &op : ForTilesOp(gemm.tiles).getBody().front()) {
    auto access = dyn_cast<TileAccess>(&op);
    if (!access || op.hasAttr("how"))
      continue;
    auto [rows, cols] = access.getTileShape();
    How how = rows == 1 || cols == 1 ? How::Element : How::Vector;
    if (auto load = dyn_cast<LoadOp>(op))
      load.setHow(how);
    else if (auto store = dyn_cast<StoreOp>(op))
      store.setHow(how);
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Buffers
//===----------------------------------------------------------------------===//

LogicalResult moe::tile::formAmdBuffers(TileGemm &gemm, const AmdChip &chip) {
  KernelOp kernel = gemm.kernel;
  Block &compute = gemm.loop.getCompute().front();
  int64_t slot = 0;
  Value operands[] = {LoadOp(gemm.a).getResult(), gemm.getStoredB()};
  for (auto [i, operand] : llvm::enumerate(operands)) {
    auto type = cast<BufType>(operand.getType());
    int64_t row =
        type.getCols() * type.getElementType().getIntOrFloatBitWidth() / 8;
    // The period of the XOR that spreads rows over the banks.
    if (row != 32 && row != 64 && row != 128)
      return kernel.emitOpError()
             << chip.name << ": rule k_step: a row of a stage has 32, 64 or "
             << "128 bytes, " << type.getCols() << " columns have " << row;
    auto swizzled = BufType::get(type.getContext(), type.getRows(),
                                 type.getCols(), type.getElementType(), row, 0);
    operand.setType(swizzled);
    compute.getArgument(1 + i).setType(swizzled);
    slot += swizzled.getSizeInBytes();
  }
  int64_t stages = gemm.loop.getStages().value_or(0);
  if (stages == 0)
    stages = gemm.config.getInt("stages");
  int64_t limit = std::min<int64_t>(
      chip.ldsBytes, kernel.getSmemLimit().value_or(chip.ldsBytes));
  if (stages < 1 || stages > 2)
    return kernel.emitOpError()
           << chip.name << ": rule stages: operands stand in 1 or 2 stages, "
           << "got " << stages;
  if (amdLoadThreads(gemm) && stages != 2)
    return kernel.emitOpError()
           << chip.name << ": rule stages: a load role fills one stage while "
           << "the other is multiplied, got " << stages;
  bool direct = *gemm.a.getHow() == How::LdsDirect;
  if (direct && stages != 2)
    return kernel.emitOpError()
           << chip.name << ": rule lds_direct: one of 2 stages is filled while "
           << "the other is multiplied, got " << stages;
  if (stages * slot > limit)
    return kernel.emitOpError()
           << chip.name << ": rule lds: " << stages << " stages of " << slot
           << " bytes need " << stages * slot << " bytes of LDS, limit is "
           << limit;
  gemm.loop.setStages(stages);
  kernel.setSmemLimit(limit);
  return success();
}
