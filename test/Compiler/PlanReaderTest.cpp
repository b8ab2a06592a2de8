//===- PlanReaderTest.cpp - From a plan to launches -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include "moec/Compiler/PlanReader.h"

using namespace mlir;
using namespace mlir::moe;

namespace {

class PlanReaderTest : public CompilerTest {
protected:
  /// Reads a plan with this body, of arguments %x: memref<?x64xbf16> and
  /// %y: memref<?x64xf32>, that may launch @k(memref<?x64xbf16>) and
  /// @n(index).
  FailureOr<PlanInfo> read(StringRef body) {
    module = parse((R"(
moe_tile.kernel @k(%x: memref<?x64xbf16>) { moe_tile.return }
moe_tile.kernel @n(%n: index) { moe_tile.return }
moe_tile.kernel @w(%w: memref<?x4xi32>) { moe_tile.return }
moe_tile.plan @layer(%x: memref<?x64xbf16> {moe.name = "x", moe.role = "input"},
                     %y: memref<?x64xf32> {moe.name = "y", moe.role = "output"}) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %c8 = arith.constant 8 : index
  %c64 = arith.constant 64 : index
  %t = memref.dim %x, %c0 : memref<?x64xbf16>
)" + body + "\n  moe_tile.return\n}\n")
                       .str());
    if (!module)
      return failure();
    return readPlan(*module->getOps<tile::PlanOp>().begin());
  }

  /// The number that `@n(%s)` is launched with, after this body.
  TokenSize launched(StringRef body) {
    FailureOr<PlanInfo> plan = read(
        (body + "\n  %k = moe_tile.launch @n(%s) : (index) -> !moe_tile.token")
            .str());
    if (failed(plan)) {
      ADD_FAILURE() << messages;
      return {-1, -1, 1};
    }
    return plan->launches.front().args.front().dim;
  }

  /// Expects this diagnostic.
  void refused(StringRef body, StringRef message) {
    messages.clear();
    EXPECT_TRUE(failed(read(body))) << body.str();
    EXPECT_TRUE(said(message)) << messages;
  }

  OwningOpRef<ModuleOp> module;
};

const char *const launchX =
    "%k = moe_tile.launch @k(%x) : (memref<?x64xbf16>) -> !moe_tile.token";

TEST_F(PlanReaderTest, ArgumentsAndLaunches) {
  FailureOr<PlanInfo> plan = read(launchX);
  ASSERT_TRUE(succeeded(plan)) << messages;
  ASSERT_EQ(plan->arguments.size(), 2u);
  EXPECT_EQ(plan->arguments[0].name, "x");
  EXPECT_EQ(plan->arguments[0].dtype, "bf16");
  EXPECT_FALSE(plan->arguments[0].output);
  EXPECT_EQ(plan->arguments[0].shape,
            (std::vector<TokenSize>{{1, 0, 1}, {0, 64, 1}}));
  EXPECT_EQ(plan->arguments[1].dtype, "f32");
  EXPECT_TRUE(plan->arguments[1].output);
  ASSERT_EQ(plan->launches.size(), 1u);
  // The pointer, then its one dynamic extent.
  const ManifestLaunch &launch = plan->launches[0];
  EXPECT_EQ(launch.kernel, "k");
  ASSERT_EQ(launch.args.size(), 2u);
  EXPECT_EQ(launch.args[0].kind, ManifestLaunchArgument::Kind::Argument);
  EXPECT_EQ(launch.args[0].index, 0);
  EXPECT_EQ(launch.args[1].dim, (TokenSize{1, 0, 1}));
  EXPECT_EQ(plan->kernels(), std::vector<std::string>{"k"});
}

