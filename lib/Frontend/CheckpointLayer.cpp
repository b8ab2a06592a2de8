//===- CheckpointLayer.cpp - The experts of a decoder layer ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CheckpointMatrix.h"

#include "moec/Support/Parallel.h"

#include <mutex>
#include <set>

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

/// What stands between the number of a layer and its experts.
static constexpr StringRef blockNames[] = {"mlp.", "block_sparse_moe.",
                                           "feed_forward."};

/// Splits "model.layers.3.mlp.experts.0.w1.weight" into "model.", 3 and "mlp."
/// if it is the name of an expert's tensor.
static bool splitName(StringRef name, StringRef &stem, int64_t &number,
                      StringRef &block) {
  size_t at = name.find("layers.");
  if (at == StringRef::npos || (at != 0 && name[at - 1] != '.'))
    return false;
  stem = name.take_front(at);
  StringRef rest = name.drop_front(at + StringRef("layers.").size());
  if (rest.consumeInteger(10, number) || !rest.consume_front("."))
    return false;
  for (StringRef known : blockNames)
    if (rest.starts_with((known + "experts.").str())) {
      block = known;
      return true;
    }
  return false;
}

/// Finds the layer's number and "model.layers.3.mlp.".
static Error findLayer(const Checkpoint &checkpoint,
                       std::optional<int64_t> wanted, ExpertWeights &result) {
  std::set<int64_t> numbers;
  std::set<std::string> prefixes;
  std::vector<StringRef> names = checkpoint.getNames();
  StringRef stem, block;
  int64_t number = 0;
  for (StringRef name : names)
    if (splitName(name, stem, number, block))
      numbers.insert(number);
  if (numbers.empty())
    return llvm::createStringError(checkpoint.getDirectory() +
                                   ": no tensor is called like one of an "
                                   "expert (layers.N.mlp.experts...)");
  result.layer = wanted.value_or(*numbers.begin());
  if (!numbers.count(result.layer))
    return llvm::createStringError(
        checkpoint.getDirectory() + ": layer " + Twine(result.layer) +
        " has no experts; layers " + Twine(*numbers.begin()) + " to " +
        Twine(*numbers.rbegin()) + " have");
  for (StringRef name : names)
    if (splitName(name, stem, number, block) && number == result.layer)
      prefixes.insert((stem + "layers." + Twine(number) + "." + block).str());
  // Layers that predict further tokens have numbers of their own elsewhere.
  if (prefixes.size() > 1)
    for (auto it = prefixes.begin(); it != prefixes.end();)
      it = StringRef(*it).starts_with("model.") ? std::next(it)
                                                : prefixes.erase(it);
  if (prefixes.size() != 1)
    return llvm::createStringError(
        checkpoint.getDirectory() + ": layer " + Twine(result.layer) +
        " stands there under " + Twine(prefixes.size()) +
        " prefixes that begin with 'model.', one is needed");
  result.prefix = *prefixes.begin();
  return Error::success();
}

/// The type of x and of whatever is not quantised, here and in files.
static std::pair<ElementType, StringRef> getPlainType(Dtype dtype) {
  switch (dtype) {
  case Dtype::F32:
    return {ElementType::F32, "F32"};
  case Dtype::F16:
    return {ElementType::F16, "F16"};
  default:
    return {ElementType::BF16, "BF16"};
  }
}

//===----------------------------------------------------------------------===//
// Assembling
//===----------------------------------------------------------------------===//

namespace {
/// A weight of all experts, or of the shared one, that is being filled.
struct Weight {
  std::string name;
  MatrixFormat format;
  /// 0: the shared expert's, without an extent for experts.
  int64_t experts;
  int64_t rows, cols;
  HostTensor values, scale, zero;

  Error allocate();
  /// Rows [first, first + count) of an expert.
  MatrixTarget target(int64_t expert, int64_t first, int64_t count);
  void moveTo(std::map<std::string, HostTensor> &tensors);
};

class Assembly {
public:
  Assembly(Checkpoint &checkpoint, const LayerDescription &layer,
           ExpertWeights &result, int64_t gptqOffset)
      : checkpoint(checkpoint), layer(layer), result(result),
        gptqOffset(gptqOffset) {}
  Error run();

private:
  Error readEach(Weight &w1, Weight &w2);
  Error readFused(Weight &w1, Weight &w2);
  Error readFusedPlain(StringRef name, Weight &weight, bool transposed);
  Error readFusedMx(StringRef name, Weight &weight);
  Error readGateUp(const std::string &gate, const std::string &up,
                   Weight &weight, int64_t expert);
  Error readBiases();
  Error readShared();
  std::string experts() const { return result.prefix + "experts."; }

