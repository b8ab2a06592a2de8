//===- Manifest.cpp - The manifest of an artifact -------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Compiler/Manifest.h"

#include "moec-c/Runtime.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::moe;
using llvm::json::OStream;

int64_t TokenSize::at(int64_t count) const {
  return (tokens * count + constant + divisor - 1) / divisor;
}

void ManifestResources::include(const ManifestResources &other) {
  registers = std::max(registers, other.registers);
  sharedMemory = std::max(sharedMemory, other.sharedMemory);
  spills = std::max(spills, other.spills);
  if (!other.amd)
    return;
  if (!amd) {
    amd = other.amd;
    return;
  }
  amd->accumulators = std::max(amd->accumulators, other.amd->accumulators);
  amd->scalars = std::max(amd->scalars, other.amd->scalars);
  amd->scratch = std::max(amd->scratch, other.amd->scratch);
  amd->arguments = std::max(amd->arguments, other.amd->arguments);
  amd->wave = std::max(amd->wave, other.amd->wave);
  amd->wavesPerSimd = std::min(amd->wavesPerSimd, other.amd->wavesPerSimd);
}

/// The shortest of the three spellings: 7, "8*T + 1", {"T", "const", "div"}.
static llvm::json::Value toJson(const TokenSize &size) {
  if (size.divisor != 1)
    return llvm::json::Object{
        {"T", size.tokens}, {"const", size.constant}, {"div", size.divisor}};
  if (size.tokens == 0)
    return size.constant;
  std::string text =
      size.tokens == 1 ? "T" : std::to_string(size.tokens) + "*T";
  if (size.constant != 0)
    text += " + " + std::to_string(size.constant);
  return text;
}

static llvm::json::Array toArray(const std::vector<TokenSize> &sizes) {
  llvm::json::Array array;
  for (const TokenSize &size : sizes)
    array.push_back(toJson(size));
  return array;
}

/// One size, or a list of several.
static llvm::json::Value toJson(const std::vector<TokenSize> &sizes) {
  if (sizes.size() == 1)
    return toJson(sizes.front());
  return toArray(sizes);
}

/// {"arg": 3} or {"workspace": 1}.
static llvm::json::Object toReference(bool ofWorkspace, int64_t index) {
  return llvm::json::Object{{ofWorkspace ? "workspace" : "arg", index}};
}

static llvm::json::Value toJson(const ManifestTensorMap &map) {
  llvm::json::Object object{{"of", toReference(map.ofWorkspace, map.index)},
                            {"dtype", map.dtype},
                            {"dims", toArray(map.dims)},
                            {"strides", toArray(map.strides)},
                            {"box", llvm::json::Array(map.box)}};
  if (map.swizzle)
    object["swizzle"] = std::to_string(map.swizzle);
  if (map.l2)
    object["l2"] = std::to_string(map.l2);
  return object;
}

static llvm::json::Value toJson(const ManifestLaunchArgument &argument) {
  using Kind = ManifestLaunchArgument::Kind;
  switch (argument.kind) {
  case Kind::Argument:
  case Kind::Workspace:
    if (argument.align > 1)
      return llvm::json::Object{{"arg", argument.index},
                                {"align", argument.align}};
    return toReference(argument.kind == Kind::Workspace, argument.index);
  case Kind::Dim: {
    llvm::json::Object object{{"dim", toJson(argument.dim)}};
    if (!argument.type.empty())
      object["type"] = argument.type;
    return object;
  }
  case Kind::DeviceTokens:
    return llvm::json::Object{{"device_tokens", argument.type}};
  case Kind::TensorMap:
    return llvm::json::Object{{"tensor_map", toJson(*argument.map)}};
  }
  llvm_unreachable("covered switch");
}

static void print(OStream &json, const ManifestArgument &argument) {
  json.object([&] {
    json.attribute("name", argument.name);
    json.attribute("dtype", argument.dtype);
    json.attributeArray("shape", [&] {
      for (const TokenSize &size : argument.shape)
        json.value(toJson(size));
    });
    json.attribute("role", argument.output ? "output" : "input");
    if (argument.optional)
      json.attribute("optional", true);
    if (!argument.packedBy.empty())
      json.attribute("packed_by", argument.packedBy);
  });
}

static void print(OStream &json, const ManifestWorkspace &workspace) {
  json.object([&] {
    if (!workspace.name.empty())
      json.attribute("name", workspace.name);
    json.attribute(workspace.perWorker ? "per_worker" : "bytes",
                   toJson(workspace.bytes));
    json.attribute("align", workspace.align);
    json.attribute("init", workspace.zero ? "zero" : "none");
  });
}

static void print(OStream &json, const int64_t (&extent)[3]) {
  for (int64_t value : extent)
    json.value(value);
}

