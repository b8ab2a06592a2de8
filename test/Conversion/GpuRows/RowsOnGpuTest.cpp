//===- RowsOnGpuTest.cpp - Row kernels, emulated against interpreted ------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One sequential tile kernel is run on the same random data by the tile
// interpreter and, lowered to NVVM and for every AMD chip, by the emulator with
// all its detectors.
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/AMDGPU/IR/AMDGPUDialect.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "moec/Conversion/Passes.h"
#include "moec/Dialect/Moe/IR/MoeDialect.h"
#include "moec/Dialect/MoeNv/IR/MoeNv.h"
#include "moec/Emulator/Emulator.h"
#include "moec/Reference/TileInterpreter.h"
#include "moec/Support/ElementType.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir;
using namespace mlir::moe;

namespace {
/// One argument of a kernel: memory of some type, or a number.
struct Data {
  std::string type; ///< "i32", "f32", "bf16", "i8"; empty: `number`
  std::vector<int64_t> shape;
  std::vector<double> values; ///< empty: not initialised
  int64_t number = 0;
};

/// A kernel @k and its arguments.
struct Case {
  std::string text;
  std::vector<Data> data;
};

class Session {
public:
  Session() {
    DialectRegistry registry;
    registry.insert<amdgpu::AMDGPUDialect, arith::ArithDialect,
                    cf::ControlFlowDialect, func::FuncDialect,
                    LLVM::LLVMDialect, math::MathDialect, memref::MemRefDialect,
                    NVVM::NVVMDialect, ROCDL::ROCDLDialect, MoeDialect,
                    nv::MoeNvDialect, scf::SCFDialect, tensor::TensorDialect,
                    tile::MoeTileDialect, vector::VectorDialect>();
    context.appendDialectRegistry(registry);
  }

  /// The kernel whose name ends in `suffix`, made by moe-to-tile if the text
  /// is a function; alone in its module.
  std::string kernelOf(StringRef text, StringRef suffix) {
    OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
    EXPECT_TRUE(module) << text.str();
    if (!module)
      return {};
    PassManager passes(&context);
    MoeToTileOptions options;
    options.routing = "op";
    options.pdl = true;
    passes.addPass(createMoeToTile(options));
    passes.addPass(createCanonicalizerPass());
    EXPECT_TRUE(succeeded(passes.run(*module)));
    std::string result;
    llvm::raw_string_ostream os(result);
    for (auto kernel : module->getOps<tile::KernelOp>())
      if (kernel.getSymName().ends_with(suffix)) {
        kernel.setSymName("k");
        kernel.print(os);
      }
    return result;
  }

  /// Interprets kernel @k of `text` and emulates it on all chips; every defined
  /// number of the interpreter's must come out, within `tolerance` of the
  /// largest.
  void compare(StringRef text, const std::vector<Data> &data, uint64_t seed,
               double tolerance = 0);

  /// Interprets, then emulates the kernel on `chip` once for each exchange
  /// between lanes and each barrier with that one spoilt; every time something
  /// must be wrong. Returns how many there are.
  int64_t mutate(StringRef text, StringRef chip, const std::vector<Data> &data,
                 double tolerance = 0);

private:
  /// Parses and interprets; null after a failure.
  OwningOpRef<ModuleOp> interpret(StringRef text, const std::vector<Data> &data,
                                  std::vector<tile::TileArgument> &arguments);
  /// Lowers the kernel for a chip.
  void lower(ModuleOp module, StringRef chip);
  /// Emulates a kernel that is lowered; returns what is wrong first, or "".
  std::string emulate(ModuleOp module, StringRef chip,
                      const std::vector<Data> &data,
                      ArrayRef<tile::TileArgument> interpreted, uint64_t seed,
                      double tolerance);

  MLIRContext context;
};
} // namespace

static Type typeOf(MLIRContext *context, StringRef name) {
  Builder b(context);
  if (name == "f32")
    return b.getF32Type();
  if (name == "bf16")
    return b.getBF16Type();
  if (name == "f8E4M3FN")
    return Float8E4M3FNType::get(context);
  if (name == "f8E5M2")
    return Float8E5M2Type::get(context);
  if (name == "f8E8M0FNU")
    return Float8E8M0FNUType::get(context);
  return b.getIntegerType(name == "i8" ? 8 : 32);
}

