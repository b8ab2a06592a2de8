//===- Npy.cpp - Reading and writing .npy files ---------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Support/FileIO.h"
#include "moec/Support/TensorIO.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::moe;

static constexpr llvm::StringLiteral magic("\x93NUMPY");

//===----------------------------------------------------------------------===//
// Header: a Python dictionary with three keys
//===----------------------------------------------------------------------===//

namespace {
struct NpyHeader {
  std::string descr;
  bool fortranOrder = false;
  llvm::SmallVector<int64_t, 4> shape;
};

/// Reads the dictionary that numpy.lib.format writes, with any spacing and
/// order of keys.
class HeaderParser {
public:
  HeaderParser(llvm::StringRef text, llvm::StringRef name)
      : text(text), rest(text), name(name) {}

  llvm::Expected<NpyHeader> parse() {
    NpyHeader header;
    bool seen[3] = {};
    if (!consume('{'))
      return fail("expected '{'");
    while (!consume('}')) {
      std::string key;
      if (!parseString(key) || !consume(':'))
        return fail("expected a key in quotes and ':'");
      int which = llvm::StringSwitch<int>(key)
                      .Case("descr", 0)
                      .Case("fortran_order", 1)
                      .Case("shape", 2)
                      .Default(-1);
      if (which < 0)
        return fail("unknown key '" + key + "'");
      if (seen[which])
        return fail("key '" + key + "' twice");
      seen[which] = true;
      if (which == 0 && !parseString(header.descr))
        return fail("descr must be one type in quotes (structured arrays are "
                    "not supported)");
      if (which == 1) {
        if (consumeWord("True"))
          header.fortranOrder = true;
        else if (!consumeWord("False"))
          return fail("fortran_order must be True or False");
      }
      if (which == 2 && !parseShape(header.shape))
        return fail("shape must be a tuple of integers from 0 to 2^63 - 1");
      if (!consume(',') && !rest.ltrim().starts_with("}"))
        return fail("expected ',' or '}'");
    }
    if (!rest.trim().empty())
      return fail("text after '}'");
    static constexpr const char *names[] = {"descr", "fortran_order", "shape"};
    for (int i = 0; i < 3; ++i)
      if (!seen[i])
        return fail(llvm::Twine("key '") + names[i] + "' is missing");
    return header;
  }

private:
  llvm::Error fail(const llvm::Twine &what) {
    return llvm::createStringError(name + ": .npy header: " + what +
                                   " at byte " +
                                   llvm::Twine(text.size() - rest.size()));
  }
  bool consume(char c) {
    rest = rest.ltrim();
    return rest.consume_front(llvm::StringRef(&c, 1));
  }
  bool consumeWord(llvm::StringRef word) {
    rest = rest.ltrim();
    return rest.consume_front(word);
  }
  bool parseString(std::string &out) {
    rest = rest.ltrim();
    if (rest.empty() || (rest[0] != '\'' && rest[0] != '"'))
      return false;
    size_t end = rest.find(rest[0], 1);
    if (end == llvm::StringRef::npos)
      return false;
    out = rest.slice(1, end).str();
    rest = rest.drop_front(end + 1);
    return true;
  }
  bool parseShape(llvm::SmallVectorImpl<int64_t> &shape) {
    if (!consume('('))
      return false;
    while (!consume(')')) {
      rest = rest.ltrim();
      uint64_t extent;
      if (rest.consumeInteger(10, extent) || extent > INT64_MAX)
        return false;
      shape.push_back(static_cast<int64_t>(extent));
      // A one-element tuple is written (3,).
      if (!consume(',') && !rest.ltrim().starts_with(")"))
        return false;
    }
    return true;
  }

  llvm::StringRef text, rest, name;
};

/// What a type string means: the type if moec has it, its width, and whether it
/// may be taken as raw bits.
struct DescrInfo {
  std::optional<ElementType> type;
  unsigned bytes;
  bool isRaw;
};
} // namespace

