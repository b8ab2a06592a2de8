//===- MemoryKernels.cpp - Memory by access pattern -----------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// All threads of the grid walk over pieces of 16 bytes, so that a wave's are
// one run, and have several under way. What is read is folded into one word
// and stored: without that the compiler would drop the reads, and a test could
// not tell what was read.
//
//===----------------------------------------------------------------------===//

#include "KernelBuilder.h"

using namespace mlir;
using namespace mlir::moe;
using namespace mlir::moe::calibration;

/// Pieces under way of a thread that reads; of one that writes, which waits for
/// none.
static constexpr int64_t kUnder = 8, kWritten = 1;

/// Where pieces of rows at random places are.
static Value scatterPlace(KernelBuilder &k, Value piece, Value rows,
                          Value shift) {
  Value row = k.low(k.shr(piece, shift));
  Value place = k.shr(k.mul(k.extend(k.mix(row)), rows), k.c64(32));
  Value mask = k.sub(k.shl(k.c64(1), shift), k.c64(1));
  return k.bitOr(k.shl(place, shift), k.bitAnd(piece, mask));
}

/// Reads `count` pieces, folds them, and stores a word of each thread.
static void readAll(KernelBuilder &k, Value count, Value threads, Value out,
                    function_ref<Value(Value)> address) {
  Value zero = k.pack({k.c32(0), k.c32(0), k.c32(0), k.c32(0)});
  Value sum = k.pieces(count, threads, kUnder, zero,
                       [&](ArrayRef<Value> numbers, ValueRange carried) {
                         SmallVector<Value> loaded;
                         for (Value number : numbers)
                           loaded.push_back(k.stream(address(number)));
                         Value sum = carried[0];
                         for (Value value : loaded)
                           sum = k.bitXor(sum, value);
                         return SmallVector<Value>{sum};
                       })[0];
  k.store(k.fold(sum), k.at(out, k.shl(k.global(), k.c64(2))), 4);
}

/// probe_read(source, pieces, threads, out)
static void addRead(ModuleOp module, const ProbeTarget &target) {
  Builder t(module.getContext());
  Type p = KernelBuilder::pointer(module.getContext()), n = t.getI64Type();
  KernelBuilder k(module, target, "probe_read", {p, n, n, p}, kStreamThreads);
  k.fit(kStreamBlocks);
  readAll(k, k.arg(1), k.arg(2), k.arg(3),
          [&](Value number) { return k.pieceAt(k.arg(0), number); });
}

/// probe_gather(source, rows, log2 pieces of a row, pieces, threads, out): rows
/// of the source, fewer than 2^32, at places that the row's number decides.
static void addGather(ModuleOp module, const ProbeTarget &target) {
  Builder t(module.getContext());
  Type p = KernelBuilder::pointer(module.getContext()), n = t.getI64Type();
  KernelBuilder k(module, target, "probe_gather", {p, n, n, n, n, p},
                  kStreamThreads);
  k.fit(kStreamBlocks);
  readAll(k, k.arg(3), k.arg(4), k.arg(5), [&](Value number) {
    return k.pieceAt(k.arg(0), scatterPlace(k, number, k.arg(1), k.arg(2)));
  });
}

/// probe_copy(source, destination, pieces, threads)
static void addCopy(ModuleOp module, const ProbeTarget &target) {
  Builder t(module.getContext());
  Type p = KernelBuilder::pointer(module.getContext()), n = t.getI64Type();
  KernelBuilder k(module, target, "probe_copy", {p, p, n, n}, kStreamThreads);
  // All pieces of a thread are in registers at once.
  k.fit(kCopyBlocks);
  k.pieces(k.arg(2), k.arg(3), kUnder, {},
           [&](ArrayRef<Value> numbers, ValueRange) {
             SmallVector<Value> loaded;
             for (Value number : numbers)
               loaded.push_back(k.stream(k.pieceAt(k.arg(0), number)));
             for (auto [number, value] : llvm::zip(numbers, loaded))
               k.store(value, k.pieceAt(k.arg(1), number), 16);
             return SmallVector<Value>();
           });
}