static std::vector<uint8_t> bytesOf(const Data &data, int64_t count) {
  ElementType type = *parseElementType(data.type);
  size_t width = getBitWidth(type) / 8;
  std::vector<uint8_t> bytes(count * width, 0xA5);
  for (size_t i = 0; i < data.values.size(); ++i) {
    uint64_t code =
        isFloatType(type)
            ? encode(type, data.values[i])
            : static_cast<uint64_t>(static_cast<int64_t>(data.values[i]));
    std::memcpy(&bytes[i * width], &code, width);
  }
  return bytes;
}

static double numberAt(ArrayRef<uint8_t> bytes, ElementType type, size_t i) {
  size_t width = getBitWidth(type) / 8;
  uint64_t code = 0;
  std::memcpy(&code, &bytes[i * width], width);
  if (isFloatType(type))
    return decode(type, code);
  return width == 1 ? static_cast<int8_t>(code) : static_cast<int32_t>(code);
}

static int64_t countOf(const Data &data) {
  int64_t count = 1;
  for (int64_t n : data.shape)
    count *= n;
  return count;
}

/// Of which chips kernels are run; empty: Hopper.
static const char *const chips[] = {"",        "gfx942",  "gfx950",
                                    "gfx1100", "gfx1151", "gfx1201"};

OwningOpRef<ModuleOp>
Session::interpret(StringRef text, const std::vector<Data> &data,
                   std::vector<tile::TileArgument> &arguments) {
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
  EXPECT_TRUE(module);
  if (!module)
    return {};
  for (const Data &d : data) {
    tile::TileArgument argument;
    if (d.type.empty()) {
      argument.scalar = tile::HostScalar::ofInt(d.number);
    } else {
      argument.buffer = std::make_shared<tile::HostBuffer>();
      argument.buffer->element = typeOf(&context, d.type);
      argument.buffer->shape.assign(d.shape.begin(), d.shape.end());
      bool isFloat = isa<FloatType>(argument.buffer->element);
      for (int64_t i = 0, e = countOf(d); i < e; ++i)
        argument.buffer->data.push_back(
            d.values.empty() ? tile::HostScalar::ofUndefined()
            : isFloat        ? tile::HostScalar::ofFloat(d.values[i])
                             : tile::HostScalar::ofInt(d.values[i]));
    }
    arguments.push_back(argument);
  }
  EXPECT_TRUE(succeeded(tile::interpretTileProgram(*module, "k", arguments)));
  return module;
}

void Session::compare(StringRef text, const std::vector<Data> &data,
                      uint64_t seed, double tolerance) {
  SCOPED_TRACE(text.str());
  std::vector<tile::TileArgument> arguments;
  OwningOpRef<ModuleOp> module = interpret(text, data, arguments);
  ASSERT_TRUE(module);
  for (StringRef chip : chips) {
    SCOPED_TRACE(chip.str());
    OwningOpRef<ModuleOp> copy = module->clone();
    lower(*copy, chip);
    EXPECT_EQ("", emulate(*copy, chip, data, arguments, seed, tolerance));
  }
}

/// Does without a barrier, or spoils what an exchange between lanes brings: a
/// lane that kept its own value would often be right by chance. False for other
/// ops.
static bool damage(Operation *op) {
  if (isa<amdgpu::LDSBarrierOp, NVVM::BarrierOp>(op)) {
    op->erase();
    return true;
  }
  if (!isa<ROCDL::DPPUpdateOp, ROCDL::ReadlaneOp, ROCDL::DsBpermuteOp,
           ROCDL::DsSwizzleOp>(op))
    return false;
  OpBuilder b(op);
  bool isMinimum = llvm::any_of(op->getUsers(), [](Operation *user) {
    return isa<arith::MinSIOp>(user);
  });
  int32_t wrong = isMinimum ? -0x5A5A5A5A : 0x5A5A5A5A;
  TypedAttr value = b.getI32IntegerAttr(wrong);
  if (op->getResult(0).getType().isF32())
    value = b.getF32FloatAttr(std::numeric_limits<float>::quiet_NaN());
  op->replaceAllUsesWith(
      arith::ConstantOp::create(b, op->getLoc(), value)->getResults());
  op->erase();
  return true;
}

