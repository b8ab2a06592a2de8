//===- FakeCuda.cpp - A CUDA driver that only keeps a diary ---------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FakeCuda.h"
#include "GpuDriver.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <memory>
#include <sstream>

using namespace moec;
using fake::Driver;

#define DRIVER extern "C" __attribute__((visibility("default")))

namespace {
enum {
  Ok = 0,
  InvalidValue = 1,
  NotInitialized = 3,
  InvalidDevice = 101,
  InvalidImage = 200,
  InvalidContext = 201,
  NotFound = 500,
  CaptureUnsupported = 900,
  NotSupported = 801
};
} // namespace

namespace moec {
// The run time knows these types by name only.
struct CUctx_st {
  int device = 0;
};
struct CUfunc_st {
  std::string name;
  std::vector<size_t> parameters;
  bool known = false;
  int threads = 1024;
  int staticBytes = 0;
  int dynamicLimit = 48 * 1024;
  bool nonPortable = false;
};
struct CUmod_st {
  std::vector<std::unique_ptr<CUfunc_st>> functions;
  bool anything = false;
};
} // namespace moec

static CUctx_st primary[16];
static thread_local std::vector<CUcontext> contexts;

DRIVER Driver *moec_fake_cuda() {
  static Driver *driver = [] {
    auto *made = new Driver;
    made->reset();
    return made;
  }();
  return driver;
}

static Driver &driver() { return *moec_fake_cuda(); }

void fake::Settings::read(const char *text) {
  std::stringstream items(text ? text : "");
  for (std::string item; std::getline(items, item, ',');) {
    size_t equals = item.find('=');
    std::string key = item.substr(0, equals);
    std::string value =
        equals == std::string::npos ? "1" : item.substr(equals + 1);
    int number = std::atoi(value.c_str());
    if (key == "devices")
      devices = number;
    else if (key == "arch")
      arch = value;
    else if (key == "capability")
      capability = number;
    else if (key == "multiprocessors")
      multiprocessors = number;
    else if (key == "clusters")
      clusters = number;
    else if (key == "blocks")
      blocksPerMultiprocessor = number;
    else if (key == "pageable")
      pageable = number;
    else if (key == "init")
      init = number;
    else if (key == "capturing")
      capturing = number;
    else if (key == "fail") {
      size_t first = value.find(':'), second = value.rfind(':');
      failFunction = value.substr(0, first);
      failAt = std::atoi(value.c_str() + first + 1);
      failCode = std::atoi(value.c_str() + second + 1);
    }
  }
}

void Driver::reset() {
  settings = fake::Settings();
  settings.read(std::getenv("MOEC_FAKE_CUDA"));
  calls.clear();
  failCalls = 0;
  maps = 0;
}

std::vector<std::string> Driver::callsOf(const std::string &prefix) {
  std::vector<std::string> found;
  for (const std::string &call : calls)
    if (call.compare(0, prefix.size(), prefix) == 0)
      found.push_back(call);
  return found;
}

/// Writes the call down; the result that it must return at once, if it must.
static int enter(const char *function, const std::string &details = "") {
  Driver &state = driver();
  std::lock_guard<std::mutex> lock(state.mutex);
  if (!state.settings.quiet) {
    std::string line = function + (details.empty() ? "" : " " + details);
    if (const char *path = std::getenv("MOEC_FAKE_CUDA_LOG"))
      if (std::FILE *file = std::fopen(path, "a")) {
        std::fprintf(file, "%s\n", line.c_str());
        std::fclose(file);
      }
    state.calls.push_back(std::move(line));
  }
  if (state.settings.failFunction == function &&
      ++state.failCalls == state.settings.failAt)
    return state.settings.failCode;
  return Ok;
}

static bool quiet() { return driver().settings.quiet; }

/// As enter, for calls that a stream capture does not allow.
static int enterUncaptured(const char *function,
                           const std::string &details = "") {
  if (int result = enter(function, details))
    return result;
  return driver().settings.capturing ? CaptureUnsupported : Ok;
}