static llvm::Expected<DescrInfo> parseDescr(llvm::StringRef descr,
                                            llvm::StringRef name) {
  using Result = std::optional<DescrInfo>;
  Result info =
      llvm::StringSwitch<Result>(descr)
          .Case("<f8", DescrInfo{ElementType::F64, 8, false})
          .Case("<f4", DescrInfo{ElementType::F32, 4, false})
          .Case("<f2", DescrInfo{ElementType::F16, 2, false})
          .Cases({"|i1", "<i1"}, DescrInfo{ElementType::I8, 1, true})
          .Cases({"|u1", "<u1"}, DescrInfo{ElementType::U8, 1, true})
          .Case("<i4", DescrInfo{ElementType::I32, 4, false})
          .Case("<i8", DescrInfo{ElementType::I64, 8, false})
          .Cases({"<u2", "<i2", "<V2", "|V2"}, DescrInfo{std::nullopt, 2, true})
          .Cases({"<V1", "|V1"}, DescrInfo{std::nullopt, 1, true})
          .Cases({"<u4", "<V4", "|V4"}, DescrInfo{std::nullopt, 4, true})
          .Default(std::nullopt);
  if (info)
    return *info;
  if (descr.starts_with(">"))
    return llvm::createStringError(name + ": big-endian type '" + descr +
                                   "' is not supported; store little endian");
  return llvm::createStringError(
      name + ": type '" + descr +
      "' is not supported; one of <f8 <f4 <f2 <i8 <i4 |i1 |u1, or raw bytes "
      "(|u1 <u2 |V1 |V2) with an explicit type");
}

/// Settles the element type and, for 4-bit types, the last extent.
static llvm::Expected<ElementType>
resolveType(const DescrInfo &info, llvm::StringRef descr,
            std::optional<ElementType> as,
            llvm::SmallVectorImpl<int64_t> &shape, llvm::StringRef name) {
  if (!as) {
    if (info.type)
      return *info.type;
    return llvm::createStringError(name + ": type '" + descr +
                                   "' holds raw bytes: the element type must "
                                   "be given");
  }
  if (info.type == as)
    return *as;
  std::string file = "'" + descr.str() + "'";
  if (!info.isRaw)
    return llvm::createStringError(name + ": holds " + file +
                                   ", which is not " + getElementTypeName(*as));
  unsigned bits = getBitWidth(*as);
  if (bits == 4 && info.bytes == 1) {
    if (shape.empty() || shape.back() > INT64_MAX / 2)
      return llvm::createStringError(name + ": shape " + formatShape(shape) +
                                     " has no last extent to hold pairs of " +
                                     getElementTypeName(*as));
    shape.back() *= 2;
    return *as;
  }
  if (bits != info.bytes * 8)
    return llvm::createStringError(
        name + ": holds " + file + " of " + llvm::Twine(info.bytes * 8) +
        " bits per element, but " + getElementTypeName(*as) + " has " +
        llvm::Twine(bits));
  return *as;
}

/// Copies from Fortran to C order, `size` bytes an element.
static void copyTransposed(const uint8_t *source, uint8_t *target,
                           llvm::ArrayRef<int64_t> shape, unsigned size,
                           int64_t count) {
  size_t rank = shape.size();
  llvm::SmallVector<int64_t, 4> index(rank, 0), stride(rank);
  int64_t running = 1;
  for (size_t d = 0; d < rank; ++d) {
    stride[d] = running;
    running *= shape[d];
  }
  int64_t from = 0;
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(target + i * size, source + from * size, size);
    for (size_t d = rank; d-- > 0;) {
      from += stride[d];
      if (++index[d] < shape[d])
        break;
      from -= stride[d] * shape[d];
      index[d] = 0;
    }
  }
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

