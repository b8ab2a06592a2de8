//===- CheckTest.cpp - Calls that moec_run refuses ------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include <cmath>

using namespace moec::test;

namespace {
/// The toy layer at five tokens, with one thing wrong in each test.
class Check : public ::testing::Test {
protected:
  Check() : artifact(toyManifest()), layer(open(artifact)), toy(5) {}

  void expectRunError(moec_status expected,
                      const std::vector<std::string> &parts) {
    expectError(toy.run(layer.get()), expected, parts);
    for (float value : toy.y)
      ASSERT_TRUE(std::isnan(value)) << "a refused call wrote to an output";
  }

  Directory artifact;
  Layer layer;
  ToyRun toy;
};
} // namespace

TEST_F(Check, Shapes) {
  toy.shape[0] = 6;
  expectRunError(MOEC_ERR_SHAPE, {"toy: dimension 0 of argument 0 'x' is 6",
                                  "expected 5 = T for T = 5"});
  toy.shape[0] = 5;
  toy.shape[1] = 3;
  expectRunError(MOEC_ERR_SHAPE, {"dimension 1 of argument 0 'x' is 3, "
                                  "expected 4"});
  toy.shape[1] = 4;
  toy.biasShape[0] = -4;
  expectRunError(MOEC_ERR_SHAPE,
                 {"dimension 0 of argument 1 'bias' is -4, expected 4"});
}

TEST_F(Check, Rank) {
  toy.tensors[2].rank = 1;
  expectRunError(MOEC_ERR_SHAPE, {"argument 2 'y' has rank 1, expected 2"});
  toy.tensors[2].rank = 2;
  toy.tensors[2].dims = nullptr;
  expectRunError(MOEC_ERR_INVALID_ARGUMENT,
                 {"the dimensions of argument 2 'y' are null"});
}

TEST_F(Check, Dtype) {
  toy.tensors[0].dtype = MOEC_BF16;
  expectRunError(MOEC_ERR_DTYPE, {"argument 0 'x' is bf16", "expected f32"});
  for (int32_t dtype : {-1, 15, 1 << 20}) {
    toy.tensors[0].dtype = dtype;
    expectRunError(MOEC_ERR_DTYPE,
                   {"argument 0 'x' is unknown",
                    "dtype " + std::to_string(dtype), "expected f32"});
  }
}

TEST_F(Check, Strides) {
  int64_t columns[] = {1, 5};
  toy.tensors[0].strides = columns;
  expectRunError(MOEC_ERR_SHAPE,
                 {"'x' is not contiguous", "stride 1 is 5", "expected 1"});
  int64_t padded[] = {8, 1};
  toy.tensors[0].strides = padded;
  expectRunError(MOEC_ERR_SHAPE, {"stride 0 is 8", "expected 4"});
}

TEST_F(Check, Null) {
  toy.tensors[0].data = nullptr;
  expectRunError(MOEC_ERR_INVALID_ARGUMENT,
                 {"the data of argument 0 'x' is null"});
  expectError(
      moec_run(nullptr, nullptr, toy.tensors.data(), 3, 5, nullptr, 0, nullptr),
      MOEC_ERR_INVALID_ARGUMENT, {"the layer is null"});
  Buffer workspace(80);
  expectError(moec_run(layer.get(), nullptr, nullptr, 3, 5, workspace.data, 80,
                       nullptr),
              MOEC_ERR_INVALID_ARGUMENT, {"the argument list is null"});
}

TEST_F(Check, Count) {
  toy.tensors.pop_back();
  expectRunError(MOEC_ERR_INVALID_ARGUMENT,
                 {"toy: 2 arguments were passed, expected 3"});
  toy.tensors.resize(4);
  expectRunError(MOEC_ERR_INVALID_ARGUMENT,
                 {"4 arguments were passed, expected 3"});
  Buffer workspace(80);
  expectError(moec_run(layer.get(), nullptr, toy.tensors.data(), -1, 5,
                       workspace.data, 80, nullptr),
              MOEC_ERR_INVALID_ARGUMENT, {"-1 arguments"});
}

TEST_F(Check, Alignment) {
  std::vector<char> bytes(5 * 16 + 4);
  toy.tensors[0].data = bytes.data() + 2;
  expectRunError(MOEC_ERR_ALIGNMENT,
                 {"argument 0 'x' is at 0x", "must be a multiple of 4"});
  // The manifest may ask for more than the element size.
  Directory strict(replaced(toyManifest(), "\"role\": \"input\"}",
                            "\"role\": \"input\", \"align\": 64}"));
  layer = open(strict);
  Buffer memory(200);
  toy.tensors[0].data = static_cast<char *>(memory.data) + 32;
  expectRunError(MOEC_ERR_ALIGNMENT, {"must be a multiple of 64"});
  toy.tensors[0].data = memory.data;
  EXPECT_EQ(toy.run(layer.get()), MOEC_OK) << moec_last_error();
}

