//===- PoolTest.cpp - Worker threads --------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Pool.h"
#include "Support.h"

#include <atomic>
#include <csignal>
#include <cstdio>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace moec::test;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MOEC_SANITIZED 1
#elif defined(__has_feature)
#define MOEC_SANITIZED                                                         \
  (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define MOEC_SANITIZED 0
#endif

TEST(Pool, EveryWorkerRunsOnce) {
  for (int workers : {1, 2, 3, 8}) {
    Pool pool = makePool(workers);
    EXPECT_EQ(moec_pool_workers(pool.get()), workers);
    struct Seen {
      std::atomic<int> calls[8] = {};
      std::thread::id zero;
      std::atomic<int> wrong{0};
      int expected;
    } seen;
    seen.expected = workers;
    for (int round = 1; round <= 50; ++round) {
      ASSERT_EQ(moec_pool_run(
                    pool.get(),
                    [](void *context, int64_t worker, int64_t workers) {
                      Seen &seen = *static_cast<Seen *>(context);
                      seen.wrong += workers != seen.expected;
                      ++seen.calls[worker];
                      if (worker == 0)
                        seen.zero = std::this_thread::get_id();
                    },
                    &seen),
                MOEC_OK);
      // When the call returns all of them are done.
      for (int worker = 0; worker < 8; ++worker)
        ASSERT_EQ(seen.calls[worker], worker < workers ? round : 0);
    }
    EXPECT_EQ(seen.wrong, 0);
    EXPECT_EQ(seen.zero, std::this_thread::get_id());
  }
}

TEST(Pool, BarrierSeparatesPhases) {
  Pool pool = makePool(4);
  struct State {
    moec_pool *pool;
    // Not atomic: the barrier must order them.
    int values[4] = {};
    std::atomic<int> wrong{0};
  } state;
  state.pool = pool.get();
  moec_pool_run(
      pool.get(),
      [](void *context, int64_t worker, int64_t workers) {
        State &state = *static_cast<State *>(context);
        for (int phase = 1; phase <= 300; ++phase) {
          state.values[worker] = phase;
          state.pool->barrier();
          for (int64_t other = 0; other < workers; ++other)
            state.wrong += state.values[other] != phase;
          state.pool->barrier();
        }
      },
      &state);
  EXPECT_EQ(state.wrong, 0);
}

/// Sleeping workers, not only spinning ones.
TEST(Pool, WorksAfterARest) {
  Pool pool = makePool(3);
  std::atomic<int> calls{0};
  for (int round = 1; round <= 3; ++round) {
    usleep(20000);
    moec_pool_run(
        pool.get(),
        [](void *context, int64_t worker, int64_t) {
          // Unequal work makes the others wait at the end as well.
          usleep(worker * 3000);
          ++*static_cast<std::atomic<int> *>(context);
        },
        &calls);
    EXPECT_EQ(calls, 3 * round);
  }
}

TEST(Pool, CallersQueueUp) {
  Pool pool = makePool(2);
  struct State {
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
  } state;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round)
        moec_pool_run(
            pool.get(),
            [](void *context, int64_t, int64_t) {
              State &state = *static_cast<State *>(context);
              int now = ++state.inside;
              int most = state.most;
              while (now > most && !state.most.compare_exchange_weak(most, now))
                ;
              --state.inside;
            },
            &state);
    });
  for (std::thread &caller : callers)
    caller.join();
  EXPECT_LE(state.most, 2) << "two tasks ran at the same time";
}

TEST(Pool, NullPoolIsTheCaller) {
  EXPECT_EQ(moec_pool_workers(nullptr), 1);
  int64_t seen[2] = {-1, -1};
  EXPECT_EQ(moec_pool_run(
                nullptr,
                [](void *context, int64_t worker, int64_t workers) {
                  static_cast<int64_t *>(context)[0] = worker;
                  static_cast<int64_t *>(context)[1] = workers;
                },
                seen),
            MOEC_OK);
  EXPECT_EQ(seen[0], 0);
  EXPECT_EQ(seen[1], 1);
  moec_pool_destroy(nullptr);
}

