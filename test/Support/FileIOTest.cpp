//===- FileIOTest.cpp - Files appear whole or not at all ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/FileIO.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

#include <csignal>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace mlir::moe;

namespace {

class FileIOTest : public testing::Test {
protected:
  FileIOTest() {
    llvm::SmallString<128> path;
    EXPECT_FALSE(llvm::sys::fs::createUniqueDirectory("moec-file-io", path));
    // The digits that LLVM's unique names would put in the place of each '%'.
    directory = (path + "/100%d").str();
    root = std::string(path.str());
    EXPECT_FALSE(llvm::sys::fs::create_directory(directory));
  }
  ~FileIOTest() override { llvm::sys::fs::remove_directories(root); }

  std::string file(const char *name) const { return directory + "/" + name; }
  /// What writeFile says, or nothing.
  static std::string write(const std::string &path, llvm::StringRef text) {
    return llvm::toString(
        writeFile(path, [&](llvm::raw_ostream &os) { os << text; }));
  }
  static std::string read(const std::string &path) {
    auto buffer = llvm::MemoryBuffer::getFile(path);
    return buffer ? (*buffer)->getBuffer().str() : "cannot read";
  }
  std::vector<std::string> list() const {
    std::vector<std::string> names;
    std::error_code error;
    for (llvm::sys::fs::directory_iterator i(directory, error), end;
         i != end && !error; i.increment(error))
      names.push_back(llvm::sys::path::filename(i->path()).str());
    llvm::sort(names);
    return names;
  }

  std::string root, directory;
};

TEST_F(FileIOTest, WritesAndReplaces) {
  std::string path = file("50%.json");
  EXPECT_EQ(write(path, "first, a longer one"), "");
  EXPECT_EQ(read(path), "first, a longer one");
  EXPECT_EQ(write(path, "second"), "");
  EXPECT_EQ(read(path), "second");
  EXPECT_EQ(list(), std::vector<std::string>{"50%.json"});
}

TEST_F(FileIOTest, NewFilesHaveTheUsualMode) {
  mode_t mask = ::umask(027);
  EXPECT_EQ(write(file("f"), "x"), "");
  ::umask(mask);
  struct stat status;
  ASSERT_EQ(::stat(file("f").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0640u);
}

TEST_F(FileIOTest, RefusesDirectories) {
  EXPECT_EQ(write(directory, "x"),
            directory + ": cannot write: is a directory");
  std::string below = file("none/f");
  EXPECT_EQ(write(below, "x"),
            below + ": cannot write: No such file or directory");
  ASSERT_EQ(write(file("f"), "x"), "");
  below = file("f/below");
  EXPECT_EQ(write(below, "x"), below + ": cannot write: Not a directory");
  EXPECT_EQ(list(), std::vector<std::string>{"f"});
}

TEST_F(FileIOTest, WritesDevicesDirectly) {
  EXPECT_EQ(write("/dev/null", "x"), "");
  struct stat status;
  ASSERT_EQ(::stat("/dev/null", &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
  EXPECT_EQ(write("/dev/full", std::string(1 << 20, 'x')),
            "/dev/full: cannot write: No space left on device");
}

TEST_F(FileIOTest, APipeIsNoFile) {
  std::string path = file("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  EXPECT_EQ(write(path, "through"), "");
  char text[16] = {};
  EXPECT_EQ(::read(reader, text, sizeof text), 7);
  ::close(reader);
  EXPECT_STREQ(text, "through");
  EXPECT_EQ(list(), std::vector<std::string>{"pipe"});
}

/// A full disk, in a process of its own: a limit of file sizes.
TEST_F(FileIOTest, AFullDiskLeavesTheOldFile) {
  std::string path = file("f");
  ASSERT_EQ(write(path, "old"), "");
  pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    ::_exit(write(path, std::string(1 << 20, 'x')) ==
                    path + ": cannot write: File too large"
                ? 0
                : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(read(path), "old");
  EXPECT_EQ(list(), std::vector<std::string>{"f"});
}

/// Ctrl-C in the middle.
TEST_F(FileIOTest, AnInterruptLeavesNothing) {
  std::string path = file("f");
  pid_t child = ::fork();
  if (child == 0) {
    llvm::consumeError(writeFile(path, [](llvm::raw_ostream &os) {
      os << "half";
      os.flush();
      ::kill(::getpid(), SIGTERM);
    }));
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
  EXPECT_EQ(list(), std::vector<std::string>());
}

TEST_F(FileIOTest, TemporaryNames) {
  std::string first = temporaryName("/a%b/50%"),
              second = temporaryName("/a%b/50%");
  EXPECT_NE(first, second);
  EXPECT_EQ(first.size(), second.size());
  EXPECT_TRUE(llvm::StringRef(first).starts_with("/a%b/50%.tmp-")) << first;
  for (int i = 0; i < 1000; ++i) {
    std::string name = temporaryName("50%");
    EXPECT_TRUE(isTemporaryNameOf(name, "50%")) << name;
    EXPECT_FALSE(isTemporaryNameOf(name, "50")) << name;
    EXPECT_FALSE(isTemporaryNameOf(name + "0", "50%")) << name;
    EXPECT_FALSE(isTemporaryNameOf(name.substr(0, name.size() - 1), "50%"))
        << name;
  }
  EXPECT_TRUE(isTemporaryNameOf("x.tmp-0123abcd", "x"));
  EXPECT_FALSE(isTemporaryNameOf("x.tmp-0123ABCD", "x"));
  EXPECT_FALSE(isTemporaryNameOf("x.tmp-0123abcg", "x"));
  EXPECT_FALSE(isTemporaryNameOf("x.tmp_0123abcd", "x"));
  EXPECT_FALSE(isTemporaryNameOf("x", "x"));
  EXPECT_FALSE(isTemporaryNameOf("", "x"));
}

} // namespace
