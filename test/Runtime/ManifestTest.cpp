//===- ManifestTest.cpp - Reading manifests -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Manifest.h"
#include "Support.h"

#define JSON_NOEXCEPTION
#include <nlohmann/json.hpp>

using namespace moec;
using namespace moec::test;
using Json = nlohmann::json;

static moec_status read(const std::string &text, Manifest &manifest,
                        const char *function = nullptr) {
  return readManifest("m.json", text.data(), text.size(), function, manifest);
}

TEST(Manifest, ReadsEverything) {
  Manifest manifest;
  ASSERT_EQ(read(toyManifest(), manifest), MOEC_OK) << moec_last_error();
  EXPECT_EQ(manifest.name, "toy");
  ASSERT_EQ(manifest.arguments.size(), 3u);
  EXPECT_FALSE(manifest.arguments[0].optional);
  EXPECT_TRUE(manifest.arguments[1].optional);
  EXPECT_EQ(manifest.arguments[2].role, MOEC_OUTPUT);
  EXPECT_EQ(manifest.arguments[0].align, 4);
  ASSERT_EQ(manifest.variants.size(), 2u);
  const Variant &cpu = manifest.variants[0];
  EXPECT_EQ(cpu.tokensHigh, -1);
  EXPECT_EQ(cpu.registers, -1);
  EXPECT_EQ(cpu.sharedMemory, 0);
  EXPECT_EQ(cpu.spills, 3);
  ASSERT_EQ(cpu.launches.size(), 2u);
  EXPECT_EQ(cpu.launches[1].arguments[0].kind, LaunchArgument::WorkspaceSlice);
  EXPECT_EQ(cpu.launches[1].arguments[1].index, 1);
  EXPECT_EQ(cpu.launches[1].arguments[3].dimension.perToken, 1);
  EXPECT_EQ(cpu.launches[1].arguments[4].dimension.constant, 4);
  const Variant &gpu = manifest.variants[1];
  EXPECT_EQ(gpu.ptx, "toy.ptx");
  EXPECT_EQ(gpu.launchCount, 1);
  ASSERT_EQ(gpu.launches.size(), 1u);
  EXPECT_EQ(gpu.launches[0].persistent, 0);
  EXPECT_EQ(gpu.launches[0].block[0], 384u);
  EXPECT_EQ(gpu.launches[0].sharedMemory, 200704u);
  ASSERT_EQ(gpu.tensorMaps.size(), 1u);
  EXPECT_EQ(gpu.tensorMaps[0].rank, 2);
  EXPECT_TRUE(gpu.launches[0].arguments[2].narrow);
  EXPECT_EQ(gpu.registers, 168);
  EXPECT_EQ(gpu.spills, -1);
}

TEST(Manifest, IgnoresUnknownMembersAndAcceptsNull) {
  Json json = Json::parse(toyManifest());
  for (const char *place :
       {"", "/layer", "/arguments/0", "/variants/0", "/variants/0/workspace/0",
        "/variants/0/launches/0", "/variants/0/launches/0/args/0"})
    json[Json::json_pointer(place)]["from_the_future"] = {1, {{"a", nullptr}}};
  for (const char *place :
       {"/arguments/0/align", "/arguments/0/optional", "/layer/dims",
        "/variants/0/config", "/variants/0/resources", "/functions",
        "/variants/0/workspace/0/align", "/variants/1/code",
        "/variants/1/workspace"})
    json[Json::json_pointer(place)] = nullptr;
  Manifest manifest;
  EXPECT_EQ(read(json.dump(), manifest), MOEC_OK) << moec_last_error();
  EXPECT_EQ(manifest.variants[1].code, "");
}