llvm::Expected<HostTensor> mlir::moe::parseNpy(llvm::StringRef contents,
                                               llvm::StringRef name,
                                               std::optional<ElementType> as) {
  if (contents.size() < 10)
    return llvm::createStringError(
        name + ": truncated .npy: " + llvm::Twine(contents.size()) +
        " bytes, the preamble takes 10");
  if (!contents.starts_with(magic))
    return llvm::createStringError(
        name + ": not a .npy file: begins with bytes 0x" +
        llvm::toHex(contents.take_front(6)) + ", expected 0x934E554D5059");
  unsigned major = static_cast<uint8_t>(contents[6]);
  unsigned minor = static_cast<uint8_t>(contents[7]);
  if (major < 1 || major > 3 || minor != 0)
    return llvm::createStringError(
        name + ": .npy version " + llvm::Twine(major) + "." +
        llvm::Twine(minor) + " is unknown (1.0, 2.0 and 3.0 are known)");
  uint64_t headerStart = major == 1 ? 10 : 12;
  if (contents.size() < headerStart)
    return llvm::createStringError(
        name + ": truncated .npy: " + llvm::Twine(contents.size()) +
        " bytes, the preamble takes 12");
  uint64_t headerSize =
      major == 1 ? llvm::support::endian::read16le(contents.data() + 8)
                 : llvm::support::endian::read32le(contents.data() + 8);
  if (headerSize > contents.size() - headerStart)
    return llvm::createStringError(
        name + ": truncated .npy: the header takes " + llvm::Twine(headerSize) +
        " bytes, " + llvm::Twine(contents.size() - headerStart) + " are there");
  llvm::Expected<NpyHeader> header =
      HeaderParser(contents.substr(headerStart, headerSize), name).parse();
  if (!header)
    return header.takeError();
  llvm::Expected<DescrInfo> descr = parseDescr(header->descr, name);
  if (!descr)
    return descr.takeError();

  llvm::SmallVector<int64_t, 4> fileShape = header->shape;
  llvm::Expected<int64_t> fileCount =
      checkedNumElements(fileShape, descr->bytes * 8, name);
  if (!fileCount)
    return fileCount.takeError();
  uint64_t want = static_cast<uint64_t>(*fileCount) * descr->bytes;
  llvm::StringRef data = contents.drop_front(headerStart + headerSize);
  if (data.size() != want)
    return llvm::createStringError(
        name + ": " + (data.size() < want ? "truncated .npy" : "extra data") +
        ": shape " + formatShape(fileShape) + " of '" + header->descr +
        "' takes " + llvm::Twine(want) + " bytes, " + llvm::Twine(data.size()) +
        " are there");

  llvm::Expected<ElementType> type =
      resolveType(*descr, header->descr, as, header->shape, name);
  if (!type)
    return type.takeError();
  llvm::Expected<HostTensor> tensor =
      HostTensor::createUninitialized(*type, header->shape);
  if (!tensor)
    return llvm::createStringError(name + ": " +
                                   llvm::toString(tensor.takeError()));
  const uint8_t *source = reinterpret_cast<const uint8_t *>(data.data());
  if (header->fortranOrder && fileShape.size() > 1)
    copyTransposed(source, tensor->getData(), fileShape, descr->bytes,
                   *fileCount);
  else
    std::memcpy(tensor->getData(), source, want);
  return tensor;
}

llvm::Expected<HostTensor> mlir::moe::readNpy(llvm::StringRef path,
                                              std::optional<ElementType> as) {
  // A directory opens on some systems and only fails when read.
  if (llvm::sys::fs::is_directory(path))
    return llvm::createStringError(path + ": is a directory");
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return llvm::createStringError(
        path + ": cannot read: " + buffer.getError().message());
  return parseNpy((*buffer)->getBuffer(), path, as);
}

static llvm::StringRef npyDescr(ElementType type) {
  switch (type) {
  case ElementType::F64:
    return "<f8";
  case ElementType::F32:
    return "<f4";
  case ElementType::F16:
    return "<f2";
  case ElementType::BF16:
    return "<u2";
  case ElementType::I8:
    return "|i1";
  case ElementType::I32:
    return "<i4";
  case ElementType::I64:
    return "<i8";
  default:
    return "|u1";
  }
}

llvm::Error mlir::moe::writeNpy(llvm::StringRef path,
                                const HostTensor &tensor) {
  llvm::SmallVector<int64_t, 4> shape(tensor.getShape());
  if (isPackedType(tensor.getType())) {
    if (shape.empty() || shape.back() % 2)
      return llvm::createStringError(path + ": " + tensor.describe() +
                                     " has no even last extent to store two "
                                     "elements per byte");
    shape.back() /= 2;
  }
  std::string header;
  llvm::raw_string_ostream os(header);
  os << "{'descr': '" << npyDescr(tensor.getType())
     << "', 'fortran_order': False, 'shape': (";
  llvm::interleaveComma(shape, os);
  os << (shape.size() == 1 ? ",), }" : "), }");
  // Data starts at a multiple of 64; the header ends with a newline.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  if (header.size() > UINT16_MAX)
    return llvm::createStringError(path + ": a shape of rank " +
                                   llvm::Twine(shape.size()) +
                                   " does not fit a .npy header");
  return writeFile(path, [&](llvm::raw_ostream &file) {
    file << magic << '\1' << '\0' << char(header.size() & 0xff)
         << char(header.size() >> 8) << header;
    file.write(reinterpret_cast<const char *>(tensor.getData()),
               tensor.getByteSize());
  });
}
