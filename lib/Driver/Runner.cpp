//===- Runner.cpp - Running the compiled kernels of a layer ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Driver/Runner.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include <chrono>

using namespace mlir;
using namespace mlir::moe;
using llvm::Error;
using llvm::Expected;

/// The run time's last message as an error; success for MOEC_OK.
static Error toError(moec_status status) {
  if (status == MOEC_OK)
    return Error::success();
  return llvm::createStringError(
      llvm::formatv("{0} ({1})", moec_last_error(), moec_status_name(status)));
}

LayerOpener mlir::moe::openArtifact(std::string directory, std::string isa) {
  return [=](const char *function) -> Expected<LayerHandle> {
    moec_open_options options = {};
    options.struct_size = sizeof(options);
    options.isa = isa.empty() ? nullptr : isa.c_str();
    options.function = function;
    moec_layer *layer = nullptr;
    if (Error error = toError(moec_open(directory.c_str(), &options, &layer)))
      return std::move(error);
    return LayerHandle(layer, moec_close);
  };
}

Expected<PoolHandle> mlir::moe::createPool(int workers) {
  moec_pool *pool = nullptr;
  if (Error error = toError(moec_pool_create(workers, 0, &pool)))
    return std::move(error);
  return PoolHandle(pool);
}

//===----------------------------------------------------------------------===//
// What a manifest says
//===----------------------------------------------------------------------===//

static Expected<moec_argument_info> getArgument(const moec_layer &layer,
                                                int index) {
  moec_argument_info info = {};
  info.struct_size = sizeof(info);
  if (Error error = toError(moec_argument(&layer, index, &info)))
    return std::move(error);
  return info;
}

static Expected<SmallVector<int64_t, 4>>
getShape(const moec_layer &layer, int index, int rank, int64_t tokens) {
  SmallVector<int64_t, 4> shape(rank);
  if (Error error = toError(
          moec_argument_shape(&layer, index, tokens, shape.data(), rank)))
    return std::move(error);
  return shape;
}

static ArgumentRole getRoleByName(StringRef name) {
  if (name == "x")
    return ArgumentRole::Activation;
  if (name == "topk_ids")
    return ArgumentRole::TopkIds;
  if (name == "topk_weights")
    return ArgumentRole::TopkWeights;
  if (name == "expert_map")
    return ArgumentRole::ExpertMap;
  if (name.ends_with("_scale"))
    return ArgumentRole::Scale;
  if (name.ends_with("_zero"))
    return ArgumentRole::ZeroPoint;
  if (name.ends_with("_global"))
    return ArgumentRole::Global;
  if (name == "b1" || name == "b2")
    return ArgumentRole::Bias;
  if (name == "w1" || name == "w2" || name.starts_with("shared_"))
    return ArgumentRole::Weight;
  return ArgumentRole::Plain;
}

/// The manifest; null where it is no JSON, which the run time has told.
static llvm::json::Value readManifest(const moec_layer &layer) {
  Expected<llvm::json::Value> manifest =
      llvm::json::parse(moec_manifest(&layer));
  if (manifest)
    return std::move(*manifest);
  llvm::consumeError(manifest.takeError());
  return nullptr;
}

/// The dtype's name by what the manifest says of quantisation, which is in the
/// syntax of the IR; empty where it says nothing that is understood.
static std::string readDtype(const moec_layer &layer) {
  llvm::json::Value manifest = readManifest(layer);
  const llvm::json::Object *dims = manifest.getAsObject();
  if ((dims = dims ? dims->getObject("layer") : nullptr))
    dims = dims->getObject("dims");
  if (!dims)
    return "";
  MLIRContext context(MLIRContext::Threading::DISABLED);
  context.loadDialect<MoeDialect>();
  // What another version wrote is no error here.
  ScopedDiagnosticHandler silent(&context, [](Diagnostic &) {});
  bool understood = true;
  auto readQuant = [&](StringRef key) -> QuantAttr {
    std::optional<StringRef> text = dims->getString(key);
    if (!text)
      return {};
    auto quant = dyn_cast_or_null<QuantAttr>(parseAttribute(*text, &context));
    understood &= quant != nullptr;
    return quant;
  };
  QuantAttr weight = readQuant("w1_quant");
  QuantAttr activation = readQuant("act_quant");
  std::optional<StringRef> hidden = dims->getString("dtype");
  Type type = hidden ? parseType(*hidden, &context) : Type();
  if (!understood || !type)
    return "";
  bool factors = false;
  for (int i = 0; i < moec_argument_count(&layer); ++i) {
    Expected<moec_argument_info> info = getArgument(layer, i);
    if (info)
      factors |= StringRef(info->name) == "w1_global";
    else
      llvm::consumeError(info.takeError());
  }
  return getDtypeName(weight, activation, type, factors);
}

