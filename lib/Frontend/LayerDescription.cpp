//===- LayerDescription.cpp - Rules of a layer, and its split ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Frontend/LayerDescription.h"

using namespace mlir;
using namespace mlir::moe;

/// One line of error from pieces.
template <typename... Pieces> static llvm::Error fail(Pieces &&...pieces) {
  std::string text;
  llvm::raw_string_ostream os(text);
  (os << ... << pieces);
  return llvm::createStringError(text);
}

/// Bounds under which the elements of every tensor are counted in 62 bits.
static constexpr int64_t maxExperts = int64_t(1) << 16;
static constexpr int64_t maxSize = int64_t(1) << 22;

static llvm::Error checkSize(StringRef what, int64_t value, int64_t limit) {
  if (value >= 1 && value <= limit)
    return llvm::Error::success();
  return fail(what, " must be between 1 and ", limit, ", got ", value);
}

/// `size` columns must be whole scale groups of `group` (0 = one group).
static llvm::Error checkGroups(const LayerDescription &layer, StringRef what,
                               int64_t size, int64_t group) {
  if (!group || size % group == 0)
    return llvm::Error::success();
  // The shared expert is split over the expert-parallel ranks as well.
  int64_t ranks = what == "hidden size" ? 1 : layer.tensorParallel;
  if (what == "shared intermediate size")
    ranks *= layer.expertParallel;
  std::string split;
  if (ranks > 1)
    split = " (split over " + std::to_string(ranks) + " ranks)";
  return fail("dtype ", getDtypeInfo(layer.dtype).name, ": the ", what, " ",
              size, split, " is not a multiple of the scale group of ", group);
}

llvm::Error LayerDescription::verify() const {
  for (auto [what, value, limit] :
       {std::tuple<StringRef, int64_t, int64_t>{"number of experts", experts,
                                                maxExperts},
        {"number of experts per rank", localExperts, experts},
        {"hidden size", hidden, maxSize},
        {"intermediate size", intermediate, maxSize}})
    if (llvm::Error error = checkSize(what, value, limit))
      return error;
  if (topk < 1 || topk > experts)
    return fail("top-k must be between 1 and the number of experts ", experts,
                ", got ", topk);
  if (sharedIntermediate < 0 || sharedIntermediate > maxSize)
    return fail("shared intermediate size must be between 0 and ", maxSize,
                ", got ", sharedIntermediate);

  const RouterDescription &r = router;
  if (r.groups < 1 || experts % r.groups != 0)
    return fail("router: ", r.groups, " groups do not divide ", experts,
                " experts");
  if (r.topkGroups < 1 || r.topkGroups > r.groups)
    return fail("router: must choose between 1 and ", r.groups, " groups, got ",
                r.topkGroups);
  if (r.topkGroups * (experts / r.groups) < topk)
    return fail("router: ", r.topkGroups, " groups of ", experts / r.groups,
                " experts cannot give top-k ", topk);
  if (r.groupScore == GroupScore::Top2Sum && r.groups > 1 &&
      experts / r.groups < 2)
    return fail("router: the sum of the two best scores needs groups of at "
                "least 2 experts, got ",
                experts / r.groups);

  // Scales are shared along the reduction (columns of both weights), and with
  // blocks also along the rows: gate and up must not share one.
  const DtypeInfo &info = getDtypeInfo(dtype);
  for (int64_t group : {info.granuleCols, info.actGranule})
    for (auto [what, size] :
         {std::pair<StringRef, int64_t>{"hidden size", hidden},
          {"intermediate size", intermediate},
          {"shared intermediate size", sharedIntermediate}})
      if (llvm::Error error = checkGroups(*this, what, size, group))
        return error;
  return llvm::Error::success();
}

/// Splits `size` evenly, or says that it cannot.
static llvm::Expected<int64_t> split(StringRef what, int64_t size,
                                     int64_t ranks, StringRef kind) {
  if (ranks < 1)
    return fail(kind, " parallel ranks must be positive, got ", ranks);
  if (size % ranks != 0)
    return fail(what, " ", size, " cannot be split evenly over ", ranks, " ",
                kind, " parallel ranks");
  return size / ranks;
}

llvm::Error LayerDescription::applyTensorParallel(int64_t ranks) {
  LayerDescription next = *this;
  for (auto [what, size] :
       {std::pair<StringRef, int64_t *>{"intermediate size",
                                        &next.intermediate},
        {"shared intermediate size", &next.sharedIntermediate}}) {
    llvm::Expected<int64_t> part = split(what, *size, ranks, "tensor");
    if (!part)
      return part.takeError();
    *size = *part;
  }
  next.tensorParallel *= ranks;
  if (llvm::Error error = next.verify())
    return error;
  *this = std::move(next);
  return llvm::Error::success();
}

llvm::Error LayerDescription::applyExpertParallel(int64_t ranks) {
  LayerDescription next = *this;
  for (auto [what, size] :
       {std::pair<StringRef, int64_t *>{"number of experts",
                                        &next.localExperts},
        {"shared intermediate size", &next.sharedIntermediate}}) {
    llvm::Expected<int64_t> part = split(what, *size, ranks, "expert");
    if (!part)
      return part.takeError();
    *size = *part;
  }
  next.expertParallel *= ranks;
  if (llvm::Error error = next.verify())
    return error;
  *this = std::move(next);
  return llvm::Error::success();
}