TEST_F(PlanReaderTest, IndexArithmetic) {
  EXPECT_EQ(launched("%s = arith.addi %c3, %c8 : index"),
            (TokenSize{0, 11, 1}));
  EXPECT_EQ(launched("%s = arith.muli %t, %c8 : index"), (TokenSize{8, 0, 1}));
  EXPECT_EQ(launched("%a = arith.muli %t, %c8 : index\n"
                     "%s = arith.addi %a, %c3 : index"),
            (TokenSize{8, 3, 1}));
  EXPECT_EQ(launched("%a = arith.muli %t, %c3 : index\n"
                     "%s = arith.ceildivsi %a, %c64 : index"),
            (TokenSize{3, 0, 64}));
  // ceil(3T / 64) + 8 = ceil((3T + 512) / 64).
  EXPECT_EQ(launched("%a = arith.muli %t, %c3 : index\n"
                     "%b = arith.ceildivui %a, %c64 : index\n"
                     "%s = arith.addi %b, %c8 : index"),
            (TokenSize{3, 512, 64}));
  // ceil(ceil(T / 8) / 8) = ceil(T / 64).
  EXPECT_EQ(launched("%a = arith.ceildivsi %t, %c8 : index\n"
                     "%s = arith.ceildivsi %a, %c8 : index"),
            (TokenSize{1, 0, 64}));
  // Common factors cancel: ceil(8T / 64) = ceil(T / 8).
  EXPECT_EQ(launched("%a = arith.muli %t, %c8 : index\n"
                     "%s = arith.ceildivsi %a, %c64 : index"),
            (TokenSize{1, 0, 8}));
  EXPECT_EQ(launched("%s = arith.ceildivsi %c8, %c3 : index"),
            (TokenSize{0, 3, 1}));
  EXPECT_EQ(launched("%s = memref.dim %x, %c1 : memref<?x64xbf16>"),
            (TokenSize{0, 64, 1}));
}

TEST_F(PlanReaderTest, IndexArithmeticAgreesWithNumbers) {
  TokenSize size = launched("%a = arith.muli %t, %c3 : index\n"
                            "%a1 = arith.addi %a, %c64 : index\n"
                            "%b = arith.ceildivsi %a1, %c8 : index\n"
                            "%b1 = arith.addi %b, %c3 : index\n"
                            "%s = arith.ceildivsi %b1, %c3 : index");
  for (int64_t t = 0; t < 500; ++t) {
    int64_t a = t * 3 + 64, b = (a + 7) / 8 + 3;
    EXPECT_EQ(size.at(t), (b + 2) / 3) << t;
  }
}

TEST_F(PlanReaderTest, Workspaces) {
  FailureOr<PlanInfo> plan = read(R"(
  %s = arith.muli %t, %c3 : index
  %b = arith.ceildivsi %s, %c64 : index
  %w0 = moe_tile.workspace(%s) align 256 zero : memref<?x64xbf16>
  %w1 = moe_tile.workspace(%b) : memref<?x4xi32>
  %w2 = moe_tile.workspace() : memref<10xi1>
  %k = moe_tile.launch @k(%w0) : (memref<?x64xbf16>) -> !moe_tile.token
  %l = moe_tile.launch @w(%w1) : (memref<?x4xi32>) -> !moe_tile.token)");
  ASSERT_TRUE(succeeded(plan)) << messages;
  ASSERT_EQ(plan->workspaces.size(), 3u);
  EXPECT_EQ(plan->workspaces[0].bytes, std::vector<TokenSize>({{384, 0, 1}}));
  EXPECT_TRUE(plan->workspaces[0].zero);
  EXPECT_EQ(plan->workspaces[0].align, 256);
  EXPECT_FALSE(plan->workspaces[1].zero);
  EXPECT_EQ(plan->workspaces[1].align, 64);
  EXPECT_EQ(plan->workspaces[2].bytes, std::vector<TokenSize>({{0, 10, 1}}));
  // Bytes are rounded up, the extent that the kernel gets is exact.
  for (int64_t t = 0; t < 200; ++t) {
    int64_t bytes = (3 * t + 63) / 64 * 16;
    EXPECT_GE(plan->workspaces[1].bytes[0].at(t), bytes) << t;
    EXPECT_LE(plan->workspaces[1].bytes[0].at(t), bytes + 16) << t;
  }
  EXPECT_EQ(plan->launches[1].args[0].kind,
            ManifestLaunchArgument::Kind::Workspace);
  EXPECT_EQ(plan->launches[1].args[0].index, 1);
  EXPECT_EQ(plan->launches[1].args[1].dim, (TokenSize{3, 0, 64}));
}

