//===- Affine.cpp - Sizes that depend on the token count ------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Manifest.h"

using namespace moec;

bool Affine::evaluate(int64_t tokens, int64_t &value) const {
  int64_t scaled, sum;
  if (__builtin_mul_overflow(perToken, tokens, &scaled) ||
      __builtin_add_overflow(scaled, constant, &sum))
    return false;
  value = sum / divisor + (sum % divisor != 0);
  return true;
}

std::string Affine::str() const {
  std::string text;
  if (perToken == 1)
    text = "T";
  else if (perToken != 0)
    text = std::to_string(perToken) + "*T";
  if (constant != 0 || text.empty())
    text += (text.empty() ? "" : " + ") + std::to_string(constant);
  if (divisor != 1)
    text = "ceil((" + text + ") / " + std::to_string(divisor) + ")";
  return text;
}

namespace {
/// Reads the terms of an affine string, from left to right.
struct Scanner {
  const std::string &text;
  size_t position = 0;

  void skipSpaces() {
    while (position < text.size() && text[position] == ' ')
      ++position;
  }

  bool accept(char c) {
    skipSpaces();
    if (position == text.size() || text[position] != c)
      return false;
    ++position;
    return true;
  }

  bool number(int64_t &value) {
    skipSpaces();
    size_t first = position;
    value = 0;
    for (; position < text.size() && text[position] >= '0' &&
           text[position] <= '9';
         ++position)
      if (__builtin_mul_overflow(value, int64_t(10), &value) ||
          __builtin_add_overflow(value, int64_t(text[position] - '0'), &value))
        return false;
    return position > first;
  }

  bool term(Affine &sum) {
    int64_t factor = 1;
    bool tokens = accept('T');
    if (tokens) {
      if (accept('*') && !number(factor))
        return false;
    } else {
      if (!number(factor))
        return false;
      if (accept('*')) {
        if (!accept('T'))
          return false;
        tokens = true;
      }
    }
    int64_t &target = tokens ? sum.perToken : sum.constant;
    return !__builtin_add_overflow(target, factor, &target);
  }
};
} // namespace

bool Affine::parse(const std::string &text, Affine &result) {
  Scanner scanner{text};
  Affine sum;
  do {
    if (!scanner.term(sum))
      return false;
  } while (scanner.accept('+'));
  scanner.skipSpaces();
  if (scanner.position != text.size())
    return false;
  result = sum;
  return true;
}