Expected<LayerSpec> mlir::moe::readLayerSpec(const moec_layer &layer) {
  LayerSpec spec;
  spec.name = moec_layer_name(&layer);
  for (auto [name, value] :
       {std::pair("E", &spec.experts), std::pair("k", &spec.topk),
        std::pair("H", &spec.hidden), std::pair("I", &spec.inner)})
    if (moec_layer_dim(&layer, name, value) != MOEC_OK)
      *value = 0;
  if (moec_layer_dim(&layer, "global_experts", &spec.globalExperts) != MOEC_OK)
    spec.globalExperts = spec.experts;
  for (int i = 0; i < moec_argument_count(&layer); ++i) {
    Expected<moec_argument_info> info = getArgument(layer, i);
    if (!info)
      return info.takeError();
    ArgumentSpec argument;
    argument.name = info->name;
    std::optional<ElementType> type =
        parseElementType(moec_dtype_name(info->dtype));
    if (!type)
      return llvm::createStringError(
          llvm::formatv("argument '{0}': data of type {1} cannot be made here",
                        info->name, moec_dtype_name(info->dtype)));
    argument.type = *type;
    // An extent that differs between two token counts is the token count's.
    Expected<SmallVector<int64_t, 4>> at5 = getShape(layer, i, info->rank, 5);
    if (!at5)
      return at5.takeError();
    Expected<SmallVector<int64_t, 4>> at6 = getShape(layer, i, info->rank, 6);
    if (!at6)
      return at6.takeError();
    for (auto [a, b] : llvm::zip_equal(*at5, *at6)) {
      if (a != b && (a != 5 || b != 6))
        return llvm::createStringError(llvm::formatv(
            "argument '{0}': an extent is neither constant nor T; data for it "
            "cannot be made here",
            info->name));
      argument.shape.push_back(a == b ? a : ShapedType::kDynamic);
    }
    argument.role = info->role == MOEC_OUTPUT ? ArgumentRole::Output
                                              : getRoleByName(info->name);
    if (argument.role == ArgumentRole::Weight)
      argument.reduction = argument.shape.empty() ? 1 : argument.shape.back();
    (info->role == MOEC_OUTPUT ? spec.results : spec.arguments)
        .push_back(std::move(argument));
  }
  spec.dtype = readDtype(layer);
  if (spec.dtype.empty() && !spec.arguments.empty())
    spec.dtype = getElementTypeName(spec.arguments[0].type).str();
  return spec;
}

/// "packed_by" of every argument, empty where there is none.
static std::vector<std::string> readPackedBy(const moec_layer &layer) {
  std::vector<std::string> result(moec_argument_count(&layer));
  llvm::json::Value manifest = readManifest(layer);
  const llvm::json::Object *root = manifest.getAsObject();
  const llvm::json::Array *arguments =
      root ? root->getArray("arguments") : nullptr;
  for (size_t i = 0; arguments && i < arguments->size() && i < result.size();
       ++i)
    if (const llvm::json::Object *argument = (*arguments)[i].getAsObject())
      if (auto function = argument->getString("packed_by"))
        result[i] = function->str();
  return result;
}

//===----------------------------------------------------------------------===//
// Binding
//===----------------------------------------------------------------------===//

Expected<LayerRunner> LayerRunner::create(LayerOpener opener,
                                          const LayerSpec &spec,
                                          moec_pool *pool) {
  LayerRunner runner;
  Expected<LayerHandle> layer = opener(nullptr);
  if (!layer)
    return layer.takeError();
  runner.opener = std::move(opener);
  runner.layer = std::move(*layer);
  runner.pool = pool;
  if (Error error = runner.bind(spec))
    return std::move(error);
  return runner;
}

Error LayerRunner::bind(const LayerSpec &spec) {
  std::vector<std::string> packedBy = readPackedBy(*layer);
  // Names count if every argument that the caller has to bring is known.
  bool positional = false;
  for (int i = 0; i < moec_argument_count(layer.get()); ++i) {
    Expected<moec_argument_info> info = getArgument(*layer, i);
    if (!info)
      return info.takeError();
    positional |= info->role == MOEC_INPUT && packedBy[i].empty() &&
                  !info->optional && !spec.find(info->name);
  }
  for (const ArgumentSpec &argument : spec.arguments)
    inputNames.push_back(argument.name);
  unsigned inputs = 0, outputs = 0;
  for (int i = 0; i < moec_argument_count(layer.get()); ++i)
    if (Error error =
            bindArgument(spec, i, packedBy[i], inputs, outputs, positional))
      return error;
  if (outputs != spec.results.size())
    return llvm::createStringError(
        llvm::formatv("the artifact writes {0} tensors, '{1}' has {2} results",
                      outputs, spec.name, spec.results.size()));
  return Error::success();
}

