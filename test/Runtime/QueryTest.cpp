//===- QueryTest.cpp - What a layer tells of itself -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include <set>
#include <thread>

using namespace moec::test;

namespace {
class Query : public ::testing::Test {
protected:
  Query() : artifact(toyManifest()), layer(open(artifact)) {}
  Directory artifact;
  Layer layer;
};
} // namespace

TEST_F(Query, LayerAndDims) {
  EXPECT_STREQ(moec_layer_name(layer.get()), "toy");
  EXPECT_EQ(toyManifest(), moec_manifest(layer.get()));
  int64_t value = -1;
  EXPECT_EQ(moec_layer_dim(layer.get(), "E", &value), MOEC_OK);
  EXPECT_EQ(value, 2);
  // "dtype" is among the dims, but no integer.
  for (const char *name : {"dtype", "I", ""})
    expectError(moec_layer_dim(layer.get(), name, &value),
                MOEC_ERR_INVALID_ARGUMENT,
                {"'toy' has no integer dim '" + std::string(name) + "'"});
  EXPECT_EQ(value, 2);
  expectError(moec_layer_dim(layer.get(), nullptr, &value),
              MOEC_ERR_INVALID_ARGUMENT, {"the name is null"});
  expectError(moec_layer_dim(nullptr, "E", &value), MOEC_ERR_INVALID_ARGUMENT,
              {"the layer is null"});
  expectError(moec_layer_dim(layer.get(), "E", nullptr),
              MOEC_ERR_INVALID_ARGUMENT, {"the result pointer is null"});
}

TEST_F(Query, Arguments) {
  ASSERT_EQ(moec_argument_count(layer.get()), 3);
  moec_argument_info info = {};
  info.struct_size = sizeof(info);
  ASSERT_EQ(moec_argument(layer.get(), 1, &info), MOEC_OK);
  EXPECT_STREQ(info.name, "bias");
  EXPECT_EQ(info.dtype, MOEC_F32);
  EXPECT_EQ(info.role, MOEC_INPUT);
  EXPECT_EQ(info.optional, 1);
  EXPECT_EQ(info.rank, 1);
  EXPECT_EQ(info.align, 4);
  ASSERT_EQ(moec_argument(layer.get(), 2, &info), MOEC_OK);
  EXPECT_EQ(info.role, MOEC_OUTPUT);
  EXPECT_EQ(info.optional, 0);
  for (int32_t index : {-1, 3})
    expectError(moec_argument(layer.get(), index, &info),
                MOEC_ERR_INVALID_ARGUMENT,
                {"there is no argument " + std::to_string(index) + ", only 3"});
  info.struct_size = 8;
  expectError(moec_argument(layer.get(), 0, &info), MOEC_ERR_INVALID_ARGUMENT,
              {"struct_size is 8"});
  expectError(moec_argument(layer.get(), 0, nullptr), MOEC_ERR_INVALID_ARGUMENT,
              {"the result pointer is null"});
}

TEST_F(Query, Shapes) {
  int64_t dims[] = {-1, -1, -1};
  ASSERT_EQ(moec_argument_shape(layer.get(), 0, 9, dims, 3), MOEC_OK);
  EXPECT_EQ(dims[0], 9);
  EXPECT_EQ(dims[1], 4);
  EXPECT_EQ(dims[2], -1);
  expectError(moec_argument_shape(layer.get(), 0, 9, dims, 1),
              MOEC_ERR_INVALID_ARGUMENT,
              {"'x' has rank 2, there is room for 1"});
  expectError(moec_argument_shape(layer.get(), 0, 9, nullptr, 0),
              MOEC_ERR_INVALID_ARGUMENT, {"there is room for 0"});
  expectError(moec_argument_shape(layer.get(), 0, 9, nullptr, 2),
              MOEC_ERR_INVALID_ARGUMENT, {"the result pointer is null"});
  expectError(moec_argument_shape(layer.get(), 0, -9, dims, 3),
              MOEC_ERR_INVALID_ARGUMENT, {"the token count is -9"});
  expectError(moec_argument_shape(layer.get(), 7, 9, dims, 3),
              MOEC_ERR_INVALID_ARGUMENT, {"there is no argument 7"});
}

TEST_F(Query, Variants) {
  ASSERT_EQ(moec_variant_count(layer.get()), 2);
  moec_variant_info info = {};
  info.struct_size = sizeof(info);
  ASSERT_EQ(moec_variant(layer.get(), 0, &info), MOEC_OK);
  EXPECT_STREQ(info.target, "cpu");
  EXPECT_STREQ(info.isa, "x86-64");
  EXPECT_STREQ(info.code, "toy.so");
  EXPECT_EQ(info.tokens_lo, 1);
  EXPECT_EQ(info.tokens_hi, -1);
  EXPECT_EQ(info.runnable, 1);
  EXPECT_EQ(info.launches, 2);
  EXPECT_EQ(info.configs, 2);
  EXPECT_EQ(info.registers, -1);
  EXPECT_EQ(info.shared_memory, 0);
  EXPECT_EQ(info.spills, 3);
  ASSERT_EQ(moec_variant(layer.get(), 1, &info), MOEC_OK);
  EXPECT_STREQ(info.target, "sm_90a");
  EXPECT_STREQ(info.isa, "");
  EXPECT_EQ(info.tokens_hi, 4096);
  EXPECT_EQ(info.runnable, 0);
  EXPECT_EQ(info.launches, 1);
  EXPECT_EQ(info.registers, 168);
  EXPECT_EQ(info.spills, -1);
  expectError(moec_variant(layer.get(), 2, &info), MOEC_ERR_INVALID_ARGUMENT,
              {"there is no variant 2, only 2"});
  info.struct_size = 0;
  expectError(moec_variant(layer.get(), 0, &info), MOEC_ERR_INVALID_ARGUMENT,
              {"struct_size is 0"});
}

