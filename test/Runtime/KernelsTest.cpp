//===- KernelsTest.cpp - Layers whose kernels are in memory ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

using namespace moec::test;

static void tagFive(void *const *argv, int64_t worker, int64_t workers) {
  float *y = static_cast<float *>(argv[0]);
  int64_t count = *static_cast<int64_t *>(argv[1]) * 4;
  for (int64_t i = worker; i < count; i += workers)
    y[i] = 5;
}

static void tagSix(void *const *argv, int64_t worker, int64_t workers) {
  float *y = static_cast<float *>(argv[0]);
  int64_t count = *static_cast<int64_t *>(argv[1]) * 4;
  for (int64_t i = worker; i < count; i += workers)
    y[i] = 6;
}

static moec_status openKernels(const std::string &manifest,
                               const std::vector<moec_kernel_entry> &kernels,
                               Layer &layer,
                               const moec_open_options *options = nullptr) {
  moec_layer *opened = nullptr;
  moec_status status =
      moec_open_kernels(manifest.data(), manifest.size(), kernels.data(),
                        kernels.size(), options, &opened);
  layer.reset(opened);
  return status;
}

static float runTag(const moec_layer *layer, int64_t tokens) {
  std::vector<float> y(tokens * 4, -1);
  TensorView tensor(y.data(), MOEC_F32, {tokens, 4});
  EXPECT_EQ(moec_run(layer, nullptr, &tensor, 1, tokens, nullptr, 0, nullptr),
            MOEC_OK)
      << moec_last_error();
  return y.back();
}

TEST(Kernels, RunFromATable) {
  std::string manifest = tagManifest({{"x86-64", "[1, null]", 1}});
  Layer layer;
  ASSERT_EQ(
      openKernels(manifest,
                  {{nullptr, "other", tagSix}, {nullptr, "toy_tag_1", tagFive}},
                  layer),
      MOEC_OK)
      << moec_last_error();
  EXPECT_EQ(runTag(layer.get(), 3), 5);
}

TEST(Kernels, CodeObjectTellsEqualNamesApart) {
  std::string manifest =
      tagManifest({{"x86-64", "[1, 4]", 1}, {"x86-64", "[5, null]", 1}});
  manifest = replaced(manifest, "toy.so", "first.so");
  Layer layer;
  ASSERT_EQ(openKernels(manifest,
                        {{"toy.so", "toy_tag_1", tagSix},
                         {"first.so", "toy_tag_1", tagFive}},
                        layer),
            MOEC_OK)
      << moec_last_error();
  EXPECT_EQ(runTag(layer.get(), 4), 5);
  EXPECT_EQ(runTag(layer.get(), 5), 6);
}

TEST(Kernels, MissingOnes) {
  std::string manifest = tagManifest({{"x86-64", "[1, null]", 1}});
  Layer layer;
  expectError(openKernels(manifest, {{nullptr, "toy_tag_2", tagFive}}, layer),
              MOEC_ERR_CODE,
              {"none of the 1 kernels is 'toy_tag_1' of code object 'toy.so'"});
  expectError(openKernels(manifest, {{"else.so", "toy_tag_1", tagFive}}, layer),
              MOEC_ERR_CODE, {"'toy_tag_1'"});
  expectError(openKernels(manifest, {}, layer), MOEC_ERR_CODE,
              {"none of the 0 kernels"});
}

TEST(Kernels, BadCalls) {
  std::string manifest = tagManifest({{"x86-64", "[1, null]", 1}});
  moec_layer *layer = nullptr;
  moec_kernel_entry entry = {nullptr, "toy_tag_1", tagFive};
  expectError(moec_open_kernels(nullptr, 0, &entry, 1, nullptr, &layer),
              MOEC_ERR_INVALID_ARGUMENT, {"the manifest is null"});
  expectError(moec_open_kernels(manifest.data(), manifest.size(), nullptr, 1,
                                nullptr, &layer),
              MOEC_ERR_INVALID_ARGUMENT, {"the kernel table is null"});
  expectError(moec_open_kernels(manifest.data(), manifest.size(), &entry, 1,
                                nullptr, nullptr),
              MOEC_ERR_INVALID_ARGUMENT, {"the result pointer is null"});
  entry.kernel = nullptr;
  expectError(moec_open_kernels(manifest.data(), manifest.size(), &entry, 1,
                                nullptr, &layer),
              MOEC_ERR_INVALID_ARGUMENT, {"entry 0 has a null kernel"});
  entry = {nullptr, nullptr, tagFive};
  expectError(moec_open_kernels(manifest.data(), manifest.size(), &entry, 1,
                                nullptr, &layer),
              MOEC_ERR_INVALID_ARGUMENT, {"entry 0 has a null symbol"});
  // Exactly `length` bytes are read.
  entry.symbol = "toy_tag_1";
  expectError(moec_open_kernels(manifest.data(), manifest.size() - 1, &entry, 1,
                                nullptr, &layer),
              MOEC_ERR_MANIFEST, {"manifest: parse error"});
  moec_open_options options = openOptions();
  options.isa = "sse9";
  expectError(moec_open_kernels(manifest.data(), manifest.size(), &entry, 1,
                                &options, &layer),
              MOEC_ERR_INVALID_ARGUMENT, {"unknown instruction set 'sse9'"});
  std::string foreign = tagManifest({{"riscv", "[1, null]", 1}});
  expectError(moec_open_kernels(foreign.data(), foreign.size(), &entry, 1,
                                nullptr, &layer),
              MOEC_ERR_UNSUPPORTED, {"manifest: no variant runs here"});
  EXPECT_EQ(layer, nullptr);
}

TEST(Kernels, ManifestOnly) {
  std::string manifest = tagManifest({{"riscv", "[1, null]", 1}});
  moec_open_options options = openOptions();
  options.flags = MOEC_OPEN_MANIFEST_ONLY;
  Layer layer;
  ASSERT_EQ(openKernels(manifest, {}, layer, &options), MOEC_OK);
  EXPECT_EQ(manifest, moec_manifest(layer.get()));
}