  Checkpoint &checkpoint;
  const LayerDescription &layer;
  ExpertWeights &result;
  int64_t gptqOffset;
};
} // namespace

Error Weight::allocate() {
  if (cols % format.perStored)
    return llvm::createStringError("'" + name + "': rows of " + Twine(cols) +
                                   " values are not packed by " +
                                   Twine(format.perStored));
  auto make = [&](ElementType type, int64_t height, int64_t width,
                  HostTensor &into) -> Error {
    SmallVector<int64_t> shape = {height, width};
    if (experts)
      shape.insert(shape.begin(), experts);
    Expected<HostTensor> made = HostTensor::create(type, shape);
    if (!made)
      return made.takeError();
    into = std::move(*made);
    return Error::success();
  };
  if (Error error = make(format.type, rows, cols / format.perStored, values))
    return error;
  if (format.kind == MatrixFormat::Plain)
    return Error::success();
  int64_t height = format.scaleRows(rows), width = format.scaleCols(cols);
  if (Error error = make(format.scaleType, height, width, scale))
    return error;
  if (format.zeroOperand)
    return make(ElementType::I8, height, width, zero);
  return Error::success();
}

MatrixTarget Weight::target(int64_t expert, int64_t first, int64_t count) {
  auto at = [&](HostTensor &tensor, int64_t height, int64_t row) {
    uint64_t pitch =
        tensor.getByteSize() / (std::max<int64_t>(experts, 1) * height);
    return tensor.getData() + (expert * height + row) * pitch;
  };
  MatrixTarget target;
  target.rows = count;
  target.cols = cols;
  target.values = at(values, rows, first);
  if (format.kind != MatrixFormat::Plain) {
    int64_t height = format.scaleRows(rows);
    int64_t row = format.granuleRows ? first / format.granuleRows : 0;
    target.scale = at(scale, height, row);
    if (format.zeroOperand)
      target.zero = at(zero, height, row);
  }
  return target;
}

void Weight::moveTo(std::map<std::string, HostTensor> &tensors) {
  tensors[name] = std::move(values);
  if (format.kind != MatrixFormat::Plain)
    tensors[name + "_scale"] = std::move(scale);
  if (format.zeroOperand)
    tensors[name + "_zero"] = std::move(zero);
}

/// Gate above up, or interleaved row by row where the layer wants that.
Error Assembly::readGateUp(const std::string &gate, const std::string &up,
                           Weight &weight, int64_t expert) {
  int64_t half = weight.rows / 2;
  const MatrixFormat &format = weight.format;
  if (layer.gateUp != GateUpKind::Halves)
    return llvm::createStringError(
        checkpoint.getDirectory() + ": '" + gate +
        "' and its up projection stand apart, but the layer has them "
        "interleaved");
  if (format.granuleRows > 1 && half % format.granuleRows)
    return llvm::createStringError(
        checkpoint.getDirectory() + ": '" + gate + "' has " + Twine(half) +
        " rows, not a multiple of the " + Twine(format.granuleRows) +
        " that share a scale, so that it cannot stand above the up projection");
  MatrixTarget upper = weight.target(expert, 0, half);
  MatrixTarget lower = weight.target(expert, half, half);
  if (Error error = readMatrix(checkpoint, gate, format, upper, gptqOffset))
    return error;
  // One scale for both halves is in both files.
  float kept = 0;
  bool single = format.kind == MatrixFormat::Fp8 && format.granuleRows == 0;
  if (single)
    std::memcpy(&kept, upper.scale, sizeof(kept));
  if (Error error = readMatrix(checkpoint, up, format, lower, gptqOffset))
    return error;
  float second = 0;
  if (single)
    std::memcpy(&second, lower.scale, sizeof(second));
  if (single && kept != second)
    return llvm::createStringError(
        llvm::Twine(checkpoint.getDirectory()) + ": '" + gate +
        "' has the scale " + std::to_string(kept) + ", its up projection has " +
        std::to_string(second) + "; dtype " + getDtypeInfo(format.dtype).name +
        " has one for both");
  return Error::success();
}

