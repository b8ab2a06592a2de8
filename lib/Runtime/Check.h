//===- Check.h - What a caller passes, against the manifest -----*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_CHECK_H
#define MOEC_LIB_RUNTIME_CHECK_H

#include "Layer.h"

namespace moec {

/// Addresses [first, last).
struct Extent {
  uintptr_t first = 0;
  uintptr_t last = 0; // equal to first when empty

  bool overlaps(const Extent &other) const {
    return first < other.last && other.first < last;
  }
  int64_t bytes() const { return static_cast<int64_t>(last - first); }
};

/// Checks count, null, dtype, shape, contiguity and alignment; `extents` gets
/// the memory of each argument. Dereferences no data pointer.
moec_status checkTensors(const moec_layer &layer, const moec_tensor *tensors,
                         int32_t count, int64_t tokens,
                         Extent (&extents)[maxArguments]);

/// Outputs share no memory with anything else, nothing does with the workspace.
moec_status checkOverlap(const moec_layer &layer,
                         const Extent (&extents)[maxArguments],
                         const Extent &workspace);

/// Checks size and alignment; `used` gets the part that is needed. workers: 0
/// on a GPU, which has none.
moec_status checkWorkspace(const moec_layer &layer,
                           const WorkspaceLayout &layout, int64_t tokens,
                           int32_t workers, const void *workspace,
                           uint64_t bytes, Extent &used);

} // namespace moec

#endif // MOEC_LIB_RUNTIME_CHECK_H
