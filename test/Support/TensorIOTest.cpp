//===- TensorIOTest.cpp - Tensor files, whole and broken ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/TensorIO.h"
#include "moec/Support/FileIO.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"
#include <random>

using namespace mlir::moe;

template <typename T> static std::string message(llvm::Expected<T> value) {
  EXPECT_FALSE(static_cast<bool>(value));
  return value ? "" : llvm::toString(value.takeError());
}

/// A directory of its own that goes with the test.
class TensorIO : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_FALSE(llvm::sys::fs::createUniqueDirectory("moec-io", directory));
  }
  void TearDown() override { llvm::sys::fs::remove_directories(directory); }
  std::string path(llvm::StringRef name) {
    return (directory + "/" + name).str();
  }
  static std::string slurp(llvm::StringRef path) {
    auto buffer = llvm::MemoryBuffer::getFile(path);
    EXPECT_TRUE(static_cast<bool>(buffer)) << path.str();
    return buffer ? (*buffer)->getBuffer().str() : "";
  }
  llvm::SmallString<64> directory;
};

static HostTensor randomTensor(ElementType type, llvm::ArrayRef<int64_t> shape,
                               unsigned seed) {
  std::mt19937 random(seed);
  HostTensor t = llvm::cantFail(HostTensor::create(type, shape));
  for (uint64_t i = 0; i < t.getByteSize(); ++i)
    t.getData()[i] = static_cast<uint8_t>(random());
  return t;
}

static llvm::ArrayRef<uint8_t> bytes(const HostTensor &t) {
  return {t.getData(), static_cast<size_t>(t.getByteSize())};
}

/// A .npy image with the given header text, version 1.
static std::string npy(llvm::StringRef header, llvm::StringRef data,
                       char major = 1, char minor = 0) {
  std::string file = "\x93NUMPY";
  file += major;
  file += minor;
  file += static_cast<char>(header.size() & 0xff);
  file += static_cast<char>(header.size() >> 8);
  if (major > 1)
    file += llvm::StringRef("\0\0", 2);
  return file + header.str() + data.str();
}

static std::string npyError(llvm::StringRef header, llvm::StringRef data) {
  return message(parseNpy(npy(header, data), "f.npy"));
}

TEST_F(TensorIO, NpyRoundTripsEveryType) {
  for (ElementType type : getAllElementTypes())
    for (llvm::SmallVector<int64_t> shape :
         {llvm::SmallVector<int64_t>{6}, {3, 4}, {2, 1, 8}, {0, 4}}) {
      HostTensor t = randomTensor(type, shape, 1);
      ASSERT_FALSE(writeNpy(path("t.npy"), t));
      std::string file = slurp(path("t.npy"));
      EXPECT_EQ((file.size() - t.getByteSize()) % 64, 0u);
      HostTensor back = llvm::cantFail(readNpy(path("t.npy"), type));
      EXPECT_EQ(back.describe(), t.describe());
      EXPECT_EQ(bytes(back), bytes(t));
    }
}

TEST_F(TensorIO, NpyScalarAndOddPacked) {
  HostTensor scalar = randomTensor(ElementType::F32, {}, 2);
  ASSERT_FALSE(writeNpy(path("s.npy"), scalar));
  HostTensor back = llvm::cantFail(readNpy(path("s.npy")));
  EXPECT_EQ(back.getRank(), 0);
  EXPECT_EQ(bytes(back), bytes(scalar));
  HostTensor deep =
      randomTensor(ElementType::U8, llvm::SmallVector<int64_t>(30000, 1), 3);
  EXPECT_EQ(llvm::toString(writeNpy(path("d.npy"), deep)),
            path("d.npy") + ": a shape of rank 30000 does not fit a .npy "
                            "header");
  HostTensor odd = randomTensor(ElementType::I4, {2, 3}, 3);
  EXPECT_EQ(llvm::toString(writeNpy(path("o.npy"), odd)),
            path("o.npy") + ": i4[2, 3] has no even last extent to store two "
                            "elements per byte");
  EXPECT_FALSE(llvm::sys::fs::exists(path("o.npy")));
}

TEST_F(TensorIO, NpyFortranOrderIsConverted) {
  // Column-major 2 x 3: values 0, 1 are the first column.
  std::string header =
      "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }";
  HostTensor t = llvm::cantFail(
      parseNpy(npy(header, llvm::StringRef("\0\1\2\3\4\5", 6)), "f"));
  EXPECT_EQ(t.toFloats(), (std::vector<float>{0, 2, 4, 1, 3, 5}));
}

