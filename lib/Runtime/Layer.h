//===- Layer.h - An opened artifact -----------------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_LAYER_H
#define MOEC_LIB_RUNTIME_LAYER_H

#include "CodeObject.h"
#include "Isa.h"
#include "Manifest.h"

#include <memory>

namespace moec {

struct GpuState;

/// What opening adds to a variant of the manifest.
struct LoadedVariant {
  bool runnable = false;
  Isa isa = Isa::None;
  /// One per launch, on the CPU.
  std::vector<moec_kernel> kernels;
};

/// Where the slices of a workspace lie.
struct WorkspaceLayout {
  /// From the base, which is the workspace pointer rounded up to `align`.
  int64_t offsets[maxWorkspaces];
  int64_t bytes[maxWorkspaces];
  int64_t align = MOEC_WORKSPACE_ALIGN;
  /// What the caller has to pass, rounding included.
  int64_t total = 0;
};

/// False if a size does not fit an int64_t.
bool layOut(const Variant &variant, int64_t tokens, int64_t workers,
            WorkspaceLayout &layout);

/// "no variant covers 7 tokens; there are ...".
moec_status noVariant(const moec_layer &layer, int64_t tokens);

} // namespace moec

/// Immutable after it was opened.
struct moec_layer {
  moec::Manifest manifest;
  std::vector<moec::LoadedVariant> loaded;
  std::vector<moec::CodeObject> objects;
  bool manifestOnly = false;
  /// "cpu", "cuda:0", "hip:0", ...; "" if only the manifest was opened.
  std::string target;
  /// Of a layer on a GPU, else null.
  std::unique_ptr<moec::GpuState> gpu;

  moec_layer();
  ~moec_layer();

  /// Implements moec_select_variant.
  moec_status select(int64_t tokens, int32_t &index) const;
};

#endif // MOEC_LIB_RUNTIME_LAYER_H
