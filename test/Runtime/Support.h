//===- Support.h - What the runtime's tests share ---------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_TEST_RUNTIME_SUPPORT_H
#define MOEC_TEST_RUNTIME_SUPPORT_H

#include "moec-c/Runtime.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace moec::test {

/// Text of test/Runtime/Inputs/toy.json.
std::string toyManifest();

/// `text` with the first `from` replaced; the test fails if there is none.
std::string replaced(std::string text, const std::string &from,
                     const std::string &to);

/// A manifest of one argument "y" f32 [T, 4] and the given variants, whose
/// kernels are toy_tag_N.
struct TaggedVariant {
  std::string isa;
  std::string tokens;
  int tag;
};
std::string tagManifest(const std::vector<TaggedVariant> &variants);

/// A directory that is removed at the end of the scope.
class Directory {
public:
  Directory();
  ~Directory();
  /// With this manifest and a copy of the kernels as toy.so.
  explicit Directory(const std::string &manifest);
  std::string operator/(const std::string &name) const {
    return path + "/" + name;
  }
  void write(const std::string &name, const std::string &content) const;
  std::string path;
};

/// The content of a file.
std::string contentOf(const std::string &path);

struct LayerCloser {
  void operator()(moec_layer *layer) const { moec_close(layer); }
};
using Layer = std::unique_ptr<moec_layer, LayerCloser>;
struct PoolDestroyer {
  void operator()(moec_pool *pool) const { moec_pool_destroy(pool); }
};
using Pool = std::unique_ptr<moec_pool, PoolDestroyer>;

/// Opens the artifact; the test fails if that does.
Layer open(const Directory &directory,
           const moec_open_options *options = nullptr);
Pool makePool(int workers);

/// Options with struct_size set.
moec_open_options openOptions();

/// `bytes` aligned bytes, all 0xff: NaN as f32.
class Buffer {
public:
  explicit Buffer(uint64_t bytes, uint64_t align = MOEC_WORKSPACE_ALIGN);
  ~Buffer() { std::free(data); }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  void *data = nullptr;
};

/// A tensor over memory that lives elsewhere.
struct TensorView : moec_tensor {
  TensorView(void *data, moec_dtype dtype, std::vector<int64_t> shape)
      : sizes(std::move(shape)) {
    this->data = data;
    this->dtype = dtype;
    rank = static_cast<int32_t>(sizes.size());
    dims = sizes.data();
    strides = nullptr;
  }
  TensorView(const TensorView &) = delete;
  std::vector<int64_t> sizes;
};

/// One run of the toy layer: y = 2 * (reverse(x) + 1) + bias.
struct ToyRun {
  explicit ToyRun(int64_t tokens, uint32_t seed = 1);
  /// Everything right, unless a test changes `tensors` or the workspace first.
  moec_status run(const moec_layer *layer, moec_pool *pool = nullptr,
                  moec_run_stats *stats = nullptr);
  /// Compares y with the formula.
  void check() const;

  int64_t tokens;
  std::vector<float> x, bias, y;
  std::vector<int64_t> shape, biasShape;
  std::vector<moec_tensor> tensors;
};

/// EXPECTs that the call failed with this status and that the message contains
/// all of the parts.
void expectError(moec_status actual, moec_status expected,
                 const std::vector<std::string> &parts);

} // namespace moec::test

#endif // MOEC_TEST_RUNTIME_SUPPORT_H
