//===- TunedText.cpp - JSON with the places of its values -----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TunedText.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"

using namespace mlir::moe;
using llvm::StringRef;

namespace {
/// Reads from the front; the first thing wrong ends it.
class Reader {
public:
  Reader(StringRef file, StringRef text) : file(file), text(text) {}
  llvm::Expected<std::vector<TunedMember>> run();

private:
  bool fail(const llvm::Twine &what) {
    if (message.empty())
      message = (file + ": line " + llvm::Twine(line) + ": " + what).str();
    return false;
  }
  void skipBlanks();
  /// The next byte, 0 at the end.
  char peek() const { return at < text.size() ? text[at] : '\0'; }
  std::string describeNext() const;
  bool expect(char c);
  bool readString(std::string &value);
  bool readNumber(TunedValue &value);
  bool readWord(TunedValue &value);
  bool readValue(TunedValue &value, unsigned depth);
  /// The members of an object, its braces included.
  bool readObject(llvm::function_ref<bool(std::string key)> member);
  bool readArray(unsigned depth);
  bool readMember(std::string key, std::vector<TunedMember> &members);

  StringRef file, text;
  size_t at = 0;
  unsigned line = 1;
  std::string message;
};
} // namespace

void Reader::skipBlanks() {
  for (; at < text.size() && StringRef(" \t\r\n").contains(text[at]); ++at)
    line += text[at] == '\n';
}

std::string Reader::describeNext() const {
  if (at >= text.size())
    return "the file ends";
  if (!llvm::isPrint(text[at]))
    return "there is a byte 0x" +
           llvm::utohexstr(static_cast<uint8_t>(text[at]), false, 2);
  return std::string("there is '") + text[at] + "'";
}

bool Reader::expect(char c) {
  skipBlanks();
  if (peek() != c)
    return fail("expected '" + llvm::Twine(c) + "', " + describeNext());
  ++at;
  return true;
}

bool Reader::readString(std::string &value) {
  if (!expect('"'))
    return false;
  size_t begin = at;
  for (; at < text.size() && text[at] != '"'; ++at) {
    if (static_cast<uint8_t>(text[at]) < 0x20)
      return fail("a text is not closed");
    at += text[at] == '\\';
  }
  if (at >= text.size())
    return fail("a text is not closed");
  // Escapes are rare: LLVM's reader knows them.
  llvm::Expected<llvm::json::Value> parsed =
      llvm::json::parse(text.slice(begin - 1, ++at));
  if (!parsed) {
    llvm::consumeError(parsed.takeError());
    return fail("a text has a wrong escape or is no UTF-8");
  }
  value = parsed->getAsString()->str();
  return true;
}

bool Reader::readNumber(TunedValue &value) {
  size_t begin = at;
  while (at < text.size() &&
         (llvm::isDigit(text[at]) || StringRef("+-.eE").contains(text[at])))
    ++at;
  StringRef spelling = text.slice(begin, at), rest = spelling;
  // As JSON has it: LLVM's reader also takes "1." and "007".
  auto takeDigits = [&] {
    StringRef digits = rest.take_while(llvm::isDigit);
    rest = rest.drop_front(digits.size());
    return digits;
  };
  rest.consume_front("-");
  StringRef whole = takeDigits();
  bool good = whole.size() == 1 || (whole.size() > 1 && whole[0] != '0');
  if (good && rest.consume_front("."))
    good = !takeDigits().empty();
  if (good && rest.consume_front_insensitive("e")) {
    (void)(rest.consume_front("+") || rest.consume_front("-"));
    good = !takeDigits().empty();
  }
  if (!good || !rest.empty())
    return fail("'" + spelling + "' is no number");
  if (!spelling.getAsInteger(10, value.number))
    value.kind = TunedValue::Integer;
  return true;
}

bool Reader::readWord(TunedValue &value) {
  size_t begin = at;
  while (at < text.size() && llvm::isAlnum(text[at]))
    ++at;
  StringRef word = text.slice(begin, at);
  if (word == "true" || word == "false") {
    value.kind = TunedValue::Boolean;
    value.number = word == "true";
    return true;
  }
  if (word == "null")
    return true;
  at = begin;
  return fail("expected a value, " + (word.empty()
                                          ? describeNext()
                                          : "there is '" + word.str() + "'"));
}

bool Reader::readArray(unsigned depth) {
  if (!expect('['))
    return false;
  skipBlanks();
  if (peek() == ']') {
    ++at;
    return true;
  }
  while (true) {
    TunedValue ignored;
    if (!readValue(ignored, depth))
      return false;
    skipBlanks();
    if (peek() != ',')
      return expect(']');
    ++at;
  }
}

bool Reader::readValue(TunedValue &value, unsigned depth) {
  skipBlanks();
  value.begin = at;
  value.line = line;
  // A file has two levels; what is deeper than this is no file of tile sizes.
  if (depth > 16)
    return fail("values are nested more than 16 levels deep");
  bool good = false;
  char next = peek();
  if (next == '"') {
    std::string ignored;
    good = readString(ignored);
    value.kind = TunedValue::String;
  } else if (next == '{') {
    good = readObject([&](std::string) {
      TunedValue ignored;
      return readValue(ignored, depth + 1);
    });
  } else if (next == '[') {
    good = readArray(depth + 1);
  } else if (next == '-' || llvm::isDigit(next)) {
    good = readNumber(value);
  } else {
    good = readWord(value);
  }
  value.end = at;
  return good;
}

bool Reader::readObject(llvm::function_ref<bool(std::string key)> member) {
  if (!expect('{'))
    return false;
  skipBlanks();
  if (peek() == '}') {
    ++at;
    return true;
  }
  while (true) {
    std::string key;
    if (!readString(key))
      return false;
    if (!expect(':'))
      return false;
    if (!member(std::move(key)))
      return false;
    skipBlanks();
    if (peek() != ',')
      return expect('}');
    ++at;
  }
}

bool Reader::readMember(std::string key, std::vector<TunedMember> &members) {
  if (llvm::any_of(members, [&](const TunedMember &other) {
        return other.value.key == key;
      }))
    return fail("key '" + key + "' stands there twice");
  TunedMember member;
  member.value.key = std::move(key);
  skipBlanks();
  member.value.begin = at;
  member.value.line = line;
  member.isObject = peek() == '{';
  if (!member.isObject) {
    if (!readValue(member.value, 1))
      return false;
    members.push_back(std::move(member));
    return true;
  }
  bool good = readObject([&](std::string inner) {
    if (llvm::any_of(member.members, [&](const TunedValue &other) {
          return other.key == inner;
        }))
      return fail("key '" + inner + "' stands there twice");
    TunedValue value;
    value.key = std::move(inner);
    if (!readValue(value, 2))
      return false;
    member.members.push_back(std::move(value));
    return true;
  });
  member.value.end = at;
  members.push_back(std::move(member));
  return good;
}

llvm::Expected<std::vector<TunedMember>> Reader::run() {
  std::vector<TunedMember> members;
  skipBlanks();
  if (peek() != '{')
    fail("must hold one JSON object, " + describeNext());
  else if (readObject([&](std::string key) {
             return readMember(std::move(key), members);
           })) {
    skipBlanks();
    if (at < text.size())
      fail("expected the end of the file, " + describeNext());
  }
  if (!message.empty())
    return llvm::createStringError(message);
  return std::move(members);
}

llvm::Expected<std::vector<TunedMember>>
mlir::moe::readTunedText(StringRef file, StringRef text) {
  return Reader(file, text).run();
}