int64_t Session::mutate(StringRef text, StringRef chip,
                        const std::vector<Data> &data, double tolerance) {
  std::vector<tile::TileArgument> arguments;
  OwningOpRef<ModuleOp> module = interpret(text, data, arguments);
  if (!module)
    return 0;
  lower(*module, chip);
  EXPECT_EQ("", emulate(*module, chip, data, arguments, 0, tolerance));
  int64_t mutants = 0;
  for (int64_t number = 0;; ++number) {
    OwningOpRef<ModuleOp> copy = module->clone();
    // The operation of that number, counted through the kernel.
    int64_t next = 0;
    Operation *victim = nullptr;
    copy->walk([&](Operation *op) {
      if (next++ == number)
        victim = op;
    });
    if (!victim)
      return mutants;
    std::string name;
    llvm::raw_string_ostream(name) << *victim;
    if (!damage(victim))
      continue;
    ++mutants;
    EXPECT_NE("", emulate(*copy, chip, data, arguments, 0, tolerance))
        << chip.str() << " with a spoilt " << name;
  }
}

void Session::lower(ModuleOp module, StringRef chip) {
  PassManager passes(&context);
  if (chip.empty()) {
    passes.addPass(createConvertMoeTileRowsToNVVM());
  } else {
    ConvertMoeTileRowsToROCDLOptions options;
    options.chip = chip.str();
    passes.addPass(createConvertMoeTileRowsToROCDL(options));
  }
  passes.addPass(createCanonicalizerPass());
  ASSERT_TRUE(succeeded(passes.run(module)));
}

std::string Session::emulate(ModuleOp module, StringRef chip,
                             const std::vector<Data> &data,
                             ArrayRef<tile::TileArgument> interpreted,
                             uint64_t seed, double tolerance) {
  auto func = module.lookupSymbol<LLVM::LLVMFuncOp>("k");
  if (!func)
    return "no function";
  auto launchAttr = func->getAttrOfType<DictionaryAttr>("moe.launch");
  auto emulator = emu::Emulator::create(module, chip);
  if (!emulator)
    return llvm::toString(emulator.takeError());
  std::vector<std::vector<uint8_t>> memory;
  for (const Data &d : data) {
    memory.push_back(d.type.empty() ? std::vector<uint8_t>()
                                    : bytesOf(d, countOf(d)));
    if (!memory.back().empty())
      (*emulator)->registerBuffer(
          memory.back().data(), memory.back().size(),
          "argument " + std::to_string(memory.size() - 1), !d.values.empty());
  }
  auto number = [](DictionaryAttr d, StringRef name) {
    return d.getAs<IntegerAttr>(name).getInt();
  };
  auto shape = [&](StringRef name) {
    std::array<uint32_t, 3> result;
    auto list = launchAttr.getAs<DenseI64ArrayAttr>(name);
    std::copy_n(list.asArrayRef().begin(), 3, result.begin());
    return result;
  };
  emu::Launch launch;
  launch.kernel = "k";
  launch.block = shape("block");
  launch.cluster = shape("cluster");
  launch.smem = number(launchAttr, "smem");
  launch.earlyStart = launchAttr.contains("early_start");
  Attribute grid = launchAttr.getAs<ArrayAttr>("grid")[0];
  if (auto fixed = dyn_cast<IntegerAttr>(grid)) {
    launch.grid = {uint32_t(fixed.getInt()), 1, 1};
  } else {
    auto d = cast<DictionaryAttr>(grid);
    int64_t extent = data[number(d, "operand")].shape[number(d, "dim")];
    launch.grid = {
        uint32_t(llvm::divideCeil(extent * number(d, "mul") + number(d, "add"),
                                  number(d, "div"))),
        1, 1};
  }
  if (launch.grid[0] == 0)
    return ""; // nothing to do, and nothing is launched
  for (Attribute p : launchAttr.getAs<ArrayAttr>("params")) {
    auto d = cast<DictionaryAttr>(p);
    int64_t operand = number(d, "operand");
    if (d.contains("dim"))
      launch.args.push_back(
          emu::Argument::value(int32_t(data[operand].shape[number(d, "dim")])));
    else if (d.contains("type"))
      launch.args.push_back(
          emu::Argument::value(int32_t(data[operand].number)));
    else if (memory[operand].empty())
      launch.args.push_back(emu::Argument::value(uint64_t(0)));
    else
      launch.args.push_back(emu::Argument::pointer(memory[operand].data()));
  }
  emu::Options options;
  options.seed = seed;
  auto reports = (*emulator)->run({launch}, options);
  if (!reports)
    return llvm::toString(reports.takeError());
  if (!reports->empty())
    return reports->front().text;

  for (auto [i, d] : llvm::enumerate(data)) {
    if (d.type.empty())
      continue;
    ElementType type = *parseElementType(d.type);
    const auto &expected = interpreted[i].buffer->data;
    double largest = 0;
    for (const tile::HostScalar &v : expected)
      if (isFloatType(type) && !v.undefined && std::isfinite(v.f))
        largest = std::max(largest, std::fabs(v.f));
    for (int64_t at = 0, e = countOf(d); at < e; ++at) {
      if (expected[at].undefined)
        continue;
      double want = isFloatType(type) ? expected[at].f
                                      : static_cast<double>(expected[at].i);
      double got = numberAt(memory[i], type, at);
      if (want == got || (std::isnan(want) && std::isnan(got)) ||
          std::fabs(want - got) <= tolerance * largest)
        continue;
      std::string text;
      llvm::raw_string_ostream(text)
          << "argument " << i << "[" << at << "] is " << got << ", interpreted "
          << want << ", seed " << seed;
      return text;
    }
  }
  return "";
}