static std::string print(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
static std::string print(const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return text;
}

template <typename T> static std::string list(const T *values, size_t count) {
  std::string text = "[";
  for (size_t i = 0; i < count; ++i)
    text += (i ? ", " : "") + std::to_string(values[i]);
  return text + "]";
}

static unsigned long long wide(uint64_t value) { return value; }

//===----------------------------------------------------------------------===//
// Devices and contexts
//===----------------------------------------------------------------------===//

DRIVER int cuInit(unsigned) {
  if (int result = enter("cuInit"))
    return result;
  return driver().settings.init;
}

DRIVER int cuDeviceGetCount(int *count) {
  *count = driver().settings.devices;
  return enter("cuDeviceGetCount");
}

DRIVER int cuDeviceGet(CUdevice *device, int ordinal) {
  if (int result = enter("cuDeviceGet", std::to_string(ordinal)))
    return result;
  if (ordinal < 0 || ordinal >= driver().settings.devices)
    return InvalidDevice;
  *device = ordinal;
  return Ok;
}

DRIVER int cuDeviceGetName(char *name, int length, CUdevice device) {
  std::snprintf(name, static_cast<size_t>(length), "Fake GPU %d", device);
  return enter("cuDeviceGetName");
}

DRIVER int cuDeviceGetAttribute(int *value, int attribute, CUdevice) {
  const fake::Settings &settings = driver().settings;
  if (int result = enter("cuDeviceGetAttribute", std::to_string(attribute)))
    return result;
  switch (attribute) {
  case cuda::MultiprocessorCount:
    *value = settings.multiprocessors;
    return Ok;
  case cuda::ComputeCapabilityMajor:
    *value = settings.capability / 10;
    return Ok;
  case cuda::ComputeCapabilityMinor:
    *value = settings.capability % 10;
    return Ok;
  case cuda::PageableMemoryAccess:
    *value = settings.pageable;
    return Ok;
  case cuda::MaxSharedMemoryPerBlockOptin:
    *value = 232448;
    return Ok;
  default:
    return InvalidValue;
  }
}

DRIVER int cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  if (int result = enterUncaptured("cuDevicePrimaryCtxRetain"))
    return result;
  primary[device].device = device;
  *context = &primary[device];
  ++driver().retained;
  return Ok;
}

DRIVER int cuDevicePrimaryCtxRelease_v2(CUdevice) {
  --driver().retained;
  return enter("cuDevicePrimaryCtxRelease");
}

DRIVER int cuCtxGetCurrent(CUcontext *context) {
  *context = contexts.empty() ? nullptr : contexts.back();
  return Ok;
}

DRIVER int cuCtxGetDevice(CUdevice *device) {
  if (contexts.empty())
    return InvalidContext;
  *device = contexts.back()->device;
  return Ok;
}

DRIVER int cuCtxPushCurrent_v2(CUcontext context) {
  if (int result = enter("cuCtxPushCurrent"))
    return result;
  contexts.push_back(context);
  ++driver().pushed;
  return Ok;
}