TEST_F(PlanReaderTest, ScratchIsShared) {
  FailureOr<PlanInfo> plan = read(
      "%k = moe_tile.launch @n(%t) : (index) -> !moe_tile.token\n"
      "%l = moe_tile.launch @k(%x) : (memref<?x64xbf16>) -> !moe_tile.token\n"
      "%m = moe_tile.launch @n(%c3) : (index) -> !moe_tile.token");
  ASSERT_TRUE(succeeded(plan)) << messages;
  Builder builder(&context);
  module->lookupSymbol("n")->setAttr("moec.scratch_bytes",
                                     builder.getI64IntegerAttr(128));
  ASSERT_TRUE(succeeded(addScratch(*module, *plan)));
  ASSERT_EQ(plan->workspaces.size(), 1u);
  EXPECT_TRUE(plan->workspaces[0].perWorker);
  EXPECT_EQ(plan->workspaces[0].bytes[0].constant, 128);
  EXPECT_EQ(plan->launches[0].args.size(), 2u);
  EXPECT_EQ(plan->launches[1].args.size(), 2u);
  EXPECT_EQ(plan->launches[2].args.back().kind,
            ManifestLaunchArgument::Kind::Workspace);

  module->lookupSymbol("k")->setAttr("moec.scratch_bytes",
                                     builder.getI64IntegerAttr(100));
  EXPECT_TRUE(failed(addScratch(*module, *plan)));
  EXPECT_TRUE(
      said("moec.scratch_bytes = 100 is not a positive multiple of 64"));
}

TEST_F(PlanReaderTest, RefusesSizesOfOtherForms) {
  const char *use =
      "\n%k = moe_tile.launch @n(%s) : (index) -> !moe_tile.token";
  auto refuse = [&](const std::string &body) {
    refused(body + use, "not of the form ceil((a*T + b) / d)");
  };
  refuse("%s = arith.muli %t, %t : index");
  refuse("%a = arith.ceildivsi %t, %c8 : index\n"
         "%s = arith.muli %a, %c8 : index");
  refuse("%a = arith.ceildivsi %t, %c8 : index\n"
         "%b = arith.ceildivsi %t, %c3 : index\n"
         "%s = arith.addi %a, %b : index");
  refuse("%s = arith.ceildivsi %c8, %t : index");
  refuse("%s = arith.ceildivsi %t, %c0 : index");
  refuse("%big = arith.constant 4611686018427387904 : index\n"
         "%s = arith.muli %big, %c8 : index");
  refused(std::string("%s = arith.remsi %t, %c8 : index") + use,
          "'arith.remsi' op is not allowed in a plan");
  refused(std::string("%s = arith.constant -4 : index") + use,
          "size -4 is negative");
}

TEST_F(PlanReaderTest, ReadsThroughViews) {
  const char *const flat =
      "%v = memref.collapse_shape %x [[0, 1]] : memref<?x64xbf16> into "
      "memref<?xbf16>\n";
  EXPECT_EQ(
      launched(std::string(flat) + "%s = memref.dim %v, %c0 : memref<?xbf16>"),
      (TokenSize{64, 0, 1}));
  // The other way round; the quotient is exact.
  EXPECT_EQ(launched(std::string(flat) +
                     "%n = memref.dim %v, %c0 : memref<?xbf16>\n"
                     "%m = arith.divui %n, %c8 : index\n"
                     "%u = memref.expand_shape %v [[0, 1]] output_shape "
                     "[%m, 8] : memref<?xbf16> into memref<?x8xbf16>\n"
                     "%s = memref.dim %u, %c0 : memref<?x8xbf16>"),
            (TokenSize{8, 0, 1}));
  // A launch passes the memory behind the view and the extents of the view.
  FailureOr<PlanInfo> plan =
      read(std::string(flat) +
           "%u = memref.expand_shape %v [[0, 1]] output_shape [%t, 64] : "
           "memref<?xbf16> into memref<?x64xbf16>\n"
           "%k = moe_tile.launch @k(%u) : (memref<?x64xbf16>) -> "
           "!moe_tile.token");
  ASSERT_TRUE(succeeded(plan)) << messages;
  const ManifestLaunch &launch = plan->launches[0];
  ASSERT_EQ(launch.args.size(), 2u);
  EXPECT_EQ(launch.args[0].kind, ManifestLaunchArgument::Kind::Argument);
  EXPECT_EQ(launch.args[1].dim, (TokenSize{1, 0, 1}));

  const char *const use = "\n%k = moe_tile.launch @n(%s) : (index) -> "
                          "!moe_tile.token";
  refused(std::string("%s = arith.divui %t, %c8 : index") + use,
          "not of the form ceil((a*T + b) / d)");
  refused(std::string("%w = memref.expand_shape %x [[0, 1], [2]] output_shape "
                      "[%t, 1, 64] : memref<?x64xbf16> into "
                      "memref<?x1x64xbf16>\n"
                      "%a = memref.alloc(%t) : memref<?x4xi32>\n"
                      "%v = memref.collapse_shape %a [[0, 1]] : "
                      "memref<?x4xi32> into memref<?xi32>\n"
                      "%s = memref.dim %v, %c0 : memref<?xi32>") +
              use,
          "is not allowed in a plan");
}