TEST(Pool, BadCalls) {
  moec_pool *pool = nullptr;
  expectError(moec_pool_create(-1, 0, &pool), MOEC_ERR_INVALID_ARGUMENT,
              {"-1 workers are not in [0, 4096]"});
  expectError(moec_pool_create(4097, 0, &pool), MOEC_ERR_INVALID_ARGUMENT,
              {"4097 workers"});
  expectError(moec_pool_create(1, 6, &pool), MOEC_ERR_INVALID_ARGUMENT,
              {"unknown flags 0x6"});
  expectError(moec_pool_create(1, 0, nullptr), MOEC_ERR_INVALID_ARGUMENT,
              {"the result pointer is null"});
  EXPECT_EQ(pool, nullptr);
  expectError(moec_pool_run(nullptr, nullptr, nullptr),
              MOEC_ERR_INVALID_ARGUMENT, {"the function is null"});
}

TEST(Pool, DefaultsToTheAllowedCpus) {
  Pool pool = makePool(0);
  EXPECT_EQ(moec_pool_workers(pool.get()), moec::availableCpus());
  // Fewer CPUs for this thread, fewer workers.
  cpu_set_t saved, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof(saved), &saved), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &saved))
      CPU_SET(cpu, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  Pool small = makePool(0);
  EXPECT_EQ(moec_pool_workers(small.get()), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(saved), &saved), 0);
}

TEST(Pool, PinsOnRequest) {
  int cpus = moec::availableCpus();
  for (uint32_t flags : {0u, MOEC_POOL_PIN}) {
    moec_pool *made = nullptr;
    ASSERT_EQ(moec_pool_create(2, flags, &made), MOEC_OK);
    Pool pool(made);
    int allowed[2] = {-1, -1};
    moec_pool_run(
        pool.get(),
        [](void *context, int64_t worker, int64_t) {
          static_cast<int *>(context)[worker] = moec::availableCpus();
        },
        allowed);
    EXPECT_EQ(allowed[0], cpus) << "the caller's thread is left alone";
    EXPECT_EQ(allowed[1], flags ? 1 : cpus);
  }
}

static std::atomic<int> signalsOnWorkers;
static std::thread::id mainThread;

TEST(Pool, SignalsStayOnTheHostsThreads) {
  mainThread = std::this_thread::get_id();
  auto previous = std::signal(SIGUSR1, [](int) {
    if (std::this_thread::get_id() != mainThread)
      ++signalsOnWorkers;
  });
  Pool pool = makePool(3);
  struct State {
    std::atomic<bool> blocked[3] = {};
  } state;
  moec_pool_run(
      pool.get(),
      [](void *context, int64_t worker, int64_t) {
        sigset_t mask;
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        static_cast<State *>(context)->blocked[worker] =
            sigismember(&mask, SIGUSR1) == 1;
        kill(getpid(), SIGUSR1);
      },
      &state);
  EXPECT_FALSE(state.blocked[0]) << "the caller's mask was changed";
  EXPECT_TRUE(state.blocked[1]);
  EXPECT_TRUE(state.blocked[2]);
  EXPECT_EQ(signalsOnWorkers, 0);
  std::signal(SIGUSR1, previous);
}

/// The child of a fork has no worker threads: an error, not a hang.
TEST(Pool, Fork) {
  Pool pool = makePool(2);
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    moec_status status =
        moec_pool_run(pool.get(), [](void *, int64_t, int64_t) {}, nullptr);
    bool right = status == MOEC_ERR_INVALID_ARGUMENT &&
                 std::strstr(moec_last_error(), "create a pool after fork");
    pool.reset();
    _exit(right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

/// Threads that cannot start are an error, and those that did start go away.
TEST(Pool, ThreadsNotAvailable) {
#if MOEC_SANITIZED
  GTEST_SKIP() << "sanitizers need address space of their own";
#endif
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // Room for a few stacks of eight megabytes, not for a hundred.
    rlimit limit = {};
    std::FILE *statm = std::fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    if (!statm || std::fscanf(statm, "%lu", &pages) != 1)
      _exit(2);
    std::fclose(statm);
    limit.rlim_cur = limit.rlim_max = pages * 4096 + (64ul << 20);
    setrlimit(RLIMIT_AS, &limit);
    moec_pool *made = nullptr;
    moec_status status = moec_pool_create(100, 0, &made);
    bool right = status == MOEC_ERR_RESOURCES && !made &&
                 std::strstr(moec_last_error(), "of 99 did not start");
    _exit(right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}