//===----------------------------------------------------------------------===//
// Data
//===----------------------------------------------------------------------===//

static Data numbers(std::string type, std::vector<int64_t> shape,
                    std::mt19937 &random) {
  Data data{type, shape, {}, 0};
  int64_t count = 1;
  for (int64_t n : shape)
    count *= n;
  std::normal_distribution<double> normal;
  ElementType element = *parseElementType(type);
  for (int64_t i = 0; i < count; ++i)
    data.values.push_back(decode(element, encode(element, normal(random))));
  return data;
}

static Data integers(std::vector<int64_t> shape, int64_t low, int64_t high,
                     std::mt19937 &random) {
  Data data{"i32", shape, {}, 0};
  int64_t count = 1;
  for (int64_t n : shape)
    count *= n;
  for (int64_t i = 0; i < count; ++i)
    data.values.push_back(low +
                          static_cast<int64_t>(random() % (high - low + 1)));
  return data;
}

static Data empty(std::string type, std::vector<int64_t> shape) {
  return {type, shape, {}, 0};
}

//===----------------------------------------------------------------------===//
// Align
//===----------------------------------------------------------------------===//

namespace {
struct AlignCase {
  int64_t tokens, experts, topk, blockM, pad, threads, cluster;
  bool map = false;
  int64_t real = -1; ///< -1: no token count on the device
  /// Ids: any, from -2 to two beyond the experts; of one expert alone; none.
  enum { Any, One, None } ids = Any;
};
void PrintTo(const AlignCase &c, std::ostream *os) {
  *os << c.tokens << " tokens, " << c.experts << " experts, cluster "
      << c.cluster << " x " << c.threads;
}
class Align : public testing::TestWithParam<AlignCase> {};
} // namespace

