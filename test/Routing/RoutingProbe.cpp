//===- RoutingProbe.cpp - Routing results for comparison with NumPy -------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   RoutingProbe space-map SEED
//   RoutingProbe (raw | random | gumbel) SEED COUNT OUT.npy
//   RoutingProbe sample ARCHETYPE TOKENS EXPERTS TOPK SEED OUT.npy
//   RoutingProbe check IDS.npy EXPERTS
//   RoutingProbe align IDS.npy EXPERTS BLOCK_M BLOCKS OUT.safetensors
//
//===----------------------------------------------------------------------===//

#include "moec/Routing/Align.h"
#include "moec/Routing/SpaceMap.h"
#include "moec/Support/TensorIO.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::moe;

static int fail(llvm::Error error) {
  llvm::errs() << "error: " << llvm::toString(std::move(error)) << "\n";
  return 1;
}

template <typename T>
static HostTensor fromVector(ElementType type, const std::vector<T> &v) {
  HostTensor tensor = llvm::cantFail(
      HostTensor::create(type, {static_cast<int64_t>(v.size())}));
  llvm::copy(v, tensor.getAs<T>().begin());
  return tensor;
}

static int draw(llvm::StringRef what, uint64_t seed, int64_t count,
                llvm::StringRef path) {
  NumpyGenerator generator(seed);
  ElementType type = what == "raw" ? ElementType::I64 : ElementType::F64;
  HostTensor tensor = llvm::cantFail(HostTensor::create(type, {count}));
  for (int64_t i = 0; i < count; ++i) {
    if (what == "raw")
      tensor.getAs<uint64_t>()[i] = generator.next();
    else
      tensor.getAs<double>()[i] =
          what == "random" ? generator.random() : generator.gumbel();
  }
  if (llvm::Error error = writeNpy(path, tensor))
    return fail(std::move(error));
  return 0;
}

static int align(const TopkIds &ids, int64_t experts, int64_t blockM,
                 int64_t blocks, llvm::StringRef path) {
  llvm::Expected<AlignedRouting> aligned =
      alignRouting(ids, experts, blockM, {}, blocks);
  if (!aligned)
    return fail(aligned.takeError());
  HostTensor sorted = fromVector(ElementType::I32, aligned->sortedIds);
  HostTensor owners = fromVector(ElementType::I32, aligned->blockExperts);
  HostTensor offsets = fromVector(ElementType::I64, aligned->offsets);
  HostTensor padded = fromVector(ElementType::I64, aligned->paddedOffsets);
  if (llvm::Error error = writeSafetensors(path, {{"sorted_ids", &sorted},
                                                  {"block_experts", &owners},
                                                  {"offsets", &offsets},
                                                  {"padded_offsets", &padded}}))
    return fail(std::move(error));
  return 0;
}

int main(int argc, char **argv) {
  llvm::SmallVector<llvm::StringRef> args(argv + 1, argv + argc);
  auto number = [&](unsigned i) {
    long long value = 0;
    if (args[i].getAsInteger(10, value))
      llvm::errs() << "not a number: " << args[i] << "\n";
    return value;
  };
  auto seed = [&](unsigned i) {
    unsigned long long value = 0;
    if (args[i].getAsInteger(10, value))
      llvm::errs() << "not a seed: " << args[i] << "\n";
    return static_cast<uint64_t>(value);
  };
  if (args.size() == 2 && args[0] == "space-map") {
    printSpaceMap(llvm::outs(), seed(1));
    return 0;
  }
  if (args.size() == 4)
    return draw(args[0], seed(1), number(2), args[3]);
  if (args.size() == 7 && args[0] == "sample") {
    llvm::Expected<TopkIds> ids =
        sampleRouting(*parseRoutingArchetype(args[1]), number(2), number(3),
                      number(4), seed(5));
    if (!ids)
      return fail(ids.takeError());
    if (llvm::Error error =
            writeNpy(args[6], llvm::cantFail(topkIdsToTensor(*ids))))
      return fail(std::move(error));
    return 0;
  }
  if (args.size() >= 3 && (args[0] == "check" || args[0] == "align")) {
    llvm::Expected<TopkIds> ids = readTopkIds(args[1], number(2));
    if (!ids)
      return fail(ids.takeError());
    if (args[0] == "align")
      return align(*ids, number(2), number(3), number(4), args[5]);
    llvm::outs() << ids->tokens << " tokens, top-" << ids->topk << "\n";
    return 0;
  }
  llvm::errs() << "see the head of RoutingProbe.cpp for the calls\n";
  return 2;
}