TEST_F(TensorIO, NpyVersionsAndSpacing) {
  for (char major : {1, 2, 3}) {
    HostTensor t = llvm::cantFail(
        parseNpy(npy("{\"shape\":(2,) ,'fortran_order':False,'descr':'|i1'}\n",
                     "\x05\xff", major),
                 "f"));
    EXPECT_EQ(t.toFloats(), (std::vector<float>{5, -1}));
  }
}

TEST_F(TensorIO, NpyExplicitTypes) {
  std::string two = "{'descr': '<u2', 'fortran_order': False, 'shape': (1,), }";
  std::string one = "{'descr': '|V1', 'fortran_order': False, 'shape': (1,), }";
  std::string f32 = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
  EXPECT_EQ(
      message(parseNpy(npy(two, "ab"), "f.npy")),
      "f.npy: type '<u2' holds raw bytes: the element type must be given");
  EXPECT_EQ(message(parseNpy(npy(two, "ab"), "f.npy", ElementType::F8E5M2)),
            "f.npy: holds '<u2' of 16 bits per element, but f8E5M2 has 8");
  EXPECT_EQ(message(parseNpy(npy(f32, "abcd"), "f.npy", ElementType::I32)),
            "f.npy: holds '<f4', which is not i32");
  HostTensor t = llvm::cantFail(parseNpy(
      npy(two, llvm::StringRef("\x80\x3f", 2)), "f", ElementType::BF16));
  EXPECT_EQ(t.toFloats(), (std::vector<float>{1}));
  t = llvm::cantFail(parseNpy(npy(one, "\x38"), "f", ElementType::F8E4M3FN));
  EXPECT_EQ(t.toFloats(), (std::vector<float>{1}));
  std::string scalar = "{'descr': '|V1', 'fortran_order': False, 'shape': ()}";
  EXPECT_EQ(message(parseNpy(npy(scalar, "a"), "f.npy", ElementType::U4)),
            "f.npy: shape [] has no last extent to hold pairs of u4");
  t = llvm::cantFail(parseNpy(npy(one, "\x21"), "f", ElementType::U4));
  EXPECT_EQ(t.toFloats(), (std::vector<float>{1, 2}));
}

TEST_F(TensorIO, NpyErrorsNameTheNumbers) {
  std::string tail = "'fortran_order': False, 'shape': (2,), }";
  EXPECT_EQ(message(parseNpy("abc", "f.npy")),
            "f.npy: truncated .npy: 3 bytes, the preamble takes 10");
  EXPECT_EQ(message(parseNpy("PK\3\4aaaaaaaaaa", "f.npy")),
            "f.npy: not a .npy file: begins with bytes 0x504B03046161, "
            "expected 0x934E554D5059");
  EXPECT_EQ(message(parseNpy(npy("{}", "", 4), "f.npy")),
            "f.npy: .npy version 4.0 is unknown (1.0, 2.0 and 3.0 are known)");
  EXPECT_EQ(npyError("{'descr': '<f4', " + tail, "1234567"),
            "f.npy: truncated .npy: shape [2] of '<f4' takes 8 bytes, 7 are "
            "there");
  EXPECT_EQ(npyError("{'descr': '<f4', " + tail, "123456789"),
            "f.npy: extra data: shape [2] of '<f4' takes 8 bytes, 9 are there");
  EXPECT_EQ(npyError("{'descr': '>f4', " + tail, "12345678"),
            "f.npy: big-endian type '>f4' is not supported; store little "
            "endian");
  EXPECT_EQ(npyError("{'descr': '|O', " + tail, "12345678"),
            "f.npy: type '|O' is not supported; one of <f8 <f4 <f2 <i8 <i4 |i1 "
            "|u1, or raw bytes (|u1 <u2 |V1 |V2) with an explicit type");
  EXPECT_EQ(npyError("{'descr': [('a', '<f4')], " + tail, ""),
            "f.npy: .npy header: descr must be one type in quotes (structured "
            "arrays are not supported) at byte 10");
  EXPECT_EQ(npyError("{'descr': '<f4', 'fortran_order': 0, 'shape': ()}", ""),
            "f.npy: .npy header: fortran_order must be True or False at byte "
            "34");
  EXPECT_EQ(npyError("{'descr': '<f4', 'fortran_order': False}", ""),
            "f.npy: .npy header: key 'shape' is missing at byte 40");
  EXPECT_EQ(npyError("{'descr': '<f4', 'descr': '<f4'}", ""),
            "f.npy: .npy header: key 'descr' twice at byte 25");
  EXPECT_EQ(npyError("{'color': 1}", ""),
            "f.npy: .npy header: unknown key 'color' at byte 9");
  for (const char *shape :
       {"(-1,)", "(1.5,)", "(9223372036854775808,)", "3", "(1 2)", "(1,"})
    EXPECT_NE(npyError(std::string("{'descr': '<f4', 'fortran_order': False, "
                                   "'shape': ") +
                           shape + "}",
                       "")
                  .find("shape must be a tuple of integers"),
              std::string::npos)
        << shape;
  EXPECT_EQ(npyError("{'descr': '<f4', 'fortran_order': False, 'shape': "
                     "(4294967296, 4294967296)}",
                     ""),
            "f.npy: shape [4294967296, 4294967296] with 32-bit elements "
            "exceeds 2^59 bytes");
}

