//===- GpuPlanReaderTest.cpp - From a plan to launches of a GPU -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include "moec/Compiler/NvidiaChip.h"
#include "moec/Compiler/PlanReader.h"

using namespace mlir;
using namespace mlir::moe;
using Kind = ManifestLaunchArgument::Kind;

namespace {

/// A launch of @k(%x, %ws, %n) with x: memref<?x64xbf16>, ws:
/// memref<?x8x32xf32> of 2 T + 1 planes, n = 3 T.
class GpuPlanReaderTest : public CompilerTest {
protected:
  /// `types`: of the function's arguments; `launch`: entries of moe.launch.
  FailureOr<PlanInfo> read(StringRef types, StringRef launch,
                           StringRef more = "", StringRef chip = "sm_90a") {
    module = parse((R"(
llvm.func @k()" + types +
                    ") attributes {moe_tile.lowered, nvvm.kernel" + more +
                    (launch.empty() ? "" : ", moe.launch = {" + launch + "}") +
                    R"(} { llvm.return }
moe_tile.plan @layer(%x: memref<?x64xbf16> {moe.name = "x", moe.role = "input"},
                     %y: memref<?x64xf32> {moe.name = "y", moe.role = "output"}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %t = memref.dim %x, %c0 : memref<?x64xbf16>
  %t2 = arith.muli %t, %c2 : index
  %planes = arith.addi %t2, %c1 : index
  %ws = moe_tile.workspace(%planes) : memref<?x8x32xf32>
  %n = arith.muli %t, %c3 : index
  %k0 = moe_tile.launch @k(%x, %ws, %n) : (memref<?x64xbf16>, memref<?x8x32xf32>, index) -> !moe_tile.token
  %k1 = moe_tile.launch @k(%x, %ws, %n) after(%k0) : (memref<?x64xbf16>, memref<?x8x32xf32>, index) -> !moe_tile.token
  moe_tile.return
})")
                       .str());
    if (!module)
      return failure();
    return readGpuPlan(*module->getOps<tile::PlanOp>().begin(),
                       *findNvidiaChip(chip));
  }
  void refused(StringRef types, StringRef launch, StringRef message,
               StringRef more = "", StringRef chip = "sm_90a") {
    messages.clear();
    EXPECT_TRUE(failed(read(types, launch, more, chip))) << launch.str();
    EXPECT_TRUE(said(message)) << messages;
    messages.clear();
  }
  /// Of one parameter of this type.
  void refusedParameter(StringRef type, StringRef param, StringRef message,
                        StringRef chip = "sm_90a") {
    refused(("%a: " + type).str(),
            (block + ", params = [{" + param + "}]").str(), message, "", chip);
  }