/// Members that are unknown are null: a CPU's register allocator reports
/// neither, and without an assembler nobody knows a GPU's.
static void print(OStream &json,
                  const std::optional<ManifestResources> &resources) {
  json.attributeObject("resources", [&] {
    std::pair<const char *, int64_t ManifestResources::*> members[] = {
        {"registers", &ManifestResources::registers},
        {"shared_memory", &ManifestResources::sharedMemory},
        {"spills", &ManifestResources::spills}};
    for (auto [name, member] : members)
      if (resources)
        json.attribute(name, (*resources).*member);
      else
        json.attribute(name, nullptr);
    if (!resources || !resources->amd)
      return;
    const ManifestAmdResources &amd = *resources->amd;
    json.attribute("accumulators", amd.accumulators);
    json.attribute("scalars", amd.scalars);
    json.attribute("scratch", amd.scratch);
    json.attribute("argument_bytes", amd.arguments);
    json.attribute("wave", amd.wave);
    json.attribute("waves_per_simd", amd.wavesPerSimd);
  });
}

static void print(OStream &json, const ManifestGpuLaunch &launch) {
  json.attributeArray("grid", [&] {
    for (const ManifestGrid &grid : launch.grid)
      json.value(grid.persistent ? llvm::json::Value(llvm::json::Object{
                                       {"persistent", grid.persistent}})
                                 : toJson(grid.size));
  });
  json.attributeArray("block", [&] { print(json, launch.block); });
  json.attributeArray("cluster", [&] { print(json, launch.cluster); });
  json.attribute("smem", launch.sharedMemory);
  if (launch.resident)
    json.attribute("resident", true);
  if (launch.earlyStart)
    json.attribute("early_start", true);
  print(json, launch.resources);
}

static void print(OStream &json, const ManifestLaunch &launch) {
  json.object([&] {
    json.attribute("kernel", launch.kernel);
    json.attributeArray("args", [&] {
      for (const ManifestLaunchArgument &argument : launch.args)
        json.value(toJson(argument));
    });
    if (launch.gpu)
      print(json, *launch.gpu);
  });
}

static void print(OStream &json, const ManifestVariant &variant) {
  json.object([&] {
    json.attribute("target", variant.target);
    if (!variant.isa.empty())
      json.attribute("isa", variant.isa);
    json.attributeArray("tokens", [&] {
      json.value(variant.firstTokens);
      if (variant.lastTokens)
        json.value(*variant.lastTokens);
      else
        json.value(nullptr);
    });
    if (variant.code.empty())
      json.attribute("code", nullptr);
    else
      json.attribute("code", variant.code);
    if (!variant.ptx.empty())
      json.attribute("ptx", variant.ptx);
    json.attributeArray("config", [&] {
      for (const std::string &config : variant.configs)
        json.value(config);
    });
    if (!variant.rejected.empty())
      json.attributeArray("rejected", [&] {
        for (const ManifestRejection &rejection : variant.rejected)
          json.value(llvm::json::Object{{"config", rejection.config},
                                        {"reason", rejection.reason}});
      });
    json.attributeArray("workspace", [&] {
      for (const ManifestWorkspace &workspace : variant.workspaces)
        print(json, workspace);
    });
    json.attributeArray("launches", [&] {
      for (const ManifestLaunch &launch : variant.launches)
        print(json, launch);
    });
    print(json, variant.resources);
  });
}

std::string mlir::moe::printManifest(const Manifest &manifest) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  OStream json(stream, /*IndentSize=*/1);
  json.object([&] {
    json.attribute("moec", moec_version());
    json.attribute("format", MOEC_MANIFEST_FORMAT);
    json.attributeObject("layer", [&] {
      json.attribute("name", manifest.layer);
      json.attributeObject("dims", [&] {
        for (const auto &[name, value] : manifest.dims)
          json.attribute(name, value);
      });
      // Sums are taken in a fixed order unless a configuration gives that up:
      // what is added where it meets comes in any order.
      json.attribute(
          "deterministic",
          manifest.ordered &&
              llvm::none_of(
                  manifest.variants, [](const ManifestVariant &variant) {
                    return llvm::any_of(variant.configs, [](StringRef config) {
                      return config.contains("deterministic = false") ||
                             config.contains("reduce_by = \"add_f32\"");
                    });
                  }));
    });
    if (!manifest.missingTargets.empty())
      json.attributeArray("missing_targets", [&] {
        for (const std::string &target : manifest.missingTargets)
          json.value(target);
      });
    json.attributeArray("arguments", [&] {
      for (const ManifestArgument &argument : manifest.arguments)
        print(json, argument);
    });
    json.attributeArray("variants", [&] {
      for (const ManifestVariant &variant : manifest.variants)
        print(json, variant);
    });
  });
  stream << "\n";
  return text;
}