TEST_F(TensorIO, NpyEveryTruncationAndMutation) {
  HostTensor t = randomTensor(ElementType::F32, {2, 3}, 4);
  ASSERT_FALSE(writeNpy(path("t.npy"), t));
  std::string file = slurp(path("t.npy"));
  for (size_t size = 0; size < file.size(); ++size) {
    // A copy without slack, so that a sanitizer sees an overrun.
    std::vector<char> cut(file.begin(), file.begin() + size);
    auto parsed = parseNpy({cut.data(), cut.size()}, "t");
    ASSERT_FALSE(static_cast<bool>(parsed)) << size;
    EXPECT_FALSE(llvm::toString(parsed.takeError()).empty());
  }
  std::mt19937 random(5);
  for (int trial = 0; trial < 20000; ++trial) {
    std::string bad = file;
    for (unsigned flips = 1 + random() % 3; flips; --flips)
      bad[random() % 140] = static_cast<char>(random());
    auto parsed = parseNpy(bad, "t");
    if (!parsed)
      llvm::consumeError(parsed.takeError());
    else
      EXPECT_EQ(parsed->getByteSize(), 24u);
  }
}

TEST_F(TensorIO, ReadErrors) {
  EXPECT_EQ(message(readNpy(path("none.npy"))),
            path("none.npy") + ": cannot read: No such file or directory");
  EXPECT_EQ(message(readNpy(directory)),
            (directory + ": is a directory").str());
  EXPECT_EQ(message(SafetensorsFile::open(path("none"))),
            path("none") + ": cannot read: No such file or directory");
}

TEST_F(TensorIO, WriteErrorsLeaveNothing) {
  HostTensor t = randomTensor(ElementType::F32, {64}, 6);
  std::string text = llvm::toString(writeNpy(path("no/such/t.npy"), t));
  EXPECT_EQ(text, path("no/such/t.npy") +
                      ": cannot write: No such file or directory");
  EXPECT_EQ(llvm::toString(writeNpy(directory, t)),
            (directory + ": cannot write: is a directory").str());
  if (llvm::sys::fs::exists("/dev/full"))
    EXPECT_EQ(llvm::toString(writeNpy("/dev/full", t)),
              "/dev/full: cannot write: No space left on device");
  EXPECT_FALSE(llvm::sys::fs::exists(path("no")));
}

TEST_F(TensorIO, WriteReplacesWhole) {
  for (const char *text : {"first, longer", "second"})
    ASSERT_FALSE(
        writeFile(path("f"), [&](llvm::raw_ostream &os) { os << text; }));
  EXPECT_EQ(slurp(path("f")), "second");
  std::error_code error;
  unsigned files = 0;
  for (llvm::sys::fs::directory_iterator it(directory, error), end;
       it != end && !error; it.increment(error))
    ++files;
  EXPECT_EQ(files, 1u);
}

//===----------------------------------------------------------------------===//
// .safetensors
//===----------------------------------------------------------------------===//

static std::string image(llvm::StringRef header, llvm::StringRef data) {
  char size[8];
  llvm::support::endian::write64le(size, header.size());
  return std::string(size, 8) + header.str() + data.str();
}

static llvm::Expected<SafetensorsFile> parseImage(llvm::StringRef image) {
  // No terminator behind the bytes: an overrun is an error under sanitizers.
  return SafetensorsFile::parse(llvm::MemoryBuffer::getMemBuffer(
      image, "f.st", /*RequiresNullTerminator=*/false));
}

static std::string stError(llvm::StringRef header, llvm::StringRef data) {
  std::string file = image(header, data);
  return message(parseImage(file));
}