static Case makeAlign(const AlignCase &c) {
  std::mt19937 random(c.tokens + 17 * c.experts);
  std::string topk = std::to_string(c.topk);
  int64_t low = -2, high = c.experts + 2;
  if (c.ids != AlignCase::Any)
    low = high = c.ids == AlignCase::One ? c.experts - 1 : -1;
  std::vector<Data> data{integers({c.tokens, c.topk}, low, high, random)};
  std::string arguments = "%ids: memref<?x" + topk + "xi32>";
  std::string clauses = "ids(%ids : memref<?x" + topk + "xi32>)";
  if (c.map) {
    data.push_back(integers({c.experts + 1}, -3, c.experts, random));
    arguments += ", %map: memref<?xi32>";
    clauses += " map(%map : memref<?xi32>)";
  }
  data.push_back({"", {}, {}, c.tokens});
  arguments += ", %t: index";
  clauses += " tokens(%t)";
  if (c.real >= 0) {
    data.push_back({"i32", {1}, {double(c.real)}, 0});
    arguments += ", %n: memref<1xi32>";
    clauses += " device_tokens(%n : memref<1xi32>)";
  }
  int64_t slots = c.tokens * c.topk;
  data.push_back(empty("i32", {slots + c.experts * (c.pad - 1)}));
  data.push_back(empty("i32", {slots}));
  data.push_back(empty("i32", {slots}));
  data.push_back(empty(
      "i32",
      {int64_t(llvm::divideCeil(slots + c.experts * c.blockM, c.blockM)), 4}));
  data.push_back(empty("i32", {1}));
  std::string text =
      "moe_tile.kernel @k(" + arguments +
      ", %slots: memref<?xi32>, %places: memref<?xi32>, "
      "%valid: memref<?xi32>, %table: memref<?x4xi32>, %count: memref<1xi32>) "
      "attributes {exec = #moe_tile.exec<threads = " +
      std::to_string(c.threads) + ", cluster = " + std::to_string(c.cluster) +
      ">} {\n  moe_tile.await_launch\n  moe_tile.align " + clauses +
      " to(%slots, %places, %valid, %table, %count : memref<?xi32>, "
      "memref<?xi32>, memref<?xi32>, memref<?x4xi32>, memref<1xi32>) experts " +
      std::to_string(c.experts) + " topk " + topk + " block_m " +
      std::to_string(c.blockM) + " pad " + std::to_string(c.pad) +
      "\n  moe_tile.return\n}\n";
  return {text, data};
}

TEST_P(Align, EmulatedIsInterpreted) {
  Case c = makeAlign(GetParam());
  Session session;
  for (uint64_t seed : {0, 5})
    session.compare(c.text, c.data, seed);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Align,
    testing::Values(
        AlignCase{1, 8, 2, 16, 1, 128, 1}, AlignCase{37, 12, 3, 4, 1, 128, 1},
        AlignCase{37, 12, 3, 4, 8, 128, 2},
        AlignCase{200, 130, 8, 64, 1, 256, 1, true},
        AlignCase{150, 33, 4, 16, 16, 128, 4, true, 77},
        AlignCase{9, 4, 4, 2, 1, 128, 8, false, 0},
        AlignCase{333, 64, 8, 16, 1, 128, 8, false, 400},
        // All rows of one expert; no row at all; no token.
        AlignCase{100, 16, 8, 16, 1, 256, 8, false, -1, AlignCase::One},
        AlignCase{70, 16, 4, 16, 16, 128, 1, false, -1, AlignCase::None},
        AlignCase{0, 16, 4, 16, 1, 128, 1},
        // More threads than experts, and the other way around.
        AlignCase{40, 3, 2, 16, 1, 1024, 1},
        AlignCase{64, 500, 10, 16, 1, 1024, 8}));

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

namespace {
struct CombineCase {
  int64_t tokens, cols, topk;
  std::string type, result;
  bool weights = false, add = false, gate = false;
};
void PrintTo(const CombineCase &c, std::ostream *os) {
  *os << c.tokens << " x " << c.cols << " of " << c.topk << " " << c.type;
}
class Combine : public testing::TestWithParam<CombineCase> {};
} // namespace

