//===- CudaSupport.cpp - What the tests of GPU layers share ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CudaSupport.h"

#include <dlfcn.h>
#include <elf.h>

namespace moec::test {

std::string gpuManifest() { return contentOf(TOY_INPUTS "/gpu.json"); }

const char *const gpuKernels =
    "kernel align params 8,8,4,8 threads 256 static 128\n"
    "kernel up params 128,128,8,8,8,8 threads 384 static 0\n"
    "kernel down params 128,8,8 threads 1024 static 0\n"
    "kernel whole params 8,8,8,4 threads 256 static 0\n"
    "kernel plain params 8,8,8,8,8 threads 64 static 0\n";

std::string cubinOf(const std::string &text) { return elfOf(text, 190); }

std::string elfOf(const std::string &text, int machine) {
  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_machine = static_cast<Elf64_Half>(machine);
  header.e_shnum = 2;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shoff = sizeof(header);
  Elf64_Shdr sections[2] = {};
  sections[1].sh_type = SHT_PROGBITS;
  sections[1].sh_offset = sizeof(header) + sizeof(sections);
  sections[1].sh_size = text.size();
  std::string image(reinterpret_cast<const char *>(&header), sizeof(header));
  image.append(reinterpret_cast<const char *>(sections), sizeof(sections));
  return image + text;
}

static fake::Driver &loadFake(const char *name) {
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(library, nullptr) << dlerror();
  auto get =
      reinterpret_cast<fake::Driver *(*)()>(dlsym(library, "moec_fake_cuda"));
  return *get();
}

GpuTest::GpuTest(const char *library, const char *target)
    : library(library), target(target), fake(loadFake(library)) {
  fake.reset();
}

GpuTest::~GpuTest() {
  layer.reset();
  // Whatever a test did, nothing may be left behind.
  EXPECT_EQ(fake.modules, 0);
  EXPECT_EQ(fake.retained, 0);
  EXPECT_EQ(fake.pushed, 0);
}

CudaTest::CudaTest() : GpuTest(MOEC_FAKE_CUDA_LIBRARY, "cuda") {
  write(gpuManifest());
}

void CudaTest::write(const std::string &manifest) {
  artifact.write("manifest.json", manifest);
  artifact.write("gpu.cubin", cubinOf(gpuKernels));
  artifact.write("gpu.ptx", std::string(".version 8.0\n") + gpuKernels);
}

moec_status GpuTest::open(const char *target) {
  moec_open_options options = openOptions();
  options.target = target ? target : this->target;
  options.driver = library;
  moec_layer *opened = nullptr;
  moec_status status = moec_open(artifact.path.c_str(), &options, &opened);
  layer.reset(opened);
  EXPECT_EQ(status == MOEC_OK, opened != nullptr);
  return status;
}

void GpuTest::mustOpen(const char *target) {
  ASSERT_EQ(open(target), MOEC_OK) << moec_last_error();
  fake.calls.clear();
  fake.failCalls = 0;
}

GpuRun::GpuRun(int64_t tokens)
    : tokens(tokens), rows{tokens, 64}, ids{tokens, 2}, weights{4, 128, 64},
      bias{128} {
  auto at = [](uint64_t offset) {
    return reinterpret_cast<void *>(fake::firstAddress + offset);
  };
  tensors = {{at(0x100000), MOEC_BF16, 2, rows.data(), nullptr},
             {at(0x200000), MOEC_I32, 2, ids.data(), nullptr},
             {at(0x300000), MOEC_BF16, 3, weights.data(), nullptr},
             {at(0x400000), MOEC_BF16, 1, bias.data(), nullptr},
             {at(0x500000), MOEC_BF16, 2, rows.data(), nullptr}};
}

moec_status GpuRun::run(const moec_layer *layer, moec_run_stats *stats) {
  if (count >= 0)
    return moec_run_part_on_stream(
        layer, tensors.data(), static_cast<int32_t>(tensors.size()), tokens,
        reinterpret_cast<void *>(workspace), workspaceBytes,
        reinterpret_cast<void *>(stream),
        reinterpret_cast<void *>(deviceTokens), first, count, stats);
  return moec_run_on_stream(layer, tensors.data(),
                            static_cast<int32_t>(tensors.size()), tokens,
                            reinterpret_cast<void *>(workspace), workspaceBytes,
                            reinterpret_cast<void *>(stream),
                            reinterpret_cast<void *>(deviceTokens), stats);
}

} // namespace moec::test