TEST(Manifest, BrokenOnes) {
  Json table = Json::parse(contentOf(TOY_INPUTS "/broken-manifests.json"));
  ASSERT_GE(table["cases"].size(), 90u);
  for (const Json &change : table["cases"]) {
    Json json = Json::parse(toyManifest());
    Json::json_pointer at(change["at"].get<std::string>());
    if (change.contains("to"))
      json[at] = change["to"];
    else
      json[at.parent_pointer()].erase(at.back());
    SCOPED_TRACE(change.dump());
    Manifest manifest;
    std::vector<std::string> parts = {"m.json: "};
    for (const Json &part : change["says"])
      parts.push_back(part.get<std::string>());
    expectError(read(json.dump(), manifest), MOEC_ERR_MANIFEST, parts);
  }
}

TEST(Manifest, OtherFormat) {
  // The rest of another format may look like anything.
  for (const char *number : {"0", "2", "-1", "1000000"}) {
    Manifest manifest;
    expectError(read(std::string("{\"format\": ") + number + "}", manifest),
                MOEC_ERR_FORMAT,
                {"m.json", std::string("format ") + number, "reads format 1"});
  }
}

TEST(Manifest, EveryTruncationIsRefused) {
  std::string text = toyManifest();
  while (!text.empty() && text.back() == '\n')
    text.pop_back();
  for (size_t length = 0; length < text.size(); ++length) {
    Manifest manifest;
    moec_status status = read(text.substr(0, length), manifest);
    ASSERT_EQ(status, MOEC_ERR_MANIFEST) << length;
    ASSERT_NE(std::string(moec_last_error()).find("parse error"),
              std::string::npos)
        << moec_last_error();
  }
}

TEST(Manifest, ParseErrorsNameThePlace) {
  Manifest manifest;
  expectError(read("{\"moec\": \"1\",\n  format: 1}", manifest),
              MOEC_ERR_MANIFEST, {"m.json: parse error at line 2, column 4"});
  expectError(read("{\"moec\": \"\xff\"}", manifest), MOEC_ERR_MANIFEST,
              {"invalid", "UTF-8"});
  // Depth must not exhaust the stack.
  expectError(read(std::string(1000000, '['), manifest), MOEC_ERR_MANIFEST,
              {"parse error"});
  std::string deep =
      "{\"format\": 1, \"moec\": \"\", \"layer\": " + std::string(100000, '[') +
      std::string(100000, ']') + "}";
  expectError(read(deep, manifest), MOEC_ERR_MANIFEST,
              {"/layer: must be an object"});
}

/// Single bytes changed anywhere: an error or a manifest, never a crash.
TEST(Manifest, DamagedBytes) {
  std::string text = toyManifest();
  uint32_t state = 12345;
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string damaged = text;
    state = state * 1664525 + 1013904223;
    size_t position = (state >> 8) % damaged.size();
    state = state * 1664525 + 1013904223;
    damaged[position] = static_cast<char>(state >> 24);
    Manifest manifest;
    moec_status status = read(damaged, manifest);
    accepted += status == MOEC_OK;
    ASSERT_TRUE(status == MOEC_OK || status == MOEC_ERR_MANIFEST ||
                status == MOEC_ERR_FORMAT)
        << status;
  }
  EXPECT_GT(accepted, 0) << "changes of the free text are harmless";
}

TEST(Manifest, Functions) {
  Manifest manifest;
  ASSERT_EQ(read(toyManifest(), manifest, "tag"), MOEC_OK);
  EXPECT_EQ(manifest.name, "tag");
  EXPECT_EQ(manifest.arguments.size(), 1u);
  Manifest other;
  expectError(read(toyManifest(), other, "pack"), MOEC_ERR_INVALID_ARGUMENT,
              {"has no function 'pack'"});
  Json json = Json::parse(toyManifest());
  json["functions"][0]["variants"][0]["tokens"] = 1;
  expectError(read(json.dump(), other, "tag"), MOEC_ERR_MANIFEST,
              {"/functions/0/variants/0/tokens"});
  json["functions"] = "tag";
  expectError(read(json.dump(), other, "tag"), MOEC_ERR_MANIFEST,
              {"/functions: must be an array"});
}

