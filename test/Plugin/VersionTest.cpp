//===- VersionTest.cpp - Tests of the plugin's revision check -------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PluginVersion.h"
#include "gtest/gtest.h"

using namespace mlir::moe;

TEST(PluginVersion, AcceptsTheSameRevision) {
  EXPECT_EQ(checkPluginVersion({22, 1, 8}, {22, 1, 8}), "");
}

TEST(PluginVersion, NamesBothRevisions) {
  for (LLVMVersion host :
       {LLVMVersion{22, 1, 7}, LLVMVersion{22, 2, 8}, LLVMVersion{21, 1, 8}}) {
    std::string complaint = checkPluginVersion({22, 1, 8}, host);
    EXPECT_NE(complaint.find("built for LLVM 22.1.8"), std::string::npos);
    EXPECT_NE(complaint.find("loaded into LLVM " + std::to_string(host[0]) +
                             "." + std::to_string(host[1]) + "." +
                             std::to_string(host[2])),
              std::string::npos)
        << complaint;
  }
}