DRIVER int cuCtxPopCurrent_v2(CUcontext *context) {
  if (contexts.empty())
    return InvalidContext;
  *context = contexts.back();
  contexts.pop_back();
  --driver().pushed;
  return enter("cuCtxPopCurrent");
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

static void describe(const std::string &image, CUmod_st &module) {
  module.anything = true;
  for (size_t at = 0; (at = image.find("kernel ", at)) != std::string::npos;) {
    std::stringstream line(image.substr(at, image.find('\n', at) - at));
    at += 7;
    std::string word;
    auto function = std::make_unique<CUfunc_st>();
    line >> word >> function->name;
    while (line >> word) {
      std::string value;
      line >> value;
      if (word == "threads")
        function->threads = std::atoi(value.c_str());
      if (word == "static")
        function->staticBytes = std::atoi(value.c_str());
      if (word != "params")
        continue;
      function->known = true;
      std::stringstream sizes(value);
      for (std::string size; std::getline(sizes, size, ',');)
        if (size != "none")
          function->parameters.push_back(std::atoi(size.c_str()));
    }
    module.functions.push_back(std::move(function));
    module.anything = false;
  }
}

DRIVER int cuModuleLoadDataEx(CUmodule *module, const void *image,
                              unsigned options, int *keys, void **values) {
  const char *bytes = static_cast<const char *>(image);
  bool isElf = std::memcmp(bytes, ELFMAG, SELFMAG) == 0;
  if (int result =
          enterUncaptured("cuModuleLoadDataEx", isElf ? "cubin" : "ptx"))
    return result;
  if (contexts.empty())
    return InvalidContext;
  std::string text;
  if (isElf) {
    Elf64_Ehdr header;
    std::memcpy(&header, bytes, sizeof(header));
    for (int i = 0; i < header.e_shnum; ++i) {
      Elf64_Shdr section;
      std::memcpy(&section, bytes + header.e_shoff + i * sizeof(section),
                  sizeof(section));
      if (section.sh_type == SHT_PROGBITS)
        text.append(bytes + section.sh_offset, section.sh_size);
    }
  } else {
    text = bytes;
    if (text.find(".version") == std::string::npos) {
      for (unsigned i = 0; i < options; ++i)
        if (keys[i] == cuda::ErrorLogBuffer)
          std::strcpy(static_cast<char *>(values[i]),
                      "ptxas fatal: no .version");
      return InvalidImage;
    }
  }
  auto *made = new CUmod_st;
  describe(text, *made);
  *module = made;
  ++driver().modules;
  return Ok;
}

DRIVER int cuModuleUnload(CUmodule module) {
  delete module;
  --driver().modules;
  return enter("cuModuleUnload");
}

DRIVER int cuModuleGetFunction(CUfunction *function, CUmodule module,
                               const char *name) {
  if (int result = enter("cuModuleGetFunction", name))
    return result;
  for (const auto &candidate : module->functions)
    if (candidate->name == name) {
      *function = candidate.get();
      return Ok;
    }
  if (!module->anything)
    return NotFound;
  *function = module->functions.emplace_back(new CUfunc_st).get();
  (*function)->name = name;
  return Ok;
}

DRIVER int cuFuncLoad(CUfunction function) {
  return enterUncaptured("cuFuncLoad", function->name);
}

DRIVER int cuFuncGetParamInfo(CUfunction function, size_t index, size_t *offset,
                              size_t *size) {
  if (int result = enter("cuFuncGetParamInfo"))
    return result;
  if (!function->known)
    return NotSupported;
  if (index >= function->parameters.size())
    return InvalidValue;
  *offset = 0;
  *size = function->parameters[index];
  return Ok;
}

DRIVER int cuFuncGetAttribute(int *value, int attribute, CUfunction function) {
  if (int result = enter("cuFuncGetAttribute", std::to_string(attribute)))
    return result;
  *value = attribute == cuda::MaxThreadsPerBlock   ? function->threads
           : attribute == cuda::StaticSharedMemory ? function->staticBytes
                                                   : -1;
  return *value < 0 ? InvalidValue : Ok;
}

DRIVER int cuFuncSetAttribute(CUfunction function, int attribute, int value) {
  if (int result = enter(
          "cuFuncSetAttribute",
          print("kernel=%s %d=%d", function->name.c_str(), attribute, value)))
    return result;
  if (attribute == cuda::MaxDynamicSharedMemory)
    function->dynamicLimit = value;
  if (attribute == cuda::NonPortableClusterSize)
    function->nonPortable = value;
  return Ok;
}

DRIVER int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks,
                                                       CUfunction function,
                                                       int threads,
                                                       size_t sharedMemory) {
  *blocks = driver().settings.blocksPerMultiprocessor;
  return enter("cuOccupancyMaxActiveBlocksPerMultiprocessor",
               print("kernel=%s threads=%d smem=%zu", function->name.c_str(),
                     threads, sharedMemory));
}

static std::string attributesOf(const CUlaunchConfig &config) {
  std::string text;
  for (uint32_t i = 0; i < config.numAttrs; ++i) {
    const CUlaunchAttribute &attribute = config.attrs[i];
    if (attribute.id == cuda::ClusterDimension)
      text += " cluster=" + list(attribute.value.dims, 3);
    else if (attribute.id == cuda::Cooperative)
      text += print(" cooperative=%d", attribute.value.flag);
    else if (attribute.id == cuda::ProgrammaticStreamSerialization)
      text += print(" early=%d", attribute.value.flag);
    else
      text += print(" unknown=%d", attribute.id);
  }
  return text;
}

DRIVER int cuOccupancyMaxActiveClusters(int *clusters, CUfunction function,
                                        const CUlaunchConfig *config) {
  *clusters = driver().settings.clusters;
  return enter("cuOccupancyMaxActiveClusters",
               "kernel=" + function->name + " block=" +
                   list(config->blockDim, 3) + attributesOf(*config));
}

//===----------------------------------------------------------------------===//
// Runs
//===----------------------------------------------------------------------===//

DRIVER int cuTensorMapEncodeTiled(CUtensorMap *map, int dtype, uint32_t rank,
                                  void *base, const uint64_t *dims,
                                  const uint64_t *strides, const uint32_t *box,
                                  const uint32_t *steps, int interleave,
                                  int swizzle, int l2, int fill) {
  int number = ++driver().maps;
  auto address = reinterpret_cast<uintptr_t>(base);
  std::string details;
  if (!quiet())
    details = print("#%d dtype=%d base=0x%llx", number, dtype, wide(address)) +
              " dims=" + list(dims, rank) +
              " strides=" + list(strides, rank - 1) +
              " box=" + list(box, rank) + " steps=" + list(steps, rank) +
              print(" interleave=%d swizzle=%d l2=%d fill=%d", interleave,
                    swizzle, l2, fill);
  if (int result = enter("cuTensorMapEncodeTiled", details))
    return result;
  uint64_t align = interleave == 2 ? 32 : 16;
  bool valid = rank >= 1 && rank <= 5 && address % align == 0 &&
               reinterpret_cast<uintptr_t>(map) % 64 == 0;
  for (uint32_t i = 0; i < rank; ++i)
    valid &= dims[i] >= 1 && dims[i] <= uint64_t(1) << 32 && box[i] >= 1 &&
             box[i] <= 256 && steps[i] >= 1 && steps[i] <= 8 &&
             (i == 0 || (strides[i - 1] % align == 0 &&
                         strides[i - 1] < uint64_t(1) << 40));
  if (!valid)
    return InvalidValue;
  map->opaque[0] = 0xfacade;
  map->opaque[1] = static_cast<uint64_t>(number);
  return Ok;
}

