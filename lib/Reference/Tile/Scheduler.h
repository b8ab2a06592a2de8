//===- Scheduler.h - Coroutines under a random schedule ---------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Tasks that run one at a time: a task keeps the processor until it waits or
// yields, then another one is chosen at random. Threads only carry the stacks;
// there is no parallelism, so a seed gives one schedule.
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_REFERENCE_TILE_SCHEDULER_H
#define MOEC_LIB_REFERENCE_TILE_SCHEDULER_H

#include "mlir/IR/Operation.h"
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <random>
#include <thread>

namespace mlir::moe::tile {

class Scheduler {
public:
  explicit Scheduler(uint64_t seed) : random(seed) {}

  /// Adds a task before run; `name` appears in the report of a deadlock.
  void add(std::string name, std::function<LogicalResult()> body);

  /// Runs all tasks to their end. Fails if one fails (it has reported why) or
  /// if all that are left are blocked (reported at `where`, with what each
  /// waits for).
  LogicalResult run(Operation *where);

  /// Called by the running task: goes on once `ready` holds. `op` is what the
  /// report of a deadlock names. Fails when the run is being given up.
  LogicalResult wait(Operation *op, std::function<bool()> ready);

  /// Called by the running task: lets others go first, by chance.
  LogicalResult yield(Operation *op);

  /// A random number below `bound`.
  uint64_t draw(uint64_t bound) { return random() % bound; }

private:
  struct Task {
    std::string name;
    std::function<LogicalResult()> body;
    std::function<bool()> ready;
    Operation *at = nullptr;
    bool done = false;
    std::condition_variable resumed;
    std::thread thread;
  };

  void resume(int index);
  void reportDeadlock(Operation *where);

  std::mt19937_64 random;
  std::deque<Task> tasks;
  std::mutex mutex;
  std::condition_variable returned;
  /// Index of the task that has the processor, -1 for the scheduler.
  int running = -1;
  bool givingUp = false;
};

} // namespace mlir::moe::tile

#endif // MOEC_LIB_REFERENCE_TILE_SCHEDULER_H