TEST_F(Query, Configs) {
  const char *config = nullptr;
  ASSERT_EQ(moec_variant_config(layer.get(), 0, 1, &config), MOEC_OK);
  EXPECT_STREQ(config, "#moe.config<second>");
  expectError(moec_variant_config(layer.get(), 0, 2, &config),
              MOEC_ERR_INVALID_ARGUMENT, {"there is no config 2, only 2"});
  expectError(moec_variant_config(layer.get(), 1, 0, &config),
              MOEC_ERR_INVALID_ARGUMENT, {"there is no config 0, only 0"});
  expectError(moec_variant_config(layer.get(), 5, 0, &config),
              MOEC_ERR_INVALID_ARGUMENT, {"there is no variant 5"});
}

TEST_F(Query, SelectAndWorkspaceNeedPointers) {
  uint64_t bytes;
  int32_t index;
  expectError(moec_workspace_size(nullptr, nullptr, 1, &bytes),
              MOEC_ERR_INVALID_ARGUMENT, {"the layer is null"});
  expectError(moec_workspace_size(layer.get(), nullptr, 1, nullptr),
              MOEC_ERR_INVALID_ARGUMENT, {"the result pointer is null"});
  expectError(moec_select_variant(nullptr, 1, &index),
              MOEC_ERR_INVALID_ARGUMENT, {"the layer is null"});
  expectError(moec_select_variant(layer.get(), 1, nullptr),
              MOEC_ERR_INVALID_ARGUMENT, {"the result pointer is null"});
  ASSERT_EQ(moec_select_variant(layer.get(), 0, &index), MOEC_OK);
  EXPECT_EQ(index, -1);
}

TEST(Library, NullLayers) {
  EXPECT_EQ(moec_manifest(nullptr), nullptr);
  EXPECT_EQ(moec_layer_name(nullptr), nullptr);
  EXPECT_EQ(moec_argument_count(nullptr), 0);
  EXPECT_EQ(moec_variant_count(nullptr), 0);
}

TEST(Library, Versions) {
  EXPECT_EQ(moec_abi_version(), MOEC_RUNTIME_ABI);
  EXPECT_STREQ(moec_version(), MOEC_EXPECTED_VERSION);
}

TEST(Library, StatusNames) {
  std::set<std::string> names;
  for (int32_t status = MOEC_OK; status <= MOEC_ERR_DEVICE; ++status)
    names.insert(moec_status_name(status));
  EXPECT_EQ(names.size(), 14u);
  EXPECT_EQ(names.count("unknown status"), 0u);
  EXPECT_STREQ(moec_status_name(14), "unknown status");
  EXPECT_STREQ(moec_status_name(-1), "unknown status");
  EXPECT_STREQ(moec_status_name(MOEC_ERR_SHAPE), "MOEC_ERR_SHAPE");
}

TEST(Library, Dtypes) {
  EXPECT_EQ(moec_dtype_size(MOEC_F64), 8);
  EXPECT_EQ(moec_dtype_size(MOEC_F32), 4);
  EXPECT_EQ(moec_dtype_size(MOEC_BF16), 2);
  EXPECT_EQ(moec_dtype_size(MOEC_F8E8M0FNU), 1);
  EXPECT_EQ(moec_dtype_size(MOEC_I64), 8);
  EXPECT_EQ(moec_dtype_size(MOEC_BOOL), 1);
  EXPECT_STREQ(moec_dtype_name(MOEC_F8E4M3FNUZ), "f8E4M3FNUZ");
  EXPECT_STREQ(moec_dtype_name(MOEC_BOOL), "bool");
  for (int32_t dtype : {-1, 15}) {
    EXPECT_EQ(moec_dtype_size(dtype), 0);
    EXPECT_EQ(moec_dtype_name(dtype), nullptr);
  }
}

TEST(Library, ErrorsBelongToTheirThread) {
  moec_layer *layer = nullptr;
  moec_open("/first", nullptr, &layer);
  std::string other;
  std::thread([&] {
    EXPECT_STREQ(moec_last_error(), "");
    moec_open("/second", nullptr, &layer);
    other = moec_last_error();
  }).join();
  EXPECT_NE(other.find("/second"), std::string::npos);
  EXPECT_NE(std::string(moec_last_error()).find("/first"), std::string::npos);
}

TEST(Library, LongMessagesAreCutOff) {
  moec_layer *layer = nullptr;
  std::string path(5000, 'p');
  EXPECT_EQ(moec_open(path.c_str(), nullptr, &layer), MOEC_ERR_FILE);
  EXPECT_EQ(std::strlen(moec_last_error()), 1023u);
}