Error LayerRunner::bindArgument(const LayerSpec &spec, int index,
                                StringRef packedBy, unsigned &inputs,
                                unsigned &outputs, bool positional) {
  Expected<moec_argument_info> info = getArgument(*layer, index);
  if (!info)
    return info.takeError();
  if (info->role == MOEC_OUTPUT) {
    outputArguments.push_back(index);
    bindings.push_back({Binding::Output, outputs++});
    return Error::success();
  }
  if (!packedBy.empty()) {
    bindings.push_back({Binding::Packed, static_cast<unsigned>(packed.size())});
    packed.push_back({static_cast<unsigned>(index), packedBy.str()});
    return Error::success();
  }
  const ArgumentSpec *argument = spec.find(info->name);
  // A function that is given its destinations has all arguments in place.
  bool allInPlace = spec.arguments.size() ==
                    static_cast<size_t>(moec_argument_count(layer.get()));
  if (positional && allInPlace) {
    argument = &spec.arguments[index];
  } else if (positional) {
    while (inputs < spec.arguments.size() &&
           spec.arguments[inputs].role == ArgumentRole::Output)
      ++inputs;
    argument =
        inputs < spec.arguments.size() ? &spec.arguments[inputs++] : nullptr;
  }
  if (!argument && info->optional) {
    bindings.push_back({Binding::Absent, 0});
    return Error::success();
  }
  if (!argument)
    return llvm::createStringError(llvm::formatv(
        "the artifact wants argument '{0}', which '{1}' does not have",
        info->name, spec.name));
  bindings.push_back({Binding::Input, static_cast<unsigned>(
                                          argument - spec.arguments.begin())});
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

/// The run time's number of a storage type; -1: it has none.
static int32_t toDtype(ElementType type) {
  for (int32_t dtype = 0; moec_dtype_name(dtype); ++dtype)
    if (getElementTypeName(type) == moec_dtype_name(dtype))
      return dtype;
  return -1;
}

static moec_tensor toTensor(const HostTensor &tensor) {
  return {const_cast<uint8_t *>(tensor.getData()), toDtype(tensor.getType()),
          static_cast<int32_t>(tensor.getRank()), tensor.getShape().data(),
          nullptr};
}

/// Runs one packing function: its inputs by name, its one output is returned.
Error LayerRunner::pack(ArrayRef<HostTensor> inputs) {
  packedTensors.clear();
  packedTensors.resize(packed.size());
  for (auto [slot, argument] : llvm::enumerate(packed)) {
    Expected<LayerHandle> function = opener(argument.function.c_str());
    if (!function)
      return function.takeError();
    std::vector<moec_tensor> arguments;
    for (int i = 0; i < moec_argument_count(function->get()); ++i) {
      Expected<moec_argument_info> info = getArgument(**function, i);
      if (!info)
        return info.takeError();
      if (info->role == MOEC_OUTPUT) {
        std::optional<ElementType> type =
            parseElementType(moec_dtype_name(info->dtype));
        Expected<SmallVector<int64_t, 4>> shape =
            getShape(**function, i, info->rank, 1);
        if (!shape)
          return shape.takeError();
        Expected<HostTensor> tensor = HostTensor::createUninitialized(
            type.value_or(ElementType::U8), *shape);
        if (!tensor)
          return tensor.takeError();
        packedTensors[slot] = std::move(*tensor);
        arguments.push_back(toTensor(packedTensors[slot]));
        continue;
      }
      auto name = llvm::find(inputNames, info->name);
      if (name == inputNames.end())
        return llvm::createStringError(
            llvm::formatv("function '{0}' wants argument '{1}', which the "
                          "layer does not have",
                          argument.function, info->name));
      arguments.push_back(toTensor(inputs[name - inputNames.begin()]));
    }
    uint64_t bytes = 0;
    if (Error error =
            toError(moec_workspace_size(function->get(), pool, 1, &bytes)))
      return error;
    Expected<GuardedBuffer> scratch = GuardedBuffer::create(bytes);
    if (!scratch)
      return scratch.takeError();
    if (Error error = toError(moec_run(function->get(), pool, arguments.data(),
                                       static_cast<int32_t>(arguments.size()),
                                       1, scratch->payload(), bytes, nullptr)))
      return error;
  }
  return Error::success();
}

Error LayerRunner::prepare(ArrayRef<HostTensor> inputs, int64_t tokenCount,
                           bool repack) {
  tokens = tokenCount;
  if (repack)
    if (Error error = pack(inputs))
      return error;
  tensors.clear();
  shapes.clear();
  outputs.clear();
  for (auto [index, binding] : llvm::enumerate(bindings)) {
    if (binding.kind == Binding::Input || binding.kind == Binding::Packed) {
      tensors.push_back(toTensor(binding.kind == Binding::Input
                                     ? inputs[binding.index]
                                     : packedTensors[binding.index]));
      continue;
    }
    Expected<moec_argument_info> info =
        getArgument(*layer, static_cast<int>(index));
    if (!info)
      return info.takeError();
    Expected<SmallVector<int64_t, 4>> shape =
        getShape(*layer, static_cast<int>(index), info->rank, tokens);
    if (!shape)
      return shape.takeError();
    void *data = nullptr;
    if (binding.kind == Binding::Output) {
      uint64_t bytes = moec_dtype_size(info->dtype);
      for (int64_t extent : *shape)
        bytes *= extent;
      Expected<GuardedBuffer> buffer = GuardedBuffer::create(bytes);
      if (!buffer)
        return buffer.takeError();
      outputs.push_back(std::move(*buffer));
      data = outputs.back().payload();
    }
    // Its dims are entered below, when `shapes` grows no more.
    shapes.push_back(std::move(*shape));
    tensors.push_back({data, info->dtype, info->rank, nullptr, nullptr});
  }
  unsigned next = 0;
  for (moec_tensor &tensor : tensors)
    if (!tensor.dims)
      tensor.dims = shapes[next++].data();

  if (Error error = toError(
          moec_workspace_size(layer.get(), pool, tokens, &workspaceBytes)))
    return error;
  Expected<GuardedBuffer> buffer = GuardedBuffer::create(workspaceBytes);
  if (!buffer)
    return buffer.takeError();
  workspace = std::move(*buffer);
  return Error::success();
}

void LayerRunner::poison() {
  for (GuardedBuffer &output : outputs)
    output.poison();
  if (workspace)
    workspace->poison();
}

Expected<double> LayerRunner::run() {
  auto start = std::chrono::steady_clock::now();
  moec_status status = moec_run(layer.get(), pool, tensors.data(),
                                static_cast<int32_t>(tensors.size()), tokens,
                                workspace->payload(), workspaceBytes, nullptr);
  std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  if (Error error = toError(status))
    return std::move(error);
  return time.count();
}

Error LayerRunner::checkGuards() const {
  for (auto [output, argument] : llvm::zip_equal(outputs, outputArguments)) {
    Expected<moec_argument_info> info =
        getArgument(*layer, static_cast<int>(argument));
    if (!info)
      return info.takeError();
    if (Error error = output.check("output '" + std::string(info->name) + "'"))
      return error;
  }
  return workspace ? workspace->check("workspace") : Error::success();
}

Expected<SmallVector<HostTensor>> LayerRunner::getOutputs() const {
  SmallVector<HostTensor> result;
  for (auto [output, argument] : llvm::zip_equal(outputs, outputArguments)) {
    const moec_tensor &tensor = tensors[argument];
    std::optional<ElementType> type =
        parseElementType(moec_dtype_name(tensor.dtype));
    if (!type)
      return llvm::createStringError(
          llvm::formatv("an output of type {0} cannot be read back",
                        moec_dtype_name(tensor.dtype)));
    Expected<HostTensor> copy = HostTensor::createUninitialized(
        *type, ArrayRef<int64_t>(tensor.dims, tensor.rank));
    if (!copy)
      return copy.takeError();
    std::memcpy(copy->getData(), output.payload(), output.size());
    result.push_back(std::move(*copy));
  }
  return result;
}

std::string LayerRunner::getVariantName() const {
  int32_t index = -1;
  moec_variant_info info = {};
  info.struct_size = sizeof(info);
  if (moec_select_variant(layer.get(), tokens, &index) != MOEC_OK ||
      index < 0 || moec_variant(layer.get(), index, &info) != MOEC_OK)
    return "none";
  std::string name = info.target;
  return *info.isa ? name + " " + info.isa : name;
}