TEST_F(Check, Overlap) {
  toy.tensors[2].data = toy.x.data();
  expectError(toy.run(layer.get()), MOEC_ERR_INVALID_ARGUMENT,
              {"output 2 'y' overlaps argument 0 'x'"});
  // Inputs may overlap each other, and neighbours touch without overlapping.
  std::vector<float> both(40, 1.0f);
  toy.tensors[0].data = both.data();
  toy.tensors[1].data = both.data() + 4;
  toy.tensors[2].data = both.data() + 20;
  EXPECT_EQ(toy.run(layer.get()), MOEC_OK) << moec_last_error();
  toy.tensors[2].data = both.data() + 19;
  expectError(toy.run(layer.get()), MOEC_ERR_INVALID_ARGUMENT, {"overlaps"});
  Buffer workspace(160);
  toy.tensors[2].data = static_cast<char *>(workspace.data) + 76;
  expectError(moec_run(layer.get(), nullptr, toy.tensors.data(), 3, 5,
                       workspace.data, 80, nullptr),
              MOEC_ERR_INVALID_ARGUMENT,
              {"argument 2 'y' overlaps the workspace"});
  toy.tensors[2].data = static_cast<char *>(workspace.data) + 80;
  EXPECT_EQ(moec_run(layer.get(), nullptr, toy.tensors.data(), 3, 5,
                     workspace.data, 80, nullptr),
            MOEC_OK)
      << moec_last_error();
}

TEST_F(Check, Workspace) {
  Buffer workspace(80);
  auto run = [&](void *data, uint64_t bytes) {
    return moec_run(layer.get(), nullptr, toy.tensors.data(), 3, 5, data, bytes,
                    nullptr);
  };
  expectError(run(workspace.data, 79), MOEC_ERR_WORKSPACE,
              {"the workspace has 79 bytes", "5 tokens on 1 workers need 80"});
  expectError(run(nullptr, 0), MOEC_ERR_WORKSPACE, {"has 0 bytes"});
  expectError(run(nullptr, 80), MOEC_ERR_WORKSPACE,
              {"the workspace is null, 80 bytes are needed"});
  expectError(run(static_cast<char *>(workspace.data) + 32, 80),
              MOEC_ERR_ALIGNMENT,
              {"the workspace is at 0x", "a multiple of 64"});
  EXPECT_EQ(run(workspace.data, 80), MOEC_OK) << moec_last_error();
  toy.check();
}

TEST_F(Check, TokenCounts) {
  uint64_t bytes;
  for (int64_t tokens : {int64_t(-1), INT64_MIN}) {
    std::string number = std::to_string(tokens);
    expectError(moec_run(layer.get(), nullptr, toy.tensors.data(), 3, tokens,
                         nullptr, 0, nullptr),
                MOEC_ERR_INVALID_ARGUMENT,
                {"the token count is " + number + ", must be >= 0"});
    expectError(moec_workspace_size(layer.get(), nullptr, tokens, &bytes),
                MOEC_ERR_INVALID_ARGUMENT, {number});
  }
  // 16 * T bytes: the first count that does not fit, and the rounding's room.
  EXPECT_EQ(moec_workspace_size(layer.get(), nullptr, INT64_MAX / 32, &bytes),
            MOEC_OK);
  EXPECT_EQ(bytes, uint64_t(INT64_MAX / 32) * 16);
  for (int64_t tokens : {INT64_MAX / 16, INT64_MAX / 16 + 1, INT64_MAX})
    expectError(moec_workspace_size(layer.get(), nullptr, tokens, &bytes),
                MOEC_ERR_WORKSPACE, {"exceeds 2^63 bytes"});
  expectError(moec_run(layer.get(), nullptr, toy.tensors.data(), 3, INT64_MAX,
                       nullptr, 0, nullptr),
              MOEC_ERR_WORKSPACE, {"exceeds 2^63 bytes"});
}

TEST_F(Check, Stats) {
  moec_run_stats stats = {};
  expectError(toy.run(layer.get(), nullptr, &stats), MOEC_ERR_INVALID_ARGUMENT,
              {"stats.struct_size is 0", "at least"});
  // A program built against a later header passes a larger structure.
  struct {
    moec_run_stats known;
    uint64_t later;
  } larger = {};
  larger.known.struct_size = sizeof(larger);
  larger.later = 42;
  EXPECT_EQ(toy.run(layer.get(), nullptr, &larger.known), MOEC_OK);
  EXPECT_EQ(larger.known.struct_size, sizeof(larger));
  EXPECT_EQ(larger.known.launches, 2);
  EXPECT_EQ(larger.later, 42u);
}