TEST_P(Combine, EmulatedIsInterpreted) {
  const CombineCase &c = GetParam();
  std::string k = std::to_string(c.topk), cols = std::to_string(c.cols);
  std::string kind = "!moe.routing<experts = 64, topk = " + k + ">";
  std::string d = "tensor<?x" + cols + "x" + c.type + ">";
  std::string y = "tensor<?x" + cols + "x" + c.result + ">";
  std::string arguments = "%d: " + d + ", %ids: tensor<?x" + k + "xi32>";
  std::string clauses;
  std::mt19937 random(c.tokens + c.cols);
  int64_t slots = c.tokens * c.topk;
  Data rows{"i32", {slots}, {}, 0};
  Data partial = numbers(c.type, {slots, c.cols}, random);
  Data weights = numbers("f32", {c.tokens, c.topk}, random);
  for (int64_t s = 0; s < slots; ++s) {
    bool absent = random() % 4 == 0 || s / c.topk == 1;
    rows.values.push_back(absent ? -1 : s);
    if (!absent)
      continue;
    // What is absent may hold anything.
    weights.values[s] = std::nan("");
    for (int64_t i = 0; i < c.cols; ++i)
      partial.values[s * c.cols + i] = std::nan("");
  }
  std::vector<Data> data{partial, rows};
  if (c.weights) {
    arguments += ", %w: tensor<?x" + k + "xf32>";
    clauses += " weights(%w : tensor<?x" + k + "xf32>)";
    data.push_back(weights);
  }
  if (c.add) {
    arguments += ", %add: tensor<?x" + cols + "xbf16>";
    clauses += " add(%add : tensor<?x" + cols + "xbf16>)";
    data.push_back(numbers("bf16", {c.tokens, c.cols}, random));
  }
  if (c.gate) {
    arguments += ", %gate: tensor<?xf32>";
    clauses += " add_gate(%gate : tensor<?xf32>)";
    data.push_back(numbers("f32", {c.tokens}, random));
  }
  data.push_back(empty(c.result, {c.tokens, c.cols}));
  Session session;
  std::string text = session.kernelOf(
      "func.func @l(" + arguments + ", %o: " + y + ") -> " + y +
          " {\n  %r = moe.align %ids : tensor<?x" + k + "xi32> -> " + kind +
          "\n  %y = moe.combine %d : " + d + clauses + " routing(%r : " + kind +
          ") layout = flat_topk outs(%o : " + y + ") -> " + y +
          "\n  return %y : " + y + "\n}\n",
      "_combine");
  // A sigmoid by exp2 is not the interpreter's.
  session.compare(text, data, 3, c.gate ? 1e-2 : 0);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Combine,
    testing::Values(CombineCase{5, 256, 4, "f32", "bf16"},
                    CombineCase{3, 200, 8, "bf16", "bf16", true},
                    CombineCase{4, 33, 2, "bf16", "f32"},
                    CombineCase{2, 1, 2, "f32", "f32", true},
                    CombineCase{3, 96, 32, "bf16", "bf16"},
                    CombineCase{6, 60, 2, "f32", "bf16", true, true, true}));

TEST(Rows, DispatchCopiesWhatHasAPlace) {
  std::mt19937 random(3);
  std::string kind = "!moe.routing<experts = 16, topk = 2>";
  Session session;
  std::string text = session.kernelOf(
      "func.func @l(%x: tensor<?x72xbf16>, %ids: tensor<?x2xi32>, "
      "%o: tensor<?x72xbf16>) -> tensor<?x72xbf16> {\n"
      "  %r = moe.align %ids : tensor<?x2xi32> -> " +
          kind +
          "\n  %y = moe.dispatch %x : tensor<?x72xbf16> routing(%r : " + kind +
          ") layout = expert_sorted outs(%o : tensor<?x72xbf16>) -> "
          "tensor<?x72xbf16>\n  return %y : tensor<?x72xbf16>\n}\n",
      "_dispatch");
  session.compare(text,
                  {numbers("bf16", {4, 72}, random),
                   {"i32", {8}, {3, -1, 0, 5, 1, 4, -1, 2}, 0},
                   empty("bf16", {8, 72})},
                  1);
}

static Case makeQuantize(Session &session, int64_t tokens, int64_t cols,
                         int64_t group, std::string type = "i8",
                         std::string scale = "f32") {
  std::mt19937 random(cols);
  int64_t groups = group ? llvm::divideCeil(cols, group) : 1;
  std::string c = std::to_string(cols), n = std::to_string(groups);
  std::string q = "tensor<?x" + c + "x" + type + ">",
              s = "tensor<?x" + n + "x" + scale + ">";
  std::string text = session.kernelOf(
      "#q = #moe.quant<" + type + ", granule = [1, " +
          (group ? std::to_string(group) : std::string("*")) +
          "], scale = " + scale + ">\nfunc.func @l(%x: tensor<?x" + c +
          "xbf16>, %o: " + q + ", %s: " + s + ") -> (" + q + ", " + s +
          ") {\n  %y:2 = moe.quantize %x : tensor<?x" + c +
          "xbf16> quant #q outs(%o, %s : " + q + ", " + s + ") -> " + q + ", " +
          s + "\n  return %y#0, %y#1 : " + q + ", " + s + "\n}\n",
      "_quantize");
  Data x = numbers("bf16", {tokens, cols}, random);
  if (tokens > 0)
    std::fill_n(x.values.begin(), group ? group : cols, 0.0);
  return {text,
          {x, empty(type, {tokens, cols}), empty(scale, {tokens, groups})}};
}

