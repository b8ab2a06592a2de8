//===- Pool.cpp - Persistent worker threads -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Pool.h"
#include "FloatEnvironment.h"
#include "Status.h"

#include <climits>
#include <csignal>
#include <cstring>
#include <linux/futex.h>
#include <new>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace moec;

// More workers than this are a mistake rather than a machine.
static constexpr int32_t maxWorkers = 4096;

static void sleepWhile(std::atomic<uint32_t> &word, uint32_t value) {
  // May return early; the caller looks at the word again.
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAIT_PRIVATE,
          value, nullptr, nullptr, 0);
}

static void wakeAll(std::atomic<uint32_t> &word) {
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAKE_PRIVATE,
          INT_MAX, nullptr, nullptr, 0);
}

static void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

void Barrier::init(uint32_t threads, uint32_t spins) {
  this->threads = threads;
  this->spins = spins;
  missing.store(threads);
}

void Barrier::wait() {
  if (threads == 1)
    return;
  uint32_t current = phase.load(std::memory_order_relaxed);
  if (missing.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    missing.store(threads, std::memory_order_relaxed);
    // Sequentially consistent against the sleeper's increment: either this
    // thread sees a sleeper, or the sleeper's futex call sees the new phase.
    phase.store(current + 1, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst))
      wakeAll(phase);
    return;
  }
  for (uint32_t i = 0; i < spins; ++i) {
    if (phase.load(std::memory_order_acquire) != current)
      return;
    relax();
  }
  sleepers.fetch_add(1, std::memory_order_seq_cst);
  while (phase.load(std::memory_order_seq_cst) == current)
    sleepWhile(phase, current);
  sleepers.fetch_sub(1, std::memory_order_relaxed);
}

static bool allowedCpus(cpu_set_t &set) {
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0;
}

int32_t moec::availableCpus() {
  cpu_set_t set;
  if (allowedCpus(set))
    return CPU_COUNT(&set);
  // A machine with more CPUs than a cpu_set_t holds.
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<int32_t>(online) : 1;
}

/// Best effort: a pool whose threads cannot be pinned is slower, not wrong.
static void pinTo(pthread_t thread, int32_t position) {
  cpu_set_t set;
  if (!allowedCpus(set))
    return;
  position %= CPU_COUNT(&set);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set) || position-- != 0)
      continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    pthread_setaffinity_np(thread, sizeof(one), &one);
    return;
  }
}

void *moec_pool::threadMain(void *argument) {
  Thread &self = *static_cast<Thread *>(argument);
  moec_pool &pool = *self.pool;
  // A new thread inherits its creator's rounding and denormal modes.
  FloatEnvironment environment;
  while (true) {
    pool.meeting.wait();
    if (!pool.task)
      return nullptr;
    pool.task(pool.context, self.worker, pool.workers);
    pool.meeting.wait();
  }
}

moec_status moec::createPool(int32_t workers, uint32_t flags,
                             moec_pool **result) {
  if (!result)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "moec_pool_create: the result pointer is null");
  if (flags & ~MOEC_POOL_PIN)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "moec_pool_create: unknown flags 0x%x", flags & ~MOEC_POOL_PIN);
  if (workers < 0 || workers > maxWorkers)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "moec_pool_create: %d workers are not in [0, %d]", workers,
                maxWorkers);
  int32_t cpus = availableCpus();
  if (workers == 0)
    workers = cpus < maxWorkers ? cpus : maxWorkers;
  std::unique_ptr<moec_pool> pool(new (std::nothrow) moec_pool);
  if (pool)
    pool->threads.reset(new (std::nothrow) moec_pool::Thread[workers]);
  if (!pool || !pool->threads)
    return fail(MOEC_ERR_RESOURCES, "moec_pool_create: out of memory");
  pool->workers = workers;
  pool->owner = getpid();
  // Spinning only helps if the thread waited for is running.
  pool->meeting.init(workers, workers <= cpus ? 2000 : 20);

  // A signal of the host program must not run on a worker in mid-kernel.
  sigset_t all, previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  int error = 0;
  for (int32_t i = 1; i < workers; ++i) {
    moec_pool::Thread &thread = pool->threads[i];
    thread.pool = pool.get();
    thread.worker = i;
    error =
        pthread_create(&thread.handle, nullptr, moec_pool::threadMain, &thread);
    if (error)
      break;
    ++pool->started;
    if (flags & MOEC_POOL_PIN)
      pinTo(thread.handle, i);
  }
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  if (error) {
    int32_t started = pool->started;
    return fail(MOEC_ERR_RESOURCES,
                "moec_pool_create: thread %d of %d did not start: %s",
                started + 1, workers - 1, std::strerror(error));
  }
  *result = pool.release();
  return MOEC_OK;
}

moec_pool::~moec_pool() {
  // In the child of a fork there are no threads to join.
  if (owner != getpid())
    return;
  task = nullptr;
  // Stand in for threads that never started, so that the others get to leave.
  for (int32_t i = started + 1; i < workers; ++i)
    meeting.arrive();
  meeting.wait();
  for (int32_t i = 1; i <= started; ++i)
    pthread_join(threads[i].handle, nullptr);
}

moec_status moec_pool::run(Task newTask, void *newContext) {
  if (owner != getpid())
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "the pool belongs to process %d and this is process %d: "
                "create a pool after fork",
                static_cast<int>(owner), static_cast<int>(getpid()));
  std::lock_guard<std::mutex> lock(callers);
  FloatEnvironment environment;
  task = newTask;
  context = newContext;
  meeting.wait();
  task(context, 0, workers);
  meeting.wait();
  return MOEC_OK;
}

extern "C" moec_status moec_pool_create(int32_t workers, uint32_t flags,
                                        moec_pool **pool) {
  return createPool(workers, flags, pool);
}

extern "C" void moec_pool_destroy(moec_pool *pool) { delete pool; }

extern "C" int32_t moec_pool_workers(const moec_pool *pool) {
  return pool ? pool->workers : 1;
}

extern "C" moec_status moec_pool_run(moec_pool *pool,
                                     void (*fn)(void *context, int64_t worker,
                                                int64_t workers),
                                     void *context) {
  if (!fn)
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "moec_pool_run: the function is null");
  if (pool)
    return pool->run(fn, context);
  FloatEnvironment environment;
  fn(context, 0, 1);
  return MOEC_OK;
}