TEST_F(TensorIO, SafetensorsRoundTrip) {
  std::vector<HostTensor> tensors;
  std::vector<NamedTensor> named;
  for (ElementType type : getAllElementTypes())
    tensors.push_back(randomTensor(type, {3, 4}, 7));
  tensors.push_back(randomTensor(ElementType::F32, {}, 8));
  tensors.push_back(randomTensor(ElementType::F32, {0, 2}, 9));
  for (size_t i = 0; i < tensors.size(); ++i)
    named.push_back({"layer.\"" + std::to_string(i) + "\"", &tensors[i]});
  ASSERT_FALSE(writeSafetensors(path("t.st"), named, {{"format", "moec"}}));
  SafetensorsFile file = llvm::cantFail(SafetensorsFile::open(path("t.st")));
  EXPECT_EQ(file.getEntries().size(), tensors.size());
  EXPECT_EQ(file.getMetadata().at("format"), "moec");
  for (size_t i = 0; i < tensors.size(); ++i) {
    HostTensor back =
        llvm::cantFail(file.read(named[i].name, tensors[i].getType()));
    EXPECT_EQ(back.describe(), tensors[i].describe());
    EXPECT_EQ(bytes(back), bytes(tensors[i]));
  }
  EXPECT_EQ(file.find(named[2].name)->dtype, "BF16");
  EXPECT_EQ(file.find("x"), nullptr);
  EXPECT_EQ(message(file.read("x")), path("t.st") +
                                         ": tensor 'x': not in the file (18 "
                                         "others are)");
  EXPECT_EQ(message(file.read(named[1].name, ElementType::I32)),
            path("t.st") + ": tensor 'layer.\"1\"': holds F32, which is not "
                           "i32");
  EXPECT_EQ(message(file.read(named[13].name, ElementType::BF16)),
            path("t.st") + ": tensor 'layer.\"13\"': U8 has 8 bits per "
                           "element, but bf16 has 16");
}

TEST_F(TensorIO, SafetensorsWriteErrors) {
  HostTensor t = randomTensor(ElementType::F32, {2}, 1);
  HostTensor odd = randomTensor(ElementType::F4E2M1FN, {3}, 1);
  EXPECT_EQ(llvm::toString(writeSafetensors(path("a"), {{"w", &t}, {"w", &t}})),
            path("a") + ": the name 'w' is taken twice or reserved");
  EXPECT_EQ(llvm::toString(writeSafetensors(path("a"), {{"__metadata__", &t}})),
            path("a") + ": the name '__metadata__' is taken twice or reserved");
  EXPECT_EQ(llvm::toString(writeSafetensors(path("a"), {{"w", &odd}})),
            path("a") + ": tensor 'w': f4E2M1FN[3] has no even last extent to "
                        "store two elements per byte");
  EXPECT_FALSE(llvm::sys::fs::exists(path("a")));
}

TEST_F(TensorIO, SafetensorsForeignDtypes) {
  std::string file =
      image(R"({"a":{"dtype":"U16","shape":[1],"data_offsets":[0,2]}})",
            llvm::StringRef("\x80\x3f", 2));
  SafetensorsFile st = llvm::cantFail(parseImage(file));
  EXPECT_EQ(message(st.read("a")), "f.st: tensor 'a': dtype U16 has no element "
                                   "type here; give one of its width");
  EXPECT_EQ(llvm::cantFail(st.read("a", ElementType::BF16)).toFloats()[0], 1.f);
}