static void quantize(int64_t tokens, int64_t cols, int64_t group,
                     std::string type = "i8", std::string scale = "f32") {
  Session session;
  Case c = makeQuantize(session, tokens, cols, group, type, scale);
  session.compare(c.text, c.data, 2);
}

TEST(Rows, QuantizeGroupsOfLanes) { quantize(3, 512, 128); }
TEST(Rows, QuantizeShortLastGroup) { quantize(5, 328, 128); }
TEST(Rows, QuantizeWholeRowByOneBlock) { quantize(3, 2880, 0); }
TEST(Rows, QuantizeToFp8) { quantize(3, 512, 128, "f8E4M3FN"); }
TEST(Rows, QuantizeToMxFp8) { quantize(4, 96, 32, "f8E4M3FN", "f8E8M0FNU"); }
TEST(Rows, QuantizeNarrowRow) { quantize(9, 24, 0); }
TEST(Rows, QuantizeHalfAWave) { quantize(5, 256, 0); }
TEST(Rows, QuantizeOneWave) { quantize(5, 512, 0); }
TEST(Rows, QuantizeToWideFp8) { quantize(3, 256, 64, "f8E5M2"); }
TEST(Rows, QuantizeNoRow) { quantize(0, 256, 64); }

//===----------------------------------------------------------------------===//
// Floats of eight bits
//===----------------------------------------------------------------------===//

/// Every code, what lies half way to the next one, and both neighbours of that,
/// rounded to the type and extended again. What is too large is the business of
/// those who ask for a conversion: the interpreter does not saturate.
static void convert(StringRef type) {
  ElementType element = *parseElementType(type);
  float infinity = std::numeric_limits<float>::infinity();
  Data x{"f32", {3, 512}, {}, 0};
  auto add = [&](float v) {
    if (!(std::fabs(v) > getLargestValue(element)))
      x.values.push_back(v);
  };
  for (int64_t code = 0; code < 256; ++code) {
    float here = decode(element, code),
          next = decode(element, (code + 1) & 0xFF);
    float half = here + (next - here) / 2;
    for (float v : {here, half, std::nextafter(half, -infinity),
                    std::nextafter(half, infinity)})
      add(v);
  }
  std::mt19937 random(7);
  for (float v : {0.0f, -0.0f, 1e-30f, -1e-45f, std::nanf("")})
    add(v);
  while (x.values.size() < 3 * 512)
    add(std::ldexp(static_cast<float>(static_cast<int32_t>(random())),
                   static_cast<int>(random() % 40) - 50));
  std::string t = type.str();
  Session session;
  session.compare(
      "moe_tile.kernel @k(%x: memref<?x512xf32>, %q: memref<?x512x" + t +
          ">, %y: memref<?x512xf32>) {\n"
          "  %c0 = arith.constant 0 : index\n"
          "  %c1 = arith.constant 1 : index\n"
          "  %t = memref.dim %x, %c0 : memref<?x512xf32>\n"
          "  scf.parallel (%i) = (%c0) to (%t) step (%c1) {\n"
          "    %a = moe_tile.load %x[%i, %c0] : memref<?x512xf32> -> "
          "!moe_tile.frag<1x512xf32>\n"
          "    %b, %d = moe_tile.map ins(%a : !moe_tile.frag<1x512xf32>) -> "
          "!moe_tile.frag<1x512x" +
          t +
          ">, !moe_tile.frag<1x512xf32> {\n"
          "    ^bb0(%u: f32):\n"
          "      %small = arith.truncf %u : f32 to " +
          t + "\n      %wide = arith.extf %small : " + t +
          " to f32\n"
          "      moe_tile.yield %small, %wide : " +
          t +
          ", f32\n    }\n"
          "    moe_tile.store %b to %q[%i, %c0] : !moe_tile.frag<1x512x" +
          t + "> to memref<?x512x" + t +
          ">\n"
          "    moe_tile.store %d to %y[%i, %c0] : !moe_tile.frag<1x512xf32> "
          "to memref<?x512xf32>\n"
          "    scf.reduce\n  }\n  moe_tile.return\n}\n",
      {x, empty(t, {3, 512}), empty("f32", {3, 512})}, 0);
}

TEST(SmallFloats, E4M3) { convert("f8E4M3FN"); }
TEST(SmallFloats, E5M2) { convert("f8E5M2"); }

