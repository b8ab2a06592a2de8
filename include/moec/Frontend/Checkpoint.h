//===- Checkpoint.h - Weights as they lie on disk ---------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A Hugging Face checkpoint is a directory of .safetensors files. Every family
// names the same weights differently, and every quantiser packs them its own
// way; docs/checkpoints.md lists what is read. All of it becomes the arguments
// of the layer that buildLayer makes.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_FRONTEND_CHECKPOINT_H
#define MOEC_FRONTEND_CHECKPOINT_H

#include "moec/Frontend/LayerDescription.h"
#include "moec/Support/TensorIO.h"

#include <map>

namespace mlir::moe {

/// A tensor of a checkpoint where it is mapped. No alignment is promised.
struct CheckpointTensor {
  /// "model-00001-of-00002.safetensors: tensor 'a.weight'": for messages.
  std::string where;
  const SafetensorsEntry *entry = nullptr;
  ArrayRef<uint8_t> bytes;

  /// "F16[16, 256]".
  std::string describe() const;
};

/// The tensors of a directory, by name, whichever file they are in.
class Checkpoint {
public:
  /// Reads `model.safetensors.index.json` or any other *.safetensors.index.json
  /// and, if there is none, the headers of all *.safetensors files. Files that
  /// an index names are opened when a tensor of theirs is wanted. Errors: no
  /// such file, an index of another form or one that leaves the directory, a
  /// name in two files.
  static llvm::Expected<Checkpoint> open(StringRef directory);

  /// Sorted.
  std::vector<StringRef> getNames() const;
  bool has(StringRef name) const { return files.count(name.str()) != 0; }
  /// An error if it is nowhere, or not in the file that the index names.
  llvm::Expected<CheckpointTensor> get(StringRef name);
  StringRef getDirectory() const { return directory; }

private:
  llvm::Expected<const SafetensorsFile *> openFile(const std::string &file);

  std::string directory;
  /// File by tensor.
  std::map<std::string, std::string> files;
  std::map<std::string, std::unique_ptr<SafetensorsFile>> opened;
};

/// What readExpertWeights found.
struct ExpertWeights {
  /// By the names of the layer's arguments: w1, w1_scale, b1, ...
  std::map<std::string, HostTensor> tensors;
  int64_t layer = 0;
  /// What the names of the tensors begin with: "model.layers.3.mlp.".
  std::string prefix;
};

/// Reads the experts of one decoder layer, the first that has any if `number`
/// is absent, as the arguments of buildLayer(layer) in their types, shapes and
/// packing. The description must be whole (not split over ranks).
/// `gptqOffset`: what is added to the zero points of a GPTQ checkpoint, 1 for
/// all but the format "gptq_v2".
///
/// Errors name the tensor and both numbers, and there is no partial result:
/// missing tensors, other shapes or types than the description's, granules
/// that do not fit, act-order, zero points other than the dtype's constant,
/// scales that are zero, negative (but for int formats), infinite or NaN.
/// Scales in f16 are rounded to the dtype's bf16, as everyone does.
llvm::Expected<ExpertWeights>
readExpertWeights(Checkpoint &checkpoint, const LayerDescription &layer,
                  std::optional<int64_t> number = std::nullopt,
                  int64_t gptqOffset = 1);

/// The description in the directory's config.json, and how GPTQ zero points
/// are stored there.
llvm::Expected<std::pair<LayerDescription, int64_t>>
readCheckpointConfig(StringRef directory,
                     std::optional<Dtype> dtype = std::nullopt);

} // namespace mlir::moe

#endif // MOEC_FRONTEND_CHECKPOINT_H
