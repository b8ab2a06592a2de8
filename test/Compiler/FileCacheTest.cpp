//===- FileCacheTest.cpp - What was made before, and its bound ------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include "moec/Compiler/FileCache.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdlib>
#include <fcntl.h>
#include <functional>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace mlir::moe;
using llvm::StringRef;

namespace {

class FileCacheTest : public testing::Test {
protected:
  FileCache open(uint64_t bytes = 1 << 20) {
    return FileCache(directory.file("cache"), bytes);
  }
  static std::string key(StringRef name) { return FileCache::hash({name}); }
  std::optional<std::string> load(const FileCache &cache, StringRef name,
                                  StringRef kind = "thing") {
    warnings.clear();
    return cache.load(key(name), kind, warn);
  }
  void store(const FileCache &cache, StringRef name, StringRef text,
             StringRef kind = "thing") {
    warnings.clear();
    cache.store(key(name), kind, text, warn);
  }
  /// Makes an entry's last use so many seconds ago.
  void age(const FileCache &cache, StringRef name, int seconds) {
    std::string path = cache.getPath(key(name), "thing");
    timespec times[2] = {{time(nullptr) - seconds, 0},
                         {time(nullptr) - seconds, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  bool has(const FileCache &cache, StringRef name) {
    return llvm::sys::fs::exists(cache.getPath(key(name), "thing"));
  }
  void write(StringRef path, StringRef text) {
    std::error_code error;
    llvm::raw_fd_ostream os(path, error);
    ASSERT_FALSE(error);
    os << text;
  }

  ScratchDirectory directory;
  std::string warnings;
  std::function<void(const llvm::Twine &)> warn =
      [this](const llvm::Twine &text) { warnings += text.str() + "\n"; };
};

TEST_F(FileCacheTest, HitAndMiss) {
  FileCache cache = open();
  EXPECT_EQ(load(cache, "a"), std::nullopt);
  std::string text("line\n\0\n\xff", 8);
  store(cache, "a", text);
  store(cache, "empty", "");
  EXPECT_EQ(load(cache, "a"), text);
  EXPECT_EQ(load(cache, "empty"), "");
  EXPECT_EQ(load(cache, "b"), std::nullopt);
  EXPECT_EQ(load(cache, "a", "other"), std::nullopt);
  store(cache, "a", "new");
  EXPECT_EQ(load(cache, "a"), "new");
  EXPECT_EQ(warnings, "");
}

TEST_F(FileCacheTest, KeysOfListsDiffer) {
  EXPECT_NE(FileCache::hash({"ab", "c"}), FileCache::hash({"a", "bc"}));
  EXPECT_NE(FileCache::hash({"ab"}), FileCache::hash({"ab", ""}));
  EXPECT_NE(FileCache::hash({"a", "b"}), FileCache::hash({"b", "a"}));
  EXPECT_EQ(FileCache::hash({"a", "b"}), FileCache::hash({"a", "b"}));
}

TEST_F(FileCacheTest, EveryDamagedByteIsSeen) {
  FileCache cache = open();
  store(cache, "a", "some text");
  std::string path = cache.getPath(key("a"), "thing");
  auto buffer = llvm::MemoryBuffer::getFile(path);
  ASSERT_TRUE(bool(buffer));
  std::string good = (*buffer)->getBuffer().str();
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] ^= 4;
    write(path, bad);
    EXPECT_EQ(load(cache, "a"), std::nullopt) << i;
    EXPECT_EQ(warnings,
              "the cache's entry '" + path + "' is damaged and is made anew\n");
    write(path, good.substr(0, i));
    EXPECT_EQ(load(cache, "a"), std::nullopt) << i;
  }
  store(cache, "a", "some text");
  EXPECT_EQ(load(cache, "a"), "some text");
  // An entry under another one's name is not what its kind says.
  store(cache, "a", "code", "code");
  llvm::sys::fs::rename(cache.getPath(key("a"), "code"), path);
  EXPECT_EQ(load(cache, "a"), std::nullopt);
}

TEST_F(FileCacheTest, OldestGoFirst) {
  // An entry is its text and 78 bytes: two lines, a word and a checksum.
  std::string text(1000, 'x');
  FileCache cache = open(4 * 1100);
  for (StringRef name : {"a", "b", "c", "d"})
    store(cache, name, text);
  age(cache, "a", 40), age(cache, "b", 30), age(cache, "c", 20),
      age(cache, "d", 10);
  // The one that was used last is the youngest, whenever it was made.
  EXPECT_EQ(load(cache, "a"), text);
  store(cache, "e", text);
  EXPECT_TRUE(has(cache, "a"));
  EXPECT_FALSE(has(cache, "b"));
  EXPECT_TRUE(has(cache, "c") && has(cache, "d") && has(cache, "e"));
  store(cache, "f", std::string(2000, 'x'));
  EXPECT_FALSE(has(cache, "c") || has(cache, "d"));
  EXPECT_TRUE(has(cache, "a") && has(cache, "e") && has(cache, "f"));
  // What is larger than the bound does not stay.
  store(cache, "g", std::string(5000, 'x'));
  for (StringRef name : {"a", "b", "c", "d", "e", "f", "g"})
    EXPECT_FALSE(has(cache, name)) << name.str();
  EXPECT_EQ(warnings, "");
}

TEST_F(FileCacheTest, OnlyItsOwnFilesGo) {
  FileCache cache = open(1);
  store(cache, "a", "text");
  std::string path = cache.getPath(key("a"), "thing");
  std::string folder = StringRef(path).rsplit('/').first.str();
  std::string unfinished = path + ".tmp-0123abcd";
  for (const std::string &name :
       {directory.file("cache/notes.txt"), folder + "/notes.txt",
        folder + "/" + std::string(38, 'z') + ".thing", unfinished})
    write(name, "text of somebody");
  cache.trim();
  EXPECT_TRUE(llvm::sys::fs::exists(directory.file("cache/notes.txt")));
  EXPECT_TRUE(llvm::sys::fs::exists(folder + "/notes.txt"));
  EXPECT_TRUE(
      llvm::sys::fs::exists(folder + "/" + std::string(38, 'z') + ".thing"));
  // A writer may still be at it; after an hour there is none.
  EXPECT_TRUE(llvm::sys::fs::exists(unfinished));
  timespec old[2] = {{time(nullptr) - 3700, 0}, {time(nullptr) - 3700, 0}};
  utimensat(AT_FDCWD, unfinished.c_str(), old, 0);
  cache.trim();
  EXPECT_FALSE(llvm::sys::fs::exists(unfinished));
}

TEST_F(FileCacheTest, PlacesThatCannotBeUsed) {
  write(directory.file("cache"), "a file");
  FileCache cache = open();
  EXPECT_EQ(load(cache, "a"), std::nullopt);
  EXPECT_EQ(warnings, "");
  store(cache, "a", "text");
  EXPECT_EQ(warnings.rfind("the cache cannot be written: '", 0), 0u);
}

TEST_F(FileCacheTest, SeveralProcesses) {
  // All write and read the same few entries, with a bound that keeps half.
  FileCache cache = open(4 * 5000);
  std::vector<pid_t> children;
  for (int child = 0; child < 4; ++child) {
    pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid != 0) {
      children.push_back(pid);
      continue;
    }
    for (int i = 0; i < 100; ++i) {
      std::string name = std::to_string((i * 7 + child) % 8);
      std::string text(4000, 'a' + name[0] % 8);
      store(cache, name, text);
      std::optional<std::string> seen = load(cache, name);
      // Whole, or removed by another one.
      if (!warnings.empty() || (seen && *seen != text))
        _exit(1);
    }
    _exit(0);
  }
  for (pid_t child : children) {
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
}

/// An environment variable for the time of a test.
class Variable {
public:
  Variable(const char *name, const char *value) : name(name) {
    if (const char *old = std::getenv(name))
      before = old;
    value ? setenv(name, value, 1) : unsetenv(name);
  }
  ~Variable() { before ? setenv(name, before->c_str(), 1) : unsetenv(name); }

private:
  const char *name;
  std::optional<std::string> before;
};

TEST_F(FileCacheTest, Environment) {
  std::string named = directory.file("named"), xdg = directory.file("xdg");
  Variable place("MOEC_CACHE_DIR", named.c_str());
  Variable other("XDG_CACHE_HOME", xdg.c_str());
  auto path = [&] {
    auto cache = FileCache::getDefault(warn);
    return cache ? cache->getPath(key("a"), "thing") : "none";
  };
  EXPECT_EQ(path().rfind(named + "/", 0), 0u);
  {
    Variable unset("MOEC_CACHE_DIR", "");
    EXPECT_EQ(path().rfind(xdg + "/moec/", 0), 0u);
    Variable home("HOME", directory.path.c_str());
    Variable without("XDG_CACHE_HOME", nullptr);
    EXPECT_EQ(path().rfind(directory.file(".cache/moec/"), 0), 0u);
  }
  {
    Variable none("MOEC_CACHE_SIZE", "0");
    EXPECT_EQ(path(), "none");
  }
  EXPECT_EQ(warnings, "");
  for (const char *wrong : {"much", "-1", "3.5", "99999999999999999999"}) {
    Variable size("MOEC_CACHE_SIZE", wrong);
    warnings.clear();
    EXPECT_NE(path(), "none");
    EXPECT_EQ(warnings, std::string("MOEC_CACHE_SIZE: '") + wrong +
                            "' is no number of MiB, the cache keeps 1024\n");
  }
  // One MiB is one: the second of two entries of 600 KiB removes the first.
  Variable size("MOEC_CACHE_SIZE", "1");
  auto cache = FileCache::getDefault(warn);
  store(*cache, "a", std::string(600 << 10, 'x'));
  age(*cache, "a", 10);
  store(*cache, "b", std::string(600 << 10, 'x'));
  EXPECT_FALSE(has(*cache, "a"));
  EXPECT_TRUE(has(*cache, "b"));
}

} // namespace