/// A layer of one argument with this dtype and shape, and a dimension.
static std::string oneArgument(const std::string &dtype,
                               const std::string &shape,
                               const std::string &dimension) {
  return R"({"moec": "", "format": 1, "layer": {"name": "one"},
    "arguments": [{"name": "a", "dtype": ")" +
         dtype + R"(", "shape": [)" + shape + R"(], "role": "input"}],
    "variants": [{"target": "cpu", "isa": "x86-64", "tokens": [0, null],
      "code": "x.so", "launches": [{"kernel": "nothing", "args":
      [{"arg": 0}, {"dim": )" +
         dimension + "}]}]}]}";
}

static int64_t seenDimension;

static Layer openOne(const std::string &manifest) {
  moec_kernel_entry entry = {nullptr, "nothing",
                             [](void *const *argv, int64_t, int64_t) {
                               seenDimension = *static_cast<int64_t *>(argv[1]);
                             }};
  moec_layer *layer = nullptr;
  EXPECT_EQ(moec_open_kernels(manifest.data(), manifest.size(), &entry, 1,
                              nullptr, &layer),
            MOEC_OK)
      << moec_last_error();
  return Layer(layer);
}

TEST(CheckSizes, PackedBytesHaveNoSign) {
  char byte = 0;
  for (const char *dtype : {"i8", "u8"}) {
    Layer layer = openOne(oneArgument(dtype, "1", "1"));
    for (moec_dtype given : {MOEC_I8, MOEC_U8}) {
      TensorView tensor(&byte, given, {1});
      EXPECT_EQ(
          moec_run(layer.get(), nullptr, &tensor, 1, 1, nullptr, 0, nullptr),
          MOEC_OK)
          << moec_last_error();
    }
    for (moec_dtype given : {MOEC_BOOL, MOEC_F8E4M3FN, MOEC_I16}) {
      TensorView tensor(&byte, given, {1});
      expectError(
          moec_run(layer.get(), nullptr, &tensor, 1, 1, nullptr, 0, nullptr),
          MOEC_ERR_DTYPE, {std::string("expected ") + dtype});
    }
  }
}

TEST(CheckSizes, AffineShapesAndDimensions) {
  float values[64];
  Layer layer = openOne(
      oneArgument("f32", R"("2*T + 1", {"T": 1, "div": 2})", R"("8*T + 3")"));
  TensorView tensor(values, MOEC_F32, {11, 3});
  ASSERT_EQ(moec_run(layer.get(), nullptr, &tensor, 1, 5, nullptr, 0, nullptr),
            MOEC_OK)
      << moec_last_error();
  EXPECT_EQ(seenDimension, 43);
  tensor.sizes[0] = 10;
  expectError(
      moec_run(layer.get(), nullptr, &tensor, 1, 5, nullptr, 0, nullptr),
      MOEC_ERR_SHAPE, {"is 10, expected 11 = 2*T + 1 for T = 5"});
  tensor.sizes = {11, 2};
  expectError(
      moec_run(layer.get(), nullptr, &tensor, 1, 5, nullptr, 0, nullptr),
      MOEC_ERR_SHAPE, {"is 2, expected 3 = ceil((T) / 2) for T = 5"});
}

TEST(CheckSizes, Scalars) {
  int32_t value = 0;
  Layer layer = openOne(oneArgument("i32", "", "7"));
  moec_tensor tensor = {&value, MOEC_I32, 0, nullptr, nullptr};
  EXPECT_EQ(moec_run(layer.get(), nullptr, &tensor, 1, 1, nullptr, 0, nullptr),
            MOEC_OK)
      << moec_last_error();
  EXPECT_EQ(seenDimension, 7);
  tensor.data = nullptr;
  expectError(
      moec_run(layer.get(), nullptr, &tensor, 1, 1, nullptr, 0, nullptr),
      MOEC_ERR_INVALID_ARGUMENT, {"the data of argument 0 'a' is null"});
}

TEST(CheckSizes, Overflow) {
  float value;
  int64_t huge = int64_t(1) << 62;
  Layer dimension = openOne(oneArgument("f32", R"("4*T")", "1"));
  TensorView tensor(&value, MOEC_F32, {huge});
  expectError(
      moec_run(dimension.get(), nullptr, &tensor, 1, huge, nullptr, 0, nullptr),
      MOEC_ERR_SHAPE,
      {"dimension 0 of argument 0 'a', 4*T, exceeds 2^63",
       "T = 4611686018427387904"});
  int64_t dims[1];
  expectError(moec_argument_shape(dimension.get(), 0, huge, dims, 1),
              MOEC_ERR_SHAPE, {"4*T, exceeds 2^63"});
  Layer bytes = openOne(oneArgument("f32", R"("T")", "1"));
  expectError(
      moec_run(bytes.get(), nullptr, &tensor, 1, huge, nullptr, 0, nullptr),
      MOEC_ERR_SHAPE, {"argument 0 'a' exceeds 2^63 bytes"});
  Layer launch = openOne(oneArgument("f32", "1", R"("4*T")"));
  TensorView one(&value, MOEC_F32, {1});
  expectError(
      moec_run(launch.get(), nullptr, &one, 1, huge, nullptr, 0, nullptr),
      MOEC_ERR_SHAPE,
      {"one: 4*T, an argument of kernel 'nothing', exceeds 2^63"});
}