TEST(Manifest, Limits) {
  Json json = Json::parse(toyManifest());
  Json &launch = json["variants"][0]["launches"][0];
  launch["args"] = Json::array();
  for (int i = 0; i < maxLaunchArguments - 5; ++i)
    launch["args"].push_back({{"dim", i}});
  Manifest fits;
  EXPECT_EQ(read(json.dump(), fits), MOEC_OK) << moec_last_error();
  launch["args"].push_back({{"dim", 1}});
  Manifest tooMany;
  expectError(read(json.dump(), tooMany), MOEC_ERR_MANIFEST,
              {"/variants/0/launches/1/args: 5 entries, at most 4"});
  json = Json::parse(toyManifest());
  for (int i = 0; i < 300; ++i) {
    Json argument = json["arguments"][0];
    argument["name"] = "x" + std::to_string(i);
    json["arguments"].push_back(argument);
  }
  expectError(read(json.dump(), tooMany), MOEC_ERR_MANIFEST,
              {"/arguments: 303 entries, at most 256"});
}

TEST(Affine, ParsesSums) {
  struct {
    const char *text;
    int64_t perToken, constant;
  } cases[] = {{"T", 1, 0},           {"8*T", 8, 0},     {"T*8", 8, 0},
               {"16", 0, 16},         {"8*T+16", 8, 16}, {"16 + T", 1, 16},
               {" 2 * T + 3 ", 2, 3}, {"T+T", 2, 0},     {"1+2+3*T+4*T", 7, 3},
               {"0*T", 0, 0},         {"0", 0, 0}};
  for (const auto &test : cases) {
    Affine affine;
    ASSERT_TRUE(Affine::parse(test.text, affine)) << test.text;
    EXPECT_EQ(affine.perToken, test.perToken) << test.text;
    EXPECT_EQ(affine.constant, test.constant) << test.text;
    Affine again;
    ASSERT_TRUE(Affine::parse(affine.str(), again)) << affine.str();
    EXPECT_EQ(again.perToken, affine.perToken);
    EXPECT_EQ(again.constant, affine.constant);
  }
  for (const char *text : {"", " ", "+", "T+", "+T", "T T", "-1", "8T", "T8",
                           "8**T", "t", "8*T*2", "T/2", "1.5"}) {
    Affine affine;
    EXPECT_FALSE(Affine::parse(text, affine)) << text;
  }
}

TEST(Affine, Evaluates) {
  int64_t value = 0;
  EXPECT_TRUE((Affine{8, 3, 1}.evaluate(5, value)));
  EXPECT_EQ(value, 43);
  for (int64_t tokens = 0; tokens < 40; ++tokens) {
    EXPECT_TRUE((Affine{3, 1, 16}.evaluate(tokens, value)));
    EXPECT_EQ(value, (3 * tokens + 1 + 15) / 16);
  }
  // The last value that fits and the first that does not.
  EXPECT_TRUE((Affine{1, 0, 1}.evaluate(INT64_MAX, value)));
  EXPECT_EQ(value, INT64_MAX);
  EXPECT_TRUE((Affine{1, 0, 2}.evaluate(INT64_MAX, value)));
  EXPECT_EQ(value, INT64_MAX / 2 + 1);
  EXPECT_FALSE((Affine{1, 1, 1}.evaluate(INT64_MAX, value)));
  EXPECT_FALSE((Affine{2, 0, 1}.evaluate(INT64_MAX / 2 + 1, value)));
}

TEST(Affine, Prints) {
  EXPECT_EQ((Affine{8, 16, 1}.str()), "8*T + 16");
  EXPECT_EQ((Affine{1, 0, 1}.str()), "T");
  EXPECT_EQ((Affine{0, 0, 1}.str()), "0");
  EXPECT_EQ((Affine{0, 7, 1}.str()), "7");
  EXPECT_EQ((Affine{1, 3, 16}.str()), "ceil((T + 3) / 16)");
}
