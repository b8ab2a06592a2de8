//===- JournalTest.cpp - What an interrupted run goes on from -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Tuner/Journal.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

using namespace mlir::moe;

namespace {

using Facts = std::vector<std::pair<std::string, std::string>>;

class JournalTest : public ::testing::Test {
protected:
  void SetUp() override {
    ASSERT_FALSE(llvm::sys::fs::createTemporaryFile("tune", "journal", path));
  }
  void TearDown() override { llvm::sys::fs::remove(path); }
  Journal open(bool restart = false) {
    return llvm::cantFail(Journal::open(path, setup, restart));
  }
  std::string complaint(const Facts &other) {
    auto journal = Journal::open(path, other, false);
    return journal ? "" : llvm::toString(journal.takeError());
  }
  std::string text() {
    return (*llvm::MemoryBuffer::getFile(path))->getBuffer().str();
  }
  void write(llvm::StringRef content) {
    std::error_code error;
    llvm::raw_fd_ostream(path, error) << content;
    ASSERT_FALSE(error);
  }
  llvm::SmallString<128> path;
  Facts setup = {{"compiler", "abc"}, {"device", "CPU \"1\""}};
};

TEST_F(JournalTest, GoesOn) {
  {
    Journal journal = open();
    EXPECT_EQ(journal.size(), 0u);
    EXPECT_EQ(journal.find("a"), nullptr);
    llvm::cantFail(journal.add("a", {{1.5, 2}, ""}));
    llvm::cantFail(journal.add("b|\"x\"", {{}, "does not compile"}));
    ASSERT_NE(journal.find("a"), nullptr);
  }
  Journal journal = open();
  EXPECT_EQ(journal.size(), 2u);
  EXPECT_EQ(journal.find("a")->samples, (std::vector<double>{1.5, 2}));
  EXPECT_EQ(journal.find("b|\"x\"")->failure, "does not compile");
  llvm::cantFail(journal.add("c", {{3}, ""}));
  EXPECT_EQ(open().size(), 3u);
  EXPECT_EQ(open(/*restart=*/true).size(), 0u);
  EXPECT_EQ(open().size(), 0u);
}

/// A process that is killed while it writes.
TEST_F(JournalTest, CutOff) {
  {
    Journal journal = open();
    llvm::cantFail(journal.add("a", {{1}, ""}));
    llvm::cantFail(journal.add("b", {{2}, ""}));
  }
  std::string whole = text();
  size_t header = whole.find('\n') + 1, second = whole.find('\n', header) + 1;
  for (size_t length = header; length <= whole.size(); ++length) {
    write(llvm::StringRef(whole).take_front(length));
    Journal journal = open();
    // A line counts when its object is closed.
    EXPECT_EQ(journal.size(),
              size_t(length + 1 >= second) + size_t(length + 1 >= whole.size()))
        << length;
    llvm::cantFail(journal.add("c", {{3}, ""}));
    EXPECT_EQ(open().find("c")->samples, std::vector<double>{3});
    EXPECT_EQ(open().size(), journal.size());
  }
}

TEST_F(JournalTest, OfSomethingElse) {
  open();
  Facts other = setup;
  other[0].second = "abd";
  EXPECT_EQ(complaint(other), std::string(path) +
                                  ": was begun with compiler 'abc', this is "
                                  "'abd'; --restart begins anew");
  other = setup;
  other.emplace_back("workers", "2");
  EXPECT_EQ(complaint(other), std::string(path) +
                                  ": was begun with workers '', this is '2'; "
                                  "--restart begins anew");
  EXPECT_EQ(complaint(setup), "");
}

TEST_F(JournalTest, NoJournal) {
  for (const char *content :
       {"{}\n", "[]\n", "some text\n", "{\"moec_tune_journal\": 2}\n",
        "{\"moec_tuned\": 1,\n"}) {
    write(content);
    EXPECT_EQ(complaint(setup), std::string(path) +
                                    ": is no journal of moe-tune; --journal "
                                    "names another file");
    EXPECT_EQ(text(), content);
  }
  auto journal = Journal::open("/nowhere/at/all", setup, false);
  ASSERT_FALSE(bool(journal));
  EXPECT_EQ(llvm::toString(journal.takeError()),
            "cannot write '/nowhere/at/all': No such file or directory");
}

} // namespace