TEST_F(PlanReaderTest, RefusesOtherPlans) {
  refused("", "launches nothing");
  refused("%w = moe_tile.workspace(%t, %t) : memref<?x?xf32>\n" +
              std::string(launchX),
          "not linear in the number of tokens");
  refused("%w = moe_tile.workspace(%t) align 8192 : memref<?xf32>\n" +
              std::string(launchX),
          "alignment 8192 is above 4096");
  refused("%a = memref.alloc(%t) : memref<?x64xbf16>\n"
          "%k = moe_tile.launch @k(%a) : (memref<?x64xbf16>) -> "
          "!moe_tile.token",
          "is not allowed in a plan");
}

TEST_F(PlanReaderTest, RefusesArguments) {
  auto refuse = [&](StringRef argument, StringRef message) {
    messages.clear();
    module =
        parse(("moe_tile.kernel @k(%n: index) { moe_tile.return }\n"
               "moe_tile.plan @layer(%x: " +
               argument +
               ") {\n %n = arith.constant 0 : index\n"
               " %k = moe_tile.launch @k(%n) : (index) -> !moe_tile.token\n"
               " moe_tile.return\n}")
                  .str());
    ASSERT_TRUE(module);
    EXPECT_TRUE(failed(readPlan(*module->getOps<tile::PlanOp>().begin())));
    EXPECT_TRUE(said(message)) << messages;
  };
  refuse("memref<?x4xf32>", "argument 0 needs moe.role");
  refuse("memref<4xf32> {moe.role = \"both\"}", "argument 0 needs moe.role");
  refuse("index {moe.role = \"input\"}", "must be a row-major memref");
  refuse("memref<4xf32, strided<[2]>> {moe.role = \"input\"}",
         "must be a row-major memref");
  refuse("memref<4x?xf32> {moe.role = \"input\"}", "is dynamic in dimension 1");
  refuse("memref<4xi4> {moe.role = \"input\"}",
         "has elements of type i4, which no tensor of the run time has");
  refuse("memref<1x1x1x1x1x1x1x1x1xf32> {moe.role = \"input\"}",
         "has rank 9, at most 8 is supported");
}

TEST_F(PlanReaderTest, PrintsManifests) {
  Manifest manifest;
  manifest.layer = "a \"layer\"";
  manifest.dims.emplace_back("E", 4);
  manifest.missingTargets = {"sm_90a"};
  manifest.arguments.push_back(
      {"x", "f32", {{1, 0, 1}, {0, 4, 1}}, false, false, ""});
  manifest.arguments.push_back({"p", "u8", {{2, 3, 4}}, true, true, "pack"});
  ManifestVariant variant;
  variant.target = "cpu";
  variant.isa = "avx2";
  variant.firstTokens = 2;
  variant.lastTokens = 5;
  variant.code = "k.so";
  variant.workspaces.push_back({"w", {{8, 0, 1}, {0, 4, 1}}, true, true, 128});
  manifest.variants.push_back(variant);
  std::string text = printManifest(manifest);
  llvm::Expected<llvm::json::Value> json = llvm::json::parse(text);
  ASSERT_TRUE(static_cast<bool>(json));
  const llvm::json::Object &root = *json->getAsObject();
  EXPECT_EQ(root.getObject("layer")->getString("name"), "a \"layer\"");
  EXPECT_EQ(root.getObject("layer")->getObject("dims")->getInteger("E"), 4);
  const auto &second = *(*root.getArray("arguments"))[1].getAsObject();
  EXPECT_EQ(*second.getArray("shape"),
            (llvm::json::Array{
                llvm::json::Object{{"T", 2}, {"const", 3}, {"div", 4}}}));
  EXPECT_EQ(second.getString("packed_by"), "pack");
  const auto &first = *(*root.getArray("variants"))[0].getAsObject();
  EXPECT_EQ(*first.getArray("tokens"), (llvm::json::Array{2, 5}));
  EXPECT_EQ((*first.getArray("workspace"))[0],
            llvm::json::Value(
                llvm::json::Object{{"name", "w"},
                                   {"per_worker", llvm::json::Array{"8*T", 4}},
                                   {"align", 128},
                                   {"init", "zero"}}));
}

} // namespace
