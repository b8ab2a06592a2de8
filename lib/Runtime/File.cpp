//===- File.cpp - Whole files ---------------------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "File.h"
#include "Status.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

using namespace moec;

moec_status moec::readFile(const std::string &path, const char *what,
                           std::string &content) {
  content.clear();
  std::FILE *file = std::fopen(path.c_str(), "rb");
  if (file) {
    char buffer[65536];
    while (size_t count = std::fread(buffer, 1, sizeof(buffer), file))
      content.append(buffer, count);
  }
  if (!file || std::ferror(file)) {
    int error = errno;
    if (file)
      std::fclose(file);
    return fail(MOEC_ERR_FILE, "cannot read %s%s'%s': %s", what,
                *what ? " " : "", path.c_str(), std::strerror(error));
  }
  std::fclose(file);
  return MOEC_OK;
}
