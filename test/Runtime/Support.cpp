//===- Support.cpp - What the runtime's tests share -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

namespace moec::test {

std::string contentOf(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string toyManifest() { return contentOf(TOY_INPUTS "/toy.json"); }

std::string replaced(std::string text, const std::string &from,
                     const std::string &to) {
  size_t position = text.find(from);
  if (position == std::string::npos) {
    ADD_FAILURE() << "the manifest does not contain " << from;
    return text;
  }
  return text.replace(position, from.size(), to);
}

std::string tagManifest(const std::vector<TaggedVariant> &variants) {
  std::string text = R"({"moec": "0.1.0", "format": 1, "layer": {"name": "tag"},
    "arguments": [{"name": "y", "dtype": "f32", "shape": ["T", 4],
                   "role": "output"}], "variants": [)";
  const char *separator = "";
  for (const TaggedVariant &variant : variants) {
    text += separator;
    separator = ", ";
    text += R"({"target": "cpu", "isa": ")" + variant.isa + R"(", "tokens": )" +
            variant.tokens +
            R"(, "code": "toy.so", "launches": [{"kernel": "toy_tag_)" +
            std::to_string(variant.tag) +
            R"(", "args": [{"arg": 0}, {"dim": "T"}, {"dim": 4}]}]})";
  }
  return text + "]}";
}

Directory::Directory() {
  std::string pattern =
      (std::filesystem::temp_directory_path() / "moec-runtime-XXXXXX").string();
  EXPECT_NE(mkdtemp(pattern.data()), nullptr);
  path = pattern;
}

Directory::Directory(const std::string &manifest) : Directory() {
  write("manifest.json", manifest);
  std::filesystem::copy_file(TOY_KERNELS, *this / "toy.so");
}

Directory::~Directory() {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

void Directory::write(const std::string &name,
                      const std::string &content) const {
  std::ofstream file(*this / name, std::ios::binary);
  file << content;
  EXPECT_TRUE(file.good());
}

Layer open(const Directory &directory, const moec_open_options *options) {
  moec_layer *layer = nullptr;
  EXPECT_EQ(moec_open(directory.path.c_str(), options, &layer), MOEC_OK)
      << moec_last_error();
  return Layer(layer);
}

Pool makePool(int workers) {
  moec_pool *pool = nullptr;
  EXPECT_EQ(moec_pool_create(workers, 0, &pool), MOEC_OK) << moec_last_error();
  return Pool(pool);
}

moec_open_options openOptions() {
  moec_open_options options = {};
  options.struct_size = sizeof(options);
  return options;
}

Buffer::Buffer(uint64_t bytes, uint64_t align) {
  EXPECT_EQ(posix_memalign(&data, align, bytes + 1), 0);
  std::memset(data, 0xff, bytes);
}

ToyRun::ToyRun(int64_t tokens, uint32_t seed)
    : tokens(tokens), x(tokens * 4), bias(4), y(tokens * 4, NAN),
      shape{tokens, 4}, biasShape{4} {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-4, 4);
  for (float &value : x)
    value = uniform(random);
  for (float &value : bias)
    value = uniform(random);
  tensors = {{x.data(), MOEC_F32, 2, shape.data(), nullptr},
             {bias.data(), MOEC_F32, 1, biasShape.data(), nullptr},
             {y.data(), MOEC_F32, 2, shape.data(), nullptr}};
}

moec_status ToyRun::run(const moec_layer *layer, moec_pool *pool,
                        moec_run_stats *stats) {
  uint64_t bytes = 0;
  if (moec_status status = moec_workspace_size(layer, pool, tokens, &bytes))
    return status;
  Buffer workspace(bytes);
  return moec_run(layer, pool, tensors.data(),
                  static_cast<int32_t>(tensors.size()), tokens, workspace.data,
                  bytes, stats);
}

void ToyRun::check() const {
  for (int64_t row = 0; row < tokens; ++row)
    for (int64_t column = 0; column < 4; ++column) {
      float expected = 2.0f * (x[(tokens - 1 - row) * 4 + column] + 1.0f) +
                       (tensors[1].data ? bias[column] : 0.0f);
      ASSERT_FLOAT_EQ(y[row * 4 + column], expected) << row << " " << column;
    }
}

void expectError(moec_status actual, moec_status expected,
                 const std::vector<std::string> &parts) {
  std::string message = moec_last_error();
  EXPECT_STREQ(moec_status_name(actual), moec_status_name(expected)) << message;
  for (const std::string &part : parts)
    EXPECT_NE(message.find(part), std::string::npos)
        << "'" << part << "' is not in: " << message;
}

} // namespace moec::test