/// Tensors of every expert apart.
Error Assembly::readEach(Weight &w1, Weight &w2) {
  static constexpr StringRef spellings[][3] = {
      {"gate_proj", "up_proj", "down_proj"}, {"w1", "w3", "w2"}};
  auto names = [&](int64_t expert, StringRef part) {
    return experts() + std::to_string(expert) + "." + part.str();
  };
  auto stands = [&](const std::string &base) {
    return checkpoint.has(base + ".weight") ||
           checkpoint.has(base + ".qweight");
  };
  const StringRef *spelling = spellings[0];
  for (const auto &known : spellings)
    if (stands(names(0, known[2])))
      spelling = known;
  for (int64_t expert = 0; expert < layer.experts; ++expert) {
    if (Error error = readGateUp(names(expert, spelling[0]),
                                 names(expert, spelling[1]), w1, expert))
      return error;
    if (Error error =
            readMatrix(checkpoint, names(expert, spelling[2]), w2.format,
                       w2.target(expert, 0, w2.rows), gptqOffset))
      return error;
  }
  // A checkpoint of more experts is one of another layer.
  if (stands(names(layer.experts, spelling[2])))
    return llvm::createStringError(
        checkpoint.getDirectory() + ": '" + names(layer.experts, spelling[2]) +
        "' exists, but the layer has " + Twine(layer.experts) + " experts");
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Tensors of all experts
//===----------------------------------------------------------------------===//

/// [E, N, K] as the layer has it or [E, K, N] as x @ W wants it.
Error Assembly::readFusedPlain(StringRef name, Weight &weight,
                               bool transposed) {
  Expected<CheckpointTensor> tensor = checkpoint.get(experts() + name.str());
  if (!tensor)
    return tensor.takeError();
  int64_t rows = weight.rows, cols = weight.cols;
  SmallVector<int64_t> straight = {layer.experts, rows, cols};
  SmallVector<int64_t> crosswise = {layer.experts, cols, rows};
  ArrayRef<int64_t> shape = tensor->entry->shape;
  // The shape decides unless both are equal.
  if (rows != cols && shape == ArrayRef<int64_t>(straight))
    transposed = false;
  if (rows != cols && shape == ArrayRef<int64_t>(crosswise))
    transposed = true;
  StringRef type = getPlainType(layer.dtype).second;
  if (Error error =
          expectTensor(*tensor, type, transposed ? crosswise : straight))
    return error;
  uint8_t *to = weight.values.getData();
  const uint8_t *from = tensor->bytes.data();
  if (!transposed) {
    std::memcpy(to, from, tensor->bytes.size());
    return Error::success();
  }
  size_t size = getBitWidth(weight.format.type) / 8;
  parallelFor(layer.experts, 1, 0, [&](uint64_t begin, uint64_t end) {
    for (uint64_t expert = begin; expert < end; ++expert) {
      const uint8_t *source = from + expert * rows * cols * size;
      uint8_t *target = to + expert * rows * cols * size;
      for (int64_t n = 0; n < rows; ++n)
        for (int64_t k = 0; k < cols; ++k)
          std::memcpy(target + (n * cols + k) * size,
                      source + (k * rows + n) * size, size);
    }
  });
  return Error::success();
}

/// `_blocks` [E, N, K / 32, 16] with the even value in the low nibble, and
/// `_scales` [E, N, K / 32].
Error Assembly::readFusedMx(StringRef name, Weight &weight) {
  int64_t block = weight.format.granuleCols;
  if (weight.cols % block)
    return llvm::createStringError(checkpoint.getDirectory() + ": '" +
                                   experts() + name + "_blocks': blocks of " +
                                   Twine(block) +
                                   " do not divide K = " + Twine(weight.cols));
  int64_t blocks = weight.cols / block;
  Expected<CheckpointTensor> values =
      checkpoint.get(experts() + name.str() + "_blocks");
  if (!values)
    return values.takeError();
  Expected<CheckpointTensor> scales =
      checkpoint.get(experts() + name.str() + "_scales");
  if (!scales)
    return scales.takeError();
  if (Error error = expectTensor(
          *values, "U8", {layer.experts, weight.rows, blocks, block / 2}))
    return error;
  if (Error error =
          expectTensor(*scales, "U8", {layer.experts, weight.rows, blocks}))
    return error;
  for (auto [i, code] : llvm::enumerate(scales->bytes))
    if (code == 0xff) {
      auto at = static_cast<int64_t>(i);
      return llvm::createStringError(
          scales->where + ": the scale at " +
          formatShape({at / blocks / weight.rows, at / blocks % weight.rows,
                       at % blocks}) +
          " is NaN");
    }
  std::memcpy(weight.values.getData(), values->bytes.data(),
              values->bytes.size());
  std::memcpy(weight.scale.getData(), scales->bytes.data(),
              scales->bytes.size());
  return Error::success();
}

Error Assembly::readFused(Weight &w1, Weight &w2) {
  if (w1.format.kind == MatrixFormat::Fp4) {
    if (Error error = readFusedMx("gate_up_proj", w1))
      return error;
    return readFusedMx("down_proj", w2);
  }
  if (w1.format.kind != MatrixFormat::Plain)
    return llvm::createStringError(
        checkpoint.getDirectory() + ": '" + experts() +
        "gate_up_proj' is of all experts; dtype " +
        getDtypeInfo(layer.dtype).name + " is read expert by expert only");
  // These multiply from the right.
  StringRef family(layer.name);
  family.consume_back("_text");
  bool transposed = family == "gpt_oss" || family == "qwen3_vl_moe";
  if (Error error = readFusedPlain("gate_up_proj", w1, transposed))
    return error;
  return readFusedPlain("down_proj", w2, transposed);
}

Error Assembly::readBiases() {
  auto [type, fileType] = getPlainType(layer.dtype);
  for (auto [argument, name, columns] :
       {std::tuple("b1", "gate_up_proj_bias", 2 * layer.intermediate),
        {"b2", "down_proj_bias", layer.hidden}}) {
    Expected<CheckpointTensor> tensor = checkpoint.get(experts() + name);
    if (!tensor)
      return tensor.takeError();
    SmallVector<int64_t> shape = {layer.experts, columns};
    if (Error error = expectTensor(*tensor, fileType, shape))
      return error;
    Expected<HostTensor> made = HostTensor::createUninitialized(type, shape);
    if (!made)
      return made.takeError();
    std::memcpy(made->getData(), tensor->bytes.data(), tensor->bytes.size());
    result.tensors[argument] = std::move(*made);
  }
  return Error::success();
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

Error Assembly::readShared() {
  Expected<MatrixFormat> format = getMatrixFormat(layer.dtype, /*shared=*/true);
  if (!format)
    return format.takeError();
  std::string base = result.prefix + "shared_expert";
  if (!checkpoint.has(base + ".down_proj.weight") &&
      !checkpoint.has(base + ".down_proj.qweight"))
    base += "s";
  base += ".";
  Weight w1{"shared_w1",  *format, 0,  2 * layer.sharedIntermediate,
            layer.hidden, {},      {}, {}};
  Weight w2{"shared_w2", *format, 0, layer.hidden, layer.sharedIntermediate,
            {},          {},      {}};
  for (Weight *weight : {&w1, &w2})
    if (Error error = weight->allocate())
      return error;
  if (Error error =
          readGateUp(base + "gate_proj", base + "up_proj", w1, /*expert=*/0))
    return error;
  if (Error error = readMatrix(checkpoint, base + "down_proj", *format,
                               w2.target(0, 0, w2.rows), gptqOffset))
    return error;
  w1.moveTo(result.tensors);
  w2.moveTo(result.tensors);
  if (!layer.sharedGate)
    return Error::success();
  // [1, H] there, [H] here.
  Expected<CheckpointTensor> gate =
      checkpoint.get(result.prefix + "shared_expert_gate.weight");
  if (!gate)
    return gate.takeError();
  auto [type, fileType] = getPlainType(layer.dtype);
  if (Error error = expectTensor(*gate, fileType, {1, layer.hidden}))
    return error;
  Expected<HostTensor> made =
      HostTensor::createUninitialized(type, {layer.hidden});
  if (!made)
    return made.takeError();
  std::memcpy(made->getData(), gate->bytes.data(), gate->bytes.size());
  result.tensors["shared_gate"] = std::move(*made);
  return Error::success();
}

Error Assembly::run() {
  if (layer.tensorParallel != 1 || layer.expertParallel != 1)
    return llvm::createStringError(
        "a checkpoint is read for whole layers, this one is split over " +
        Twine(layer.tensorParallel * layer.expertParallel) + " ranks");
  Expected<MatrixFormat> format =
      getMatrixFormat(layer.dtype, /*shared=*/false);
  if (!format)
    return format.takeError();
  // All activations of config.json have a gate.
  Weight w1{
      "w1", *format, layer.experts, 2 * layer.intermediate, layer.hidden, {},
      {},   {}};
  Weight w2{"w2", *format, layer.experts, layer.hidden, layer.intermediate, {},
            {},   {}};
  for (Weight *weight : {&w1, &w2})
    if (Error error = weight->allocate())
      return error;
  bool fused = checkpoint.has(experts() + "gate_up_proj") ||
               checkpoint.has(experts() + "gate_up_proj_blocks");
  if (Error error = fused ? readFused(w1, w2) : readEach(w1, w2))
    return error;
  w1.moveTo(result.tensors);
  w2.moveTo(result.tensors);
  if (layer.bias)
    if (Error error = readBiases())
      return error;
  if (layer.sharedIntermediate)
    return readShared();
  return Error::success();
}

Expected<ExpertWeights> mlir::moe::readExpertWeights(
    Checkpoint &checkpoint, const LayerDescription &layer,
    std::optional<int64_t> number, int64_t gptqOffset) {
  ExpertWeights result;
  if (Error error = findLayer(checkpoint, number, result))
    return std::move(error);
  if (Error error = Assembly(checkpoint, layer, result, gptqOffset).run())
    return std::move(error);
  return result;
}