TEST_F(TensorIO, SafetensorsErrorsNameTheNumbers) {
  EXPECT_EQ(message(parseImage("1234567")),
            "f.st: truncated .safetensors: 7 bytes, the preamble takes 8");
  EXPECT_EQ(message(parseImage("12345678{}")),
            "f.st: not a .safetensors file: a header of 4050765991979987505 "
            "bytes (at most 100000000)");
  EXPECT_EQ(message(parseImage(llvm::StringRef("\x09\0\0\0\0\0\0\0{}", 10))),
            "f.st: truncated .safetensors: the header takes 9 bytes, 2 are "
            "there");
  EXPECT_EQ(stError("[]", ""), "f.st: header: not a JSON object");
  EXPECT_NE(stError("{", "").find("f.st: header: "), std::string::npos);
  EXPECT_EQ(stError(std::string(1000000, '['), ""),
            "f.st: header: nesting of depth 1000000 (at most 8)");
  EXPECT_EQ(stError(R"({"a":3})", ""),
            "f.st: tensor 'a': its header is not an object");
  EXPECT_EQ(stError(R"({"a":{"dtype":"F32","shape":[1]}})", ""),
            "f.st: tensor 'a': dtype (a string), shape and data_offsets "
            "(arrays) must be given");
  EXPECT_EQ(stError(R"({"a":{"dtype":"F7","shape":[],"data_offsets":[0,4]}})",
                    "1234"),
            "f.st: tensor 'a': dtype 'F7' is unknown");
  EXPECT_EQ(
      stError(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})",
              "1234"),
      "f.st: tensor 'a': shape must hold integers from 0 to 2^63 - 1");
  for (const char *offsets : {"[4,0]", "[0]", "[0,4,8]", "[-1,4]", "[0,\"4\"]"})
    EXPECT_EQ(stError(std::string(R"({"a":{"dtype":"F32","shape":[1],)") +
                          R"("data_offsets":)" + offsets + "}}",
                      "1234"),
              "f.st: tensor 'a': data_offsets must be two integers with 0 <= "
              "begin <= end");
  EXPECT_EQ(stError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                    "1234"),
            "f.st: tensor 'a': data_offsets [0, 8] exceed the 4 bytes of data "
            "(truncated file?)");
  EXPECT_EQ(stError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})",
                    "1234"),
            "f.st: tensor 'a': shape [2] of F32 takes 8 bytes, data_offsets "
            "[0, 4] span 4");
  EXPECT_EQ(stError(R"({"a":{"dtype":"F64","shape":[4294967296,4294967296],)"
                    R"("data_offsets":[0,0]}})",
                    ""),
            "f.st: tensor 'a': shape [4294967296, 4294967296] with 64-bit "
            "elements exceeds 2^59 bytes");
  EXPECT_EQ(
      stError(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", "1"),
      "f.st: tensor 'a': an odd number of 4-bit elements, 3");
  EXPECT_EQ(stError(R"({"__metadata__":{"a":1}})", ""),
            "f.st: header: __metadata__ 'a' is not a string");
  EXPECT_EQ(stError(R"({"__metadata__":[]})", ""),
            "f.st: header: __metadata__ is not an object");
}

TEST_F(TensorIO, SafetensorsOverlapAndGap) {
  auto two = [](int b0, int e0, int b1, int e1) {
    return R"({"a":{"dtype":"U8","shape":[)" + std::to_string(e0 - b0) +
           R"(],"data_offsets":[)" + std::to_string(b0) + "," +
           std::to_string(e0) + R"(]},"b":{"dtype":"U8","shape":[)" +
           std::to_string(e1 - b1) + R"(],"data_offsets":[)" +
           std::to_string(b1) + "," + std::to_string(e1) + "]}}";
  };
  EXPECT_EQ(stError(two(0, 4, 3, 8), "12345678"),
            "f.st: tensors 'a' and 'b' overlap: the first ends at byte 4, the "
            "second begins at 3");
  EXPECT_EQ(stError(two(0, 4, 5, 8), "12345678"),
            "f.st: bytes [4, 5) before tensor 'b' belong to no tensor");
  EXPECT_EQ(stError(two(0, 4, 4, 8), "123456789"),
            "f.st: the tensors end at byte 8, 9 bytes of data are there");
}

TEST_F(TensorIO, SafetensorsEveryTruncationAndMutation) {
  HostTensor a = randomTensor(ElementType::BF16, {3, 2}, 1);
  HostTensor b = randomTensor(ElementType::I32, {2}, 2);
  ASSERT_FALSE(
      writeSafetensors(path("t.st"), {{"a", &a}, {"b", &b}}, {{"k", "v"}}));
  std::string file = slurp(path("t.st"));
  for (size_t size = 0; size < file.size(); ++size) {
    std::vector<char> cut(file.begin(), file.begin() + size);
    auto parsed = parseImage({cut.data(), cut.size()});
    ASSERT_FALSE(static_cast<bool>(parsed)) << size;
    EXPECT_EQ(llvm::toString(parsed.takeError()).rfind("f.st: ", 0), 0u);
  }
  std::mt19937 random(6);
  for (int trial = 0; trial < 20000; ++trial) {
    std::string bad = file;
    for (unsigned flips = 1 + random() % 3; flips; --flips)
      bad[random() % file.size()] = static_cast<char>(random());
    auto parsed = parseImage(bad);
    if (!parsed) {
      llvm::consumeError(parsed.takeError());
      continue;
    }
    for (const SafetensorsEntry &entry : parsed->getEntries())
      if (auto tensor = parsed->read(entry.name); !tensor)
        llvm::consumeError(tensor.takeError());
  }
}