  const std::string block =
      "block = array<i64: 128, 1, 1>, grid = [1, 1, 1], smem = 0 : i64";
  const std::string map =
      "!llvm.ptr {llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}";
  OwningOpRef<ModuleOp> module;
};

TEST_F(GpuPlanReaderTest, SizesOfALaunch) {
  FailureOr<PlanInfo> plan = read(
      "",
      "block = array<i64: 32, 4, 2>, cluster = array<i64: 2, 1, 1>, smem = "
      "1024 : i64, resident, early_start, grid = [{operand = 1, dim = 0, "
      "mul = 3, add = 7, div = 16}, {operand = 1, dim = 1}, 5], params = []",
      ", nvvm.reqntid = array<i32: 32, 4, 2>, nvvm.cluster_dim = array<i32: 2, "
      "1, 1>");
  ASSERT_TRUE(succeeded(plan)) << messages;
  ASSERT_EQ(plan->launches.size(), 2u);
  const ManifestGpuLaunch &gpu = *plan->launches[0].gpu;
  // ceil((3 (2T + 1) + 7) / 16) = ceil((3T + 5) / 8).
  EXPECT_EQ(gpu.grid[0].size, (TokenSize{3, 5, 8}));
  EXPECT_EQ(gpu.grid[1].size, (TokenSize{0, 8, 1}));
  EXPECT_EQ(gpu.grid[2].size, (TokenSize{0, 5, 1}));
  EXPECT_EQ(gpu.grid[0].persistent, 0);
  EXPECT_EQ(gpu.block[0] * 10000 + gpu.block[1] * 100 + gpu.block[2], 320402);
  EXPECT_EQ(gpu.cluster[0], 2);
  EXPECT_EQ(gpu.sharedMemory, 1024);
  EXPECT_TRUE(gpu.resident);
  EXPECT_TRUE(gpu.earlyStart);
  EXPECT_FALSE(gpu.resources.has_value());

  plan = read("", "block = array<i64: 64, 1, 1>, grid = [1, {persistent = 2}, "
                  "1], params = []");
  ASSERT_TRUE(succeeded(plan)) << messages;
  EXPECT_EQ(plan->launches[0].gpu->grid[1].persistent, 2);
  EXPECT_EQ(plan->launches[0].gpu->cluster[2], 1);
  EXPECT_FALSE(plan->launches[0].gpu->resident);
}

TEST_F(GpuPlanReaderTest, Parameters) {
  FailureOr<PlanInfo> plan = read(
      "%a: !llvm.ptr<1>, %b: !llvm.ptr, %c: i32, %d: i64, %e: i32, %f: i64, "
      "%g: !llvm.ptr<1>, %h: !llvm.ptr<1>, %m: " +
          map + ", %n: " + map,
      block + ", params = [{operand = 0}, {operand = 1}, {operand = 1, dim = "
              "0, type = i32}, {operand = 1, dim = 2, type = i64}, {operand = "
              "2, type = i32}, {const = 5000000000, type = i64}, "
              "{device_tokens = i32}, {zeroed = 256}, {map = 0, box = "
              "array<i64: 64, 128>, swizzle = 128, l2 = 256}, {map = 1, box = "
              "array<i64: 4, 8, 2>, dtype = \"i32\"}]");
  ASSERT_TRUE(succeeded(plan)) << messages;
  const std::vector<ManifestLaunchArgument> &args = plan->launches[0].args;
  ASSERT_EQ(args.size(), 10u);
  EXPECT_EQ(args[0].kind, Kind::Argument);
  EXPECT_EQ(args[0].index, 0);
  EXPECT_EQ(args[1].kind, Kind::Workspace);
  EXPECT_EQ(args[1].index, 0);
  EXPECT_EQ(args[2].dim, (TokenSize{2, 1, 1}));
  EXPECT_EQ(args[2].type, "i32");
  EXPECT_EQ(args[3].dim, (TokenSize{0, 32, 1}));
  EXPECT_EQ(args[3].type, "i64");
  EXPECT_EQ(args[4].dim, (TokenSize{3, 0, 1}));
  EXPECT_EQ(args[5].dim, (TokenSize{0, 5000000000, 1}));
  EXPECT_EQ(args[6].kind, Kind::DeviceTokens);
  EXPECT_EQ(args[6].type, "i32");
  EXPECT_EQ(args[7].kind, Kind::Workspace);
  const ManifestTensorMap &x = *args[8].map, &w = *args[9].map;
  EXPECT_FALSE(x.ofWorkspace);
  EXPECT_EQ(x.dtype, "bf16");
  EXPECT_EQ(x.dims, (std::vector<TokenSize>{{0, 64, 1}, {1, 0, 1}}));
  EXPECT_EQ(x.strides, (std::vector<TokenSize>{{0, 128, 1}}));
  EXPECT_EQ(x.box, (std::vector<int64_t>{64, 128}));
  EXPECT_EQ(x.swizzle, 128);
  EXPECT_EQ(x.l2, 256);
  EXPECT_TRUE(w.ofWorkspace);
  EXPECT_EQ(w.dtype, "i32");
  EXPECT_EQ(w.dims, (std::vector<TokenSize>{{0, 32, 1}, {0, 8, 1}, {2, 1, 1}}));
  EXPECT_EQ(w.strides, (std::vector<TokenSize>{{0, 128, 1}, {0, 1024, 1}}));
  EXPECT_EQ(w.swizzle, 0);
  // Each launch counts in a slice of its own.
  ASSERT_EQ(plan->workspaces.size(), 3u);
  EXPECT_FALSE(plan->workspaces[0].zero);
  EXPECT_EQ(args[7].index, 1);
  EXPECT_EQ(plan->launches[1].args[7].index, 2);
  EXPECT_TRUE(plan->workspaces[2].zero);
  EXPECT_EQ(plan->workspaces[2].bytes, (std::vector<TokenSize>{{0, 256, 1}}));
}

TEST_F(GpuPlanReaderTest, PrintsWhatTheRunTimeReads) {
  FailureOr<PlanInfo> plan =
      read("%m: " + map + ", %t: !llvm.ptr",
           "block = array<i64: 128, 1, 1>, grid = [{persistent = 1}, 1, 1], "
           "params = [{map = 0, box = array<i64: 64, 64>, swizzle = 64}, "
           "{device_tokens = i64}]");
  EXPECT_TRUE(failed(plan));
  EXPECT_TRUE(said("128 bytes wide, the swizzle only 64")) << messages;
  messages.clear();
  plan = read("%m: " + map + ", %t: !llvm.ptr",
              "block = array<i64: 128, 1, 1>, grid = [{persistent = 1}, 1, 1], "
              "params = [{map = 0, box = array<i64: 32, 64>, swizzle = 64}, "
              "{device_tokens = i64}]");
  ASSERT_TRUE(succeeded(plan)) << messages;
  Manifest manifest;
  ManifestVariant variant;
  variant.target = "sm_90a";
  variant.ptx = "k.ptx";
  variant.launches = plan->launches;
  variant.rejected.push_back({"a", "b"});
  manifest.variants.push_back(variant);
  llvm::Expected<llvm::json::Value> parsed =
      llvm::json::parse(printManifest(manifest));
  ASSERT_TRUE(bool(parsed));
  const llvm::json::Object &printed =
      *(*parsed->getAsObject()->getArray("variants"))[0].getAsObject();
  EXPECT_EQ(printed.getString("ptx"), llvm::StringRef("k.ptx"));
  EXPECT_EQ(*printed.get("code"), llvm::json::Value(nullptr));
  EXPECT_EQ(*printed.get("rejected"),
            *llvm::json::parse(R"([{"config": "a", "reason": "b"}])"));
  const llvm::json::Object &launch =
      *(*printed.getArray("launches"))[0].getAsObject();
  EXPECT_EQ(*launch.get("args"), *llvm::json::parse(R"([
    {"tensor_map": {"of": {"arg": 0}, "dtype": "bf16", "dims": [64, "T"],
                    "strides": [128], "box": [32, 64], "swizzle": "64"}},
    {"device_tokens": "i64"}])"));
  EXPECT_EQ(*launch.get("grid"),
            *llvm::json::parse(R"([{"persistent": 1}, 1, 1])"));
  EXPECT_EQ(*launch.get("block"), *llvm::json::parse("[128, 1, 1]"));
  EXPECT_EQ(*launch.get("resources"), *llvm::json::parse(R"({
    "registers": null, "shared_memory": null, "spills": null})"));
}

TEST_F(GpuPlanReaderTest, LaunchesThatCannotBe) {
  refused("", "", "'k' is launched but has no moe.launch");
  refused("", "grid = [1, 1, 1], params = []",
          "needs block = array<i64: x, y, z>");
  refused("", "block = array<i64: 512, 3, 1>, grid = [1, 1, 1], params = []",
          "at most 1024 are possible");
  refused("", "block = array<i64: 0, 1, 1>, grid = [1, 1, 1], params = []",
          "block has an extent of 0");
  refused("", block + ", cluster = array<i64: 4, 4, 1>, params = []",
          "a cluster of 16 blocks; sm_90a takes at most 8");
  refused("", block + ", cluster = array<i64: 2, 1, 1>, params = []",
          "sm_80 takes at most 1", "", "sm_80");
  refused("",
          "block = array<i64: 32, 1, 1>, grid = [1, 1, 1], smem = 232449 : "
          "i64, params = []",
          "a block on sm_90a has at most 232448");
  refused("", "block = array<i64: 32, 1, 1>, grid = [1, 1], params = []",
          "needs a grid of three entries");
  refused("", "block = array<i64: 32, 1, 1>, grid = [0, 1, 1], params = []",
          "the grid has an extent of 0");
  refused("",
          "block = array<i64: 32, 1, 1>, grid = [{persistent = 1}, {persistent "
          "= 1}, 1], params = []",
          "only one dimension of the grid can be persistent");
  refused("",
          "block = array<i64: 32, 1, 1>, grid = [{operand = 9, dim = 0}, 1, "
          "1], params = []",
          "names operand 9 of a launch with 3");
  refused("",
          "block = array<i64: 32, 1, 1>, grid = [{operand = 0, dim = 2}, 1, "
          "1], params = []",
          "names a dimension that a value of type 'memref<?x64xbf16>' does "
          "not have");
  refused("",
          "block = array<i64: 32, 1, 1>, grid = [{operand = 0, dim = 0, div = "
          "0}, 1, 1], params = []",
          "gives no size of the form");
  refused("", block + ", params = []",
          "a block of 128 threads in dimension 0, but nvvm.reqntid says 256",
          ", nvvm.reqntid = array<i32: 256>");
  refused("", block + ", params = []",
          "a cluster of 1 blocks in dimension 0, but nvvm.cluster_dim says 2",
          ", nvvm.cluster_dim = array<i32: 2, 1, 1>");
}

TEST_F(GpuPlanReaderTest, ParametersThatDoNotFit) {
  refused("%a: i32", block + ", params = []",
          "0 params for a function of 1 arguments");
  refusedParameter("i32", "operand = 0",
                   "parameter 0: is a pointer, but the function takes 'i32'");
  refusedParameter("i64", "operand = 0, dim = 0, type = i32",
                   "is an i32, but the function takes 'i64'");
  refusedParameter("i32", "operand = 0, dim = 0", "needs type = i32 or i64");
  refusedParameter("i32", "const = 5000000000, type = i32",
                   "5000000000 does not fit an i32");
  refusedParameter("i32", "const = -1, type = i32",
                   "needs an integer 'const' >= 0");
  refusedParameter("i32", "value = 7",
                   "has none of operand, map, const, device_tokens and zeroed");
  refusedParameter("i32", "zeroed = 64", "is a pointer, but");
}

TEST_F(GpuPlanReaderTest, TensorMapsThatCannotBe) {
  refusedParameter(map, "map = 2, box = array<i64: 8>",
                   "which is no row-major memref");
  refusedParameter(map, "map = 0", "needs box = array<i64: ...>");
  refusedParameter(map, "map = 0, box = array<i64: 64>",
                   "the box has 1 dimensions, the memory 2");
  refusedParameter(map, "map = 0, box = array<i64: 64, 257>",
                   "an extent of the box is 257, not in [1, 256]");
  refusedParameter(map, "map = 0, box = array<i64: 4, 64>",
                   "the box is 8 bytes wide, which is no multiple of 16");
  refusedParameter(map, "map = 0, box = array<i64: 64, 64>, swizzle = 48",
                   "swizzle 48 is none of 32, 64, 128");
  refusedParameter(map, "map = 0, box = array<i64: 64, 64>, l2 = 32",
                   "l2 32 is none of 64, 128, 256");
  refusedParameter(map, "map = 0, box = array<i64: 64, 64>, dtype = \"u8\"",
                   "have 16 bits, not those of u8");
  refusedParameter(map, "map = 0, box = array<i64: 64, 64>, dtype = \"bf17\"",
                   "no element type 'bf17'");
  refusedParameter("!llvm.ptr", "map = 0, box = array<i64: 64, 64>",
                   "needs llvm.byval and nvvm.grid_constant");
  refusedParameter(map, "map = 0, box = array<i64: 64, 64>",
                   "sm_89 has no tensor maps", "sm_89");
}

TEST_F(GpuPlanReaderTest, StridesOfTensorMaps) {
  // 20 bytes per row.
  module = parse(R"(
llvm.func @k(%m: !llvm.ptr {llvm.byval = !llvm.array<128 x i8>, nvvm.grid_constant}) attributes {moe_tile.lowered,
    nvvm.kernel, moe.launch = {block = array<i64: 32, 1, 1>, grid = [1, 1, 1],
    params = [{map = 0, box = array<i64: 8, 8>}]}} { llvm.return }
moe_tile.plan @layer(%x: memref<?x10xbf16> {moe.role = "input"}) {
  %k0 = moe_tile.launch @k(%x) : (memref<?x10xbf16>) -> !moe_tile.token
  moe_tile.return
})");
  ASSERT_TRUE(module);
  EXPECT_TRUE(failed(readGpuPlan(*module->getOps<tile::PlanOp>().begin(),
                                 *findNvidiaChip("sm_90a"))));
  EXPECT_TRUE(said("a stride of 20 bytes is no multiple of 16")) << messages;
  messages.clear();
}

TEST_F(GpuPlanReaderTest, KernelsThatWereNotLowered) {
  module = parse(R"(
moe_tile.kernel @k(%x: memref<?x64xbf16>) { moe_tile.return }
moe_tile.plan @layer(%x: memref<?x64xbf16> {moe.role = "input"}) {
  %k0 = moe_tile.launch @k(%x) : (memref<?x64xbf16>) -> !moe_tile.token
  moe_tile.return
})");
  ASSERT_TRUE(module);
  EXPECT_TRUE(failed(readGpuPlan(*module->getOps<tile::PlanOp>().begin(),
                                 *findNvidiaChip("sm_90a"))));
  EXPECT_TRUE(said("of 'k', which was not lowered to an llvm.func"))
      << messages;
  messages.clear();
}

} // namespace