/// Words of noise of which some bits are kept and some set.
static Value makeNoise(KernelBuilder &k, Value number, Value keep, Value set) {
  SmallVector<Value> words = k.noise(k.low(number));
  for (Value &word : words)
    word = k.bitOr(k.bitAnd(word, keep), set);
  return k.pack(words);
}

/// probe_write(destination, pieces, threads, kept bits, set bits): noise.
static void addWrite(ModuleOp module, const ProbeTarget &target) {
  Builder t(module.getContext());
  Type p = KernelBuilder::pointer(module.getContext()), n = t.getI64Type();
  KernelBuilder k(module, target, "probe_write",
                  {p, n, n, t.getI32Type(), t.getI32Type()}, kStreamThreads);
  k.fit(kStreamBlocks);
  k.pieces(k.arg(1), k.arg(2), kWritten, {},
           [&](ArrayRef<Value> numbers, ValueRange) {
             for (Value number : numbers)
               k.store(makeNoise(k, number, k.arg(3), k.arg(4)),
                       k.pieceAt(k.arg(0), number), 16);
             return SmallVector<Value>();
           });
}

/// probe_scatter(destination, rows, log2 pieces of a row, pieces, threads):
/// writes the number of the row to the places that probe_gather reads.
static void addScatter(ModuleOp module, const ProbeTarget &target) {
  Builder t(module.getContext());
  Type p = KernelBuilder::pointer(module.getContext()), n = t.getI64Type();
  KernelBuilder k(module, target, "probe_scatter", {p, n, n, n, n},
                  kStreamThreads);
  k.fit(kStreamBlocks);
  k.pieces(k.arg(3), k.arg(4), kWritten, {},
           [&](ArrayRef<Value> numbers, ValueRange) {
             for (Value number : numbers) {
               Value place = scatterPlace(k, number, k.arg(1), k.arg(2));
               // Rows that meet at one place write the same.
               Value word = k.low(k.shr(place, k.arg(2)));
               k.store(k.pack({word, word, word, word}),
                       k.pieceAt(k.arg(0), place), 16);
             }
             return SmallVector<Value>();
           });
}

/// Bytes from one element of a walk to the next in memory: a line.
static constexpr int64_t kLineShift = 7;

/// probe_walk(walk, lines, threads): a walk of odd stride over lines of 128
/// bytes, whose first words name the next line.
static void addWalk(ModuleOp module, const ProbeTarget &target) {
  Builder t(module.getContext());
  Type p = KernelBuilder::pointer(module.getContext()), n = t.getI64Type();
  KernelBuilder k(module, target, "probe_walk", {p, n, n}, kStreamThreads);
  k.loop(k.global(), k.arg(1), k.arg(2), {}, [&](Value line, ValueRange) {
    Value next = k.add(line, k.c64(7919));
    next = arith::RemUIOp::create(k.b, k.loc, next, k.arg(1));
    k.store(k.low(next), k.at(k.arg(0), k.shl(line, k.c64(kLineShift))), 4);
    return SmallVector<Value>();
  });
}

/// probe_chase(walk, steps, out): one thread goes the walk and says where it
/// ended.
static void addChase(ModuleOp module, const ProbeTarget &target) {
  Builder t(module.getContext());
  Type p = KernelBuilder::pointer(module.getContext());
  KernelBuilder k(module, target, "probe_chase", {p, t.getI32Type(), p},
                  target.wave);
  k.when(k.same(k.thread(), k.c32(0)), [&] {
    Value end = k.loop(
        k.c32(0), k.arg(1), k.c32(1), k.c32(0), [&](Value, ValueRange carried) {
          Value place =
              k.at(k.arg(0), k.shl(k.extend(carried[0]), k.c64(kLineShift)));
          // Volatile: past the first-level cache.
          return SmallVector<Value>{LLVM::LoadOp::create(
              k.b, k.loc, k.i32(), place, 4, /*isVolatile=*/true)};
        })[0];
    k.store(end, k.arg(2), 4);
  });
}

void calibration::addMemoryKernels(ModuleOp module, const ProbeTarget &target) {
  addRead(module, target);
  addCopy(module, target);
  addWrite(module, target);
  addGather(module, target);
  addScatter(module, target);
  addWalk(module, target);
  addChase(module, target);
}
