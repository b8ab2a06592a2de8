//===- Scheduler.cpp - Coroutines under a random schedule -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Scheduler.h"

#include "mlir/IR/Diagnostics.h"

using namespace mlir;
using namespace mlir::moe::tile;

void Scheduler::add(std::string name, std::function<LogicalResult()> body) {
  Task &task = tasks.emplace_back();
  task.name = std::move(name);
  task.body = std::move(body);
}

void Scheduler::resume(int index) {
  std::unique_lock<std::mutex> lock(mutex);
  running = index;
  tasks[index].resumed.notify_one();
  returned.wait(lock, [&]() { return running == -1; });
}

LogicalResult Scheduler::run(Operation *where) {
  bool failed = false;
  for (int index = 0, e = tasks.size(); index != e; ++index)
    tasks[index].thread = std::thread([this, index, &failed]() {
      Task &task = tasks[index];
      std::unique_lock<std::mutex> lock(mutex);
      task.resumed.wait(lock, [&]() { return running == index; });
      lock.unlock();
      if (!givingUp && mlir::failed(task.body()))
        failed = true;
      lock.lock();
      task.done = true;
      running = -1;
      returned.notify_one();
    });
  while (true) {
    SmallVector<int> able;
    bool left = false;
    for (int index = 0, e = tasks.size(); index != e; ++index) {
      Task &task = tasks[index];
      left |= !task.done;
      if (!task.done && (!task.ready || task.ready()))
        able.push_back(index);
    }
    if (!left)
      break;
    if (!failed && able.empty()) {
      reportDeadlock(where);
      failed = true;
    }
    if (failed) {
      // Let every task leave its waits and end.
      givingUp = true;
      for (int index = 0, e = tasks.size(); index != e; ++index)
        if (!tasks[index].done)
          resume(index);
      continue;
    }
    resume(able[draw(able.size())]);
  }
  for (Task &task : tasks)
    task.thread.join();
  tasks.clear();
  return failure(failed);
}

void Scheduler::reportDeadlock(Operation *where) {
  InFlightDiagnostic diagnostic =
      where->emitError("deadlock: all roles are blocked: ");
  bool first = true;
  for (Task &task : tasks) {
    if (task.done)
      continue;
    diagnostic << (first ? "" : ", ") << task.name << " at "
               << task.at->getName();
    first = false;
  }
  for (Task &task : tasks)
    if (!task.done)
      diagnostic.attachNote(task.at->getLoc()) << task.name << " waits here";
}

LogicalResult Scheduler::wait(Operation *op, std::function<bool()> ready) {
  if (givingUp)
    return failure();
  std::unique_lock<std::mutex> lock(mutex);
  int self = running;
  Task &task = tasks[self];
  task.ready = std::move(ready);
  task.at = op;
  running = -1;
  returned.notify_one();
  task.resumed.wait(lock, [&]() { return running == self; });
  task.ready = nullptr;
  return failure(givingUp);
}

LogicalResult Scheduler::yield(Operation *op) {
  if (draw(2) == 0)
    return success();
  return wait(op, []() { return true; });
}