static bool reaches(uint64_t address) {
  return address >= fake::firstAddress && address < fake::lastAddress;
}

DRIVER int cuPointerGetAttribute(void *value, int attribute,
                                 CUdeviceptr address) {
  if (int result = enter("cuPointerGetAttribute",
                         quiet() ? "" : print("0x%llx", wide(address))))
    return result;
  if (attribute != cuda::MemoryType || !reaches(address))
    return InvalidValue;
  uint32_t device = 2;
  std::memcpy(value, &device, sizeof(device));
  return Ok;
}

DRIVER int cuMemsetD8Async(CUdeviceptr address, unsigned char value,
                           size_t bytes, CUstream stream) {
  if (int result = enter("cuMemsetD8Async",
                         quiet() ? ""
                                 : print("0x%llx value=%d bytes=%zu stream=%p",
                                         wide(address), value, bytes,
                                         static_cast<void *>(stream))))
    return result;
  if (contexts.empty())
    return InvalidContext;
  return reaches(address) && reaches(address + bytes - 1) ? Ok : InvalidValue;
}

/// "8:0x1000, 4:7, map#2": what the kernel would find in its parameters.
static std::string parametersOf(const CUfunc_st &function, void **values) {
  std::string text;
  for (size_t i = 0; i < function.parameters.size(); ++i) {
    text += i ? ", " : "";
    uint64_t words[16] = {};
    std::memcpy(words, values[i],
                std::min(function.parameters[i], sizeof(words)));
    if (function.parameters[i] != sizeof(CUtensorMap))
      text += print("%zu:0x%llx", function.parameters[i], wide(words[0]));
    else if (words[0] == 0xfacade)
      text += "map#" + std::to_string(words[1]);
    else
      text += std::all_of(words, words + 16, [](uint64_t w) { return w == 0; })
                  ? "map#zero"
                  : "map#garbage";
  }
  return text;
}

DRIVER int cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function,
                            void **parameters, void **extra) {
  std::string details;
  if (!quiet())
    details = "kernel=" + function->name + " grid=" + list(config->gridDim, 3) +
              " block=" + list(config->blockDim, 3) +
              print(" smem=%u stream=%p", config->sharedMemBytes,
                    static_cast<void *>(config->hStream)) +
              attributesOf(*config) + " params=(" +
              parametersOf(*function, parameters) + ")";
  if (int result = enter("cuLaunchKernelEx", details))
    return result;
  if (contexts.empty())
    return InvalidContext;
  uint32_t cluster[3] = {1, 1, 1};
  for (uint32_t i = 0; i < config->numAttrs; ++i)
    if (config->attrs[i].id == cuda::ClusterDimension)
      std::copy(config->attrs[i].value.dims, config->attrs[i].value.dims + 3,
                cluster);
  for (int i = 0; i < 3; ++i)
    if (!config->gridDim[i] || !config->blockDim[i] ||
        config->gridDim[i] % cluster[i])
      return InvalidValue;
  if (extra ||
      config->sharedMemBytes > static_cast<uint32_t>(function->dynamicLimit) ||
      (cluster[0] * cluster[1] * cluster[2] > 8 && !function->nonPortable))
    return InvalidValue;
  return Ok;
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

DRIVER int cuGetErrorName(int code, const char **name) {
  *name = code == NotInitialized ? "CUDA_ERROR_NOT_INITIALIZED"
          : code == 100          ? "CUDA_ERROR_NO_DEVICE"
          : code == InvalidImage ? "CUDA_ERROR_INVALID_IMAGE"
          : code == InvalidValue ? "CUDA_ERROR_INVALID_VALUE"
          : code == 719          ? "CUDA_ERROR_LAUNCH_FAILED"
          : code == 900          ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
                                 : nullptr;
  return *name ? Ok : InvalidValue;
}

DRIVER int cuGetErrorString(int code, const char **text) {
  *text = "as the test wants it";
  return code == 0 ? InvalidValue : Ok;
}
