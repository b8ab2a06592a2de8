//===- Pool.h - Persistent worker threads -----------------------*- C++ -*-===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef MOEC_LIB_RUNTIME_POOL_H
#define MOEC_LIB_RUNTIME_POOL_H

#include "moec-c/Runtime.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <sys/types.h>

namespace moec {

/// A reusable barrier for a fixed number of threads. Waiting spins for some
/// ten microseconds, then sleeps in the kernel.
class Barrier {
public:
  void init(uint32_t threads, uint32_t spins);
  /// Returns when all threads have called it. What a thread wrote before is
  /// visible to all of them afterwards.
  void wait();
  /// Counts as one call of wait() of a thread that does not exist. Must not be
  /// the last one.
  void arrive() { missing.fetch_sub(1, std::memory_order_acq_rel); }

private:
  // Apart from each other, since arriving threads write one and waiting
  // threads read the other.
  alignas(64) std::atomic<uint32_t> missing{0};
  alignas(64) std::atomic<uint32_t> phase{0};
  std::atomic<uint32_t> sleepers{0};
  uint32_t threads = 1;
  uint32_t spins = 0;
};

using Task = void (*)(void *context, int64_t worker, int64_t workers);

/// The implementation of moec_pool_create.
moec_status createPool(int32_t workers, uint32_t flags, moec_pool **pool);

/// Number of CPUs this process may run on, at least 1.
int32_t availableCpus();

} // namespace moec

struct moec_pool {
  ~moec_pool();

  /// Calls task(context, worker, workers) on every worker; the calling thread
  /// is worker 0. Later callers wait. Fails after a fork, whose child has no
  /// worker threads.
  moec_status run(moec::Task task, void *context);

  /// To be called by every worker of the running task.
  void barrier() { meeting.wait(); }

  int32_t workers = 1;

private:
  friend moec_status moec::createPool(int32_t, uint32_t, moec_pool **);
  static void *threadMain(void *argument);
  struct Thread {
    pthread_t handle;
    moec_pool *pool;
    int32_t worker;
  };

  /// Starts a task, separates its launches and ends it: the workers sleep at
  /// it between tasks, with `missing` short of the caller alone.
  moec::Barrier meeting;
  std::mutex callers;
  moec::Task task = nullptr;
  void *context = nullptr;
  std::unique_ptr<Thread[]> threads;
  int32_t started = 0;
  pid_t owner = 0;
};

#endif // MOEC_LIB_RUNTIME_POOL_H