//===----------------------------------------------------------------------===//
// Router
//===----------------------------------------------------------------------===//

namespace {
struct RouterCase {
  int64_t tokens, experts, topk;
  std::string clauses;
  bool bias = false;
  std::string type = "f32";
};
void PrintTo(const RouterCase &c, std::ostream *os) {
  *os << c.topk << " of " << c.experts << c.clauses;
}
class Router : public testing::TestWithParam<RouterCase> {};
} // namespace

static Case makeRouter(const RouterCase &c) {
  std::mt19937 random(c.experts + c.topk);
  std::string e = std::to_string(c.experts), k = std::to_string(c.topk);
  std::string l = "memref<?x" + e + "x" + c.type + ">";
  std::string i = "memref<?x" + k + "xi32>", w = "memref<?x" + k + "xf32>";
  Data logits = numbers(c.type, {c.tokens, c.experts}, random);
  // Ties, both zeros, and numbers that are none.
  for (double &v : logits.values)
    if (random() % 4 == 0)
      v = random() % 2 ? 0.5 : -0.0;
  if (c.clauses.find("selected") != std::string::npos)
    logits.values[c.experts] = std::nan("");
  std::vector<Data> data{logits};
  if (c.bias)
    data.push_back(numbers("f32", {c.experts}, random));
  data.push_back(empty("i32", {c.tokens, c.topk}));
  data.push_back(empty("f32", {c.tokens, c.topk}));
  std::string b = "memref<" + e + "xf32>";
  return {"moe_tile.kernel @k(%l: " + l +
              (c.bias ? ", %b: " + b : std::string()) + ", %i: " + i +
              ", %w: " + w + ") {\n  moe_tile.topk logits(%l : " + l + ")" +
              (c.bias ? " bias(%b : " + b + ")" : "") + " to(%i, %w : " + i +
              ", " + w + ")" + c.clauses + "\n  moe_tile.return\n}\n",
          data};
}

TEST_P(Router, EmulatedIsInterpreted) {
  Case c = makeRouter(GetParam());
  Session session;
  session.compare(c.text, c.data, 1, 1e-5);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Router,
    testing::Values(
        RouterCase{5, 128, 8, " renormalize"}, RouterCase{3, 60, 4, ""},
        RouterCase{3, 7, 7, " scale 2.5", false, "bf16"},
        RouterCase{6, 32, 4, " scoring(softmax_selected)"},
        RouterCase{4, 64, 6, " scoring(softmax_selected) renormalize", true},
        RouterCase{5, 256, 8,
                   " scoring(sigmoid) groups 8 of 4 top2_sum renormalize "
                   "scale 2.5",
                   true},
        RouterCase{2, 96, 3, " scoring(sigmoid) groups 6 of 2"},
        RouterCase{1, 1024, 32, " renormalize"}, RouterCase{9, 3, 1, ""},
        RouterCase{5, 320, 8, " scoring(sigmoid) groups 32 of 7", true}));

//===----------------------------------------------------------------------===//
// Mutants
//===----------------------------------------------------------------------===//

TEST(Mutants, OfAlign) {
  Case c = makeAlign({333, 150, 8, 16, 1, 256, 1});
  for (const char *chip : {"gfx942", "gfx1100", "gfx1201"})
    EXPECT_GE(Session().mutate(c.text, chip, c.data), 20) << chip;
}

TEST(Mutants, OfQuantize) {
  for (const char *chip : {"gfx950", "gfx1151", "gfx1201"}) {
    Session session;
    Case c = makeQuantize(session, 6, 2880, 0);
    EXPECT_GE(session.mutate(c.text, chip, c.data), 10) << chip;
  }
}

TEST(Mutants, OfQuantizeByHalfWaves) {
  Session session;
  Case c = makeQuantize(session, 9, 256, 0);
  EXPECT_EQ(session.mutate(c.text, "gfx942", c.data), 5);
}

TEST(Mutants, OfTheRouter) {
  Case c = makeRouter({9, 256, 8,
                       " scoring(sigmoid) groups 8 of 4 top2_sum renormalize",
                       true});
  for (const char *chip : {"gfx942", "gfx1100", "gfx1201"})
    EXPECT_GE(Session().mutate(c.text, chip, c.data, 1e-5), 30) << chip;
}
