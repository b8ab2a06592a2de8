//===- GpuLayer.cpp - Open a layer on a GPU -------------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GpuLayer.h"
#include "File.h"
#include "Status.h"

#include <algorithm>
#include <cstring>
#include <elf.h>

using namespace moec;

bool moec::parseGpuTarget(const char *target, const char *kind,
                          int32_t &ordinal) {
  ordinal = -1;
  size_t length = std::strlen(kind);
  if (std::strcmp(target, kind) == 0)
    return true;
  if (std::strncmp(target, kind, length) != 0 || target[length] != ':')
    return false;
  const char *digits = target + length + 1;
  size_t count = std::strspn(digits, "0123456789");
  if (count < 1 || count > 4 || digits[count])
    return false;
  ordinal = std::atoi(digits);
  return true;
}

CudaFit moec::fitCuda(const std::string &target, int32_t capability) {
  size_t end = target.find_first_not_of("0123456789", 3);
  if (target.compare(0, 3, "sm_") != 0 || end == 3 || target.size() < 4 ||
      target.size() > 8)
    return CudaFit::Unknown;
  std::string suffix = end == std::string::npos ? "" : target.substr(end);
  int32_t wanted = std::atoi(target.c_str() + 3);
  bool sameMajor = wanted / 10 == capability / 10;
  if (suffix != "" && suffix != "a" && suffix != "f")
    return CudaFit::Unknown;
  if (capability < wanted)
    return CudaFit::DeviceTooOld;
  if (suffix == "a")
    return capability == wanted ? CudaFit::Binary : CudaFit::OtherDevice;
  if (sameMajor)
    return CudaFit::Binary;
  return suffix == "f" ? CudaFit::OtherDevice : CudaFit::PtxOnly;
}

/// Null if `image` is a whole ELF file for a machine.
static const char *checkElf(const std::string &image, int machine) {
  Elf64_Ehdr header;
  if (image.size() < sizeof(header))
    return "it is no ELF file";
  std::memcpy(&header, image.data(), sizeof(header));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64)
    return "it is no 64-bit ELF file";
  if (header.e_machine != machine)
    return "it is an ELF file for another machine";
  auto inside = [&](uint64_t offset, uint64_t bytes) {
    return offset <= image.size() && bytes <= image.size() - offset;
  };
  if (header.e_shnum == 0 || header.e_shentsize != sizeof(Elf64_Shdr) ||
      !inside(header.e_shoff, uint64_t(header.e_shnum) * sizeof(Elf64_Shdr)) ||
      !inside(header.e_phoff, uint64_t(header.e_phnum) * header.e_phentsize))
    return "it is truncated";
  for (uint32_t i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    std::memcpy(&section,
                image.data() + header.e_shoff + i * sizeof(Elf64_Shdr),
                sizeof(section));
    if (section.sh_type != SHT_NOBITS && section.sh_type != SHT_NULL &&
        !inside(section.sh_offset, section.sh_size))
      return "it is truncated";
  }
  return nullptr;
}

const char *moec::checkCubin(const std::string &image) {
  return checkElf(image, /*EM_CUDA=*/190);
}

const char *moec::checkHsaco(const std::string &image) {
  return checkElf(image, /*EM_AMDGPU=*/224);
}

GpuState::~GpuState() {
  if (!context)
    return;
  {
    // The driver may be shutting down; there is nobody to tell.
    ContextScope scope(*driver, context);
    for (const auto &[path, module] : modules)
      driver->moduleUnload(module);
  }
  if (retained)
    driver->primaryCtxRelease(device);
}

/// Finds the device and its context.
static moec_status openDevice(int32_t ordinal, GpuState &state) {
  const GpuDriver &driver = *state.driver;
  int count = 0;
  if (CUresult result = driver.deviceGetCount(&count))
    return driver.error(result, "no %s GPU: %s", driver.vendor,
                        driver.isHip() ? "hipGetDeviceCount"
                                       : "cuDeviceGetCount");
  if (count == 0)
    return fail(MOEC_ERR_DEVICE, "no %s GPU: the driver counts 0 devices",
                driver.vendor);
  if (ordinal >= count)
    return fail(MOEC_ERR_DEVICE,
                "there is no device %s:%d, the driver counts %d", driver.name,
                ordinal, count);
  CUcontext current = nullptr;
  CUdevice currentDevice = 0;
  if (driver.ctxGetCurrent(&current) != cuda::Success ||
      (current && driver.ctxGetDevice(&currentDevice) != cuda::Success))
    current = nullptr;
  if (ordinal < 0 && current) {
    state.device = currentDevice;
  } else if (CUresult result =
                 driver.deviceGet(&state.device, std::max(ordinal, 0))) {
    return driver.error(result, "%sDeviceGet of %s:%d", driver.prefix,
                        driver.name, std::max(ordinal, 0));
  }
  if (current && currentDevice == state.device) {
    state.context = current;
    return MOEC_OK;
  }
  if (CUresult result = driver.primaryCtxRetain(&state.context, state.device))
    return driver.error(result, "%sDevicePrimaryCtxRetain of %s:%d",
                        driver.prefix, driver.name, state.device);
  state.retained = true;
  return MOEC_OK;
}

static moec_status readDevice(GpuState &state) {
  const GpuDriver &driver = *state.driver;
  int major = 0, minor = 0, pageable = 0;
  char name[256] = "";
  const std::pair<cuda::DeviceAttribute, int *> attributes[] = {
      {cuda::ComputeCapabilityMajor, &major},
      {cuda::ComputeCapabilityMinor, &minor},
      {cuda::PageableMemoryAccess, &pageable},
      {cuda::MultiprocessorCount, &state.multiprocessors},
      {cuda::MaxSharedMemoryPerBlockOptin, &state.sharedMemoryLimit}};
  for (const auto &[attribute, value] : attributes)
    if (CUresult result =
            driver.deviceGetAttribute(value, attribute, state.device))
      return driver.error(result, "%sDeviceGetAttribute %d of %s:%d",
                          driver.prefix, attribute, driver.name, state.device);
  if (driver.deviceGetArch) {
    if (CUresult result =
            driver.deviceGetArch(name, sizeof(name) - 1, state.device))
      return driver.error(result, "hipGetDeviceProperties of %s:%d",
                          driver.name, state.device);
    // Behind the colon are modes that our code runs in either way.
    state.arch = name;
    state.arch = state.arch.substr(0, state.arch.find(':'));
  }
  driver.deviceGetName(name, sizeof(name) - 1, state.device);
  state.deviceName = name;
  state.capability = 10 * major + minor;
  state.reachesPageableMemory = pageable;
  return MOEC_OK;
}

static moec_status loadModule(GpuState &state, const std::string &path,
                              bool isPtx, CUmodule &module) {
  const GpuDriver &driver = *state.driver;
  for (const auto &[known, loaded] : state.modules)
    if (known == path) {
      module = loaded;
      return MOEC_OK;
    }
  std::string image;
  if (readFile(path, "code object", image))
    return MOEC_ERR_CODE;
  const char *reason = isPtx            ? nullptr
                       : driver.isHip() ? checkHsaco(image)
                                        : checkCubin(image);
  if (reason)
    return fail(MOEC_ERR_CODE, "cannot load code object '%s': %s", path.c_str(),
                reason);
  if (isPtx && image.find('\0') != std::string::npos)
    return fail(MOEC_ERR_CODE, "'%s' is no PTX: it has a NUL character",
                path.c_str());
  char log[600] = "";
  int options[] = {cuda::ErrorLogBuffer, cuda::ErrorLogBufferSize};
  void *values[] = {log, reinterpret_cast<void *>(sizeof(log) - 1)};
  CUresult result = driver.moduleLoadDataEx(&module, image.c_str(),
                                            isPtx ? 2 : 0, options, values);
  if (result != cuda::Success) {
    driver.error(result, "cannot load code object '%s'", path.c_str());
    std::string message = moec_last_error();
    return fail(MOEC_ERR_CODE, "%s%s%s", message.c_str(), *log ? ": " : "",
                log);
  }
  state.modules.emplace_back(path, module);
  return MOEC_OK;
}

/// Compares a kernel's parameters with the launch, where the driver can tell.
static moec_status checkParameters(const GpuDriver &driver,
                                   const std::string &path,
                                   const Launch &launch, CUfunction function) {
  if (!driver.funcGetParamInfo)
    return MOEC_OK;
  size_t count = launch.arguments.size();
  for (size_t i = 0; i <= count; ++i) {
    size_t offset, size = 0;
    CUresult result = driver.funcGetParamInfo(function, i, &offset, &size);
    if (result != cuda::Success && result != cuda::InvalidValue)
      return MOEC_OK;
    bool exists = result == cuda::Success;
    if (i == count && exists)
      return fail(MOEC_ERR_CODE,
                  "kernel '%s' of '%s' has more parameters than the manifest, "
                  "which has %zu",
                  launch.kernel.c_str(), path.c_str(), count);
    if (i == count)
      break;
    if (!exists)
      return fail(MOEC_ERR_CODE,
                  "kernel '%s' of '%s' has %zu parameters, the manifest has "
                  "%zu",
                  launch.kernel.c_str(), path.c_str(), i, count);
    const LaunchArgument &argument = launch.arguments[i];
    size_t expected = argument.kind == LaunchArgument::Map ? sizeof(CUtensorMap)
                      : argument.narrow                    ? 4
                                                           : 8;
    if (size != expected)
      return fail(MOEC_ERR_CODE,
                  "parameter %zu of kernel '%s' of '%s' has %zu bytes, in the "
                  "manifest %zu",
                  i, launch.kernel.c_str(), path.c_str(), size, expected);
  }
  return MOEC_OK;
}

/// Sets up the launch attributes and, from them, how many blocks fit.
static moec_status readOccupancy(const GpuState &state, const Launch &launch,
                                 GpuKernel &kernel) {
  const GpuDriver &driver = *state.driver;
  const char *name = launch.kernel.c_str();
  uint32_t threads = launch.block[0] * launch.block[1] * launch.block[2];
  uint32_t clusterSize =
      launch.cluster[0] * launch.cluster[1] * launch.cluster[2];
  auto add = [&](cuda::LaunchAttribute id) -> CUlaunchAttribute & {
    CUlaunchAttribute &attribute = kernel.attributes[kernel.attributeCount++];
    std::memset(&attribute, 0, sizeof(attribute));
    attribute.id = id;
    attribute.value.flag = 1;
    return attribute;
  };
  if (clusterSize > 1)
    std::copy(launch.cluster, launch.cluster + 3,
              add(cuda::ClusterDimension).value.dims);
  uint64_t blocks = uint64_t(launch.persistentBlocks) * state.multiprocessors;
  bool persistent = launch.persistent >= 0;
  if (persistent || launch.resident) {
    uint64_t fitting = 0;
    if (clusterSize > 1) {
      CUlaunchConfig config = {};
      std::copy(launch.cluster, launch.cluster + 3, config.gridDim);
      std::copy(launch.block, launch.block + 3, config.blockDim);
      config.sharedMemBytes = launch.sharedMemory;
      config.attrs = kernel.attributes;
      config.numAttrs = kernel.attributeCount;
      int clusters = 0;
      if (CUresult result =
              driver.maxActiveClusters(&clusters, kernel.function, &config))
        return driver.error(result, "%sOccupancyMaxActiveClusters of '%s'",
                            driver.prefix, name);
      fitting = uint64_t(clusters) * clusterSize;
    } else {
      int perMultiprocessor = 0;
      if (CUresult result = driver.maxActiveBlocks(
              &perMultiprocessor, kernel.function, static_cast<int>(threads),
              launch.sharedMemory))
        return driver.error(
            result, "%sOccupancyMaxActiveBlocksPerMultiprocessor of '%s'",
            driver.prefix, name);
      fitting = uint64_t(perMultiprocessor) * state.multiprocessors;
    }
    if (fitting == 0)
      return fail(MOEC_ERR_RESOURCES,
                  "kernel '%s' does not fit %s:%d '%s': no cluster of %u "
                  "blocks of %u threads and %u bytes of shared memory can run",
                  name, driver.name, state.device, state.deviceName.c_str(),
                  clusterSize, threads, launch.sharedMemory);
    if (launch.resident)
      kernel.residentBlocks = fitting;
    // Clusters that wait for others' places would only follow as a tail.
    if (launch.resident || clusterSize > 1)
      blocks = std::min(blocks, fitting);
  }
  if (persistent) {
    // Whole clusters along the persistent dimension.
    uint32_t step = launch.cluster[launch.persistent];
    kernel.persistentBlocks =
        static_cast<uint32_t>(std::max<uint64_t>(blocks / step * step, step));
  }
  if (launch.resident)
    add(cuda::Cooperative);
  if (launch.earlyStart)
    add(cuda::ProgrammaticStreamSerialization);
  return MOEC_OK;
}

static moec_status loadKernel(const GpuState &state, const std::string &path,
                              CUmodule module, const Launch &launch,
                              GpuKernel &kernel) {
  const GpuDriver &driver = *state.driver;
  const char *name = launch.kernel.c_str();
  if (driver.moduleGetFunction(&kernel.function, module, name) != cuda::Success)
    return fail(MOEC_ERR_CODE, "code object '%s' has no kernel '%s'",
                path.c_str(), name);
  // Loaded lazily, the first launch would allocate, even during a capture.
  if (driver.funcLoad)
    if (CUresult result = driver.funcLoad(kernel.function))
      return driver.error(result, "%sFuncLoad of '%s'", driver.prefix, name);
  if (moec_status status =
          checkParameters(driver, path, launch, kernel.function))
    return status;

  int threadLimit = 0, staticBytes = 0;
  CUresult result = driver.funcGetAttribute(
      &threadLimit, cuda::MaxThreadsPerBlock, kernel.function);
  if (result == cuda::Success)
    result = driver.funcGetAttribute(&staticBytes, cuda::StaticSharedMemory,
                                     kernel.function);
  if (result != cuda::Success)
    return driver.error(result, "%sFuncGetAttribute of '%s'", driver.prefix,
                        name);
  int64_t threads =
      int64_t(1) * launch.block[0] * launch.block[1] * launch.block[2];
  if (threads > threadLimit)
    return fail(MOEC_ERR_RESOURCES,
                "kernel '%s' of '%s' takes blocks of %d threads, the manifest "
                "has %lld",
                name, path.c_str(), threadLimit,
                static_cast<long long>(threads));
  int64_t bytes = int64_t(launch.sharedMemory) + staticBytes;
  if (bytes > state.sharedMemoryLimit)
    return fail(MOEC_ERR_RESOURCES,
                "kernel '%s' needs %lld bytes of shared memory, %s:%d '%s' "
                "has %d per block",
                name, static_cast<long long>(bytes), driver.name, state.device,
                state.deviceName.c_str(), state.sharedMemoryLimit);
  if (launch.sharedMemory) {
    result =
        driver.funcSetAttribute(kernel.function, cuda::MaxDynamicSharedMemory,
                                static_cast<int>(launch.sharedMemory));
    if (result != cuda::Success)
      return driver.error(result, "%u bytes of shared memory for '%s'",
                          launch.sharedMemory, name);
  }
  // Eight blocks are what every device takes.
  if (launch.cluster[0] * launch.cluster[1] * launch.cluster[2] > 8) {
    result = driver.funcSetAttribute(kernel.function,
                                     cuda::NonPortableClusterSize, 1);
    if (result != cuda::Success)
      return driver.error(result, "a cluster of more than 8 blocks for '%s'",
                          name);
  }
  return readOccupancy(state, launch, kernel);
}

/// "cuda:0 'H100' of compute capability 9.0", "hip:0 'MI300X', a gfx942".
static std::string describe(const GpuState &state) {
  std::string text = std::string(state.driver->name) + ":" +
                     std::to_string(state.device) + " '" + state.deviceName +
                     "'";
  if (state.driver->isHip())
    return text + ", a " + state.arch;
  return text + " of compute capability " +
         std::to_string(state.capability / 10) + "." +
         std::to_string(state.capability % 10);
}

/// No variant fits: says what there is and what would be needed.
static moec_status nothingFits(const moec_layer &layer, const GpuState &state) {
  std::string seen;
  bool older = true, any = false;
  for (const Variant &variant : layer.manifest.variants) {
    if (variant.isNvidia() && !state.driver->isHip()) {
      any = true;
      older &=
          fitCuda(variant.target, state.capability) == CudaFit::DeviceTooOld;
    }
    if (seen.find(variant.target) == std::string::npos)
      seen += (seen.empty() ? "" : ", ") + variant.target +
              (variant.isNvidia() && variant.target.back() == 'a'
                   ? " (that device alone)"
                   : "");
  }
  return fail(MOEC_ERR_UNSUPPORTED,
              "%s: no variant runs on %s%s: the artifact has %s",
              layer.manifest.name.c_str(), describe(state).c_str(),
              any && older ? ", an older GPU than it was compiled for" : "",
              seen.empty() ? "none" : seen.c_str());
}

/// The file to load for a variant, "" if it does not run on the device.
static std::string findCode(const Variant &variant, const GpuState &state,
                            bool &isPtx) {
  isPtx = false;
  // Code for AMD's chips runs on the chip it is named after alone.
  if (state.driver->isHip())
    return variant.target == state.arch ? variant.code : "";
  CudaFit fit = fitCuda(variant.target, state.capability);
  if (fit != CudaFit::Binary && fit != CudaFit::PtxOnly)
    return "";
  isPtx = fit == CudaFit::PtxOnly || variant.code.empty();
  return isPtx ? variant.ptx : variant.code;
}

moec_status moec::openGpu(const std::string &directory, const char *target,
                          const char *driverName, moec_layer &layer) {
  int32_t ordinal;
  const GpuDriver *driver;
  moec_status opened;
  if (parseGpuTarget(target, "cuda", ordinal))
    opened = openCudaDriver(driverName, driver);
  else if (parseGpuTarget(target, "hip", ordinal))
    opened = openHipDriver(driverName, driver);
  else
    return fail(MOEC_ERR_INVALID_ARGUMENT,
                "moec_open: unknown target '%s'; known are cpu, cuda, cuda:N, "
                "hip and hip:N",
                target);
  if (opened)
    return opened;
  layer.gpu = std::make_unique<GpuState>();
  GpuState &state = *layer.gpu;
  state.driver = driver;
  if (moec_status status = openDevice(ordinal, state))
    return status;
  if (moec_status status = readDevice(state))
    return status;
  ContextScope scope(*driver, state.context);
  if (scope.result != cuda::Success)
    return driver->error(scope.result, "%sCtxPushCurrent of %s:%d",
                         driver->prefix, driver->name, state.device);
  layer.target = std::string(driver->name) + ":" + std::to_string(state.device);
  layer.loaded.resize(layer.manifest.variants.size());
  state.kernels.resize(layer.manifest.variants.size());
  bool any = false;
  for (size_t i = 0; i < layer.manifest.variants.size(); ++i) {
    const Variant &variant = layer.manifest.variants[i];
    bool isPtx;
    std::string file = findCode(variant, state, isPtx);
    if (file.empty())
      continue;
    std::string path = directory + "/" + file;
    CUmodule module;
    if (moec_status status = loadModule(state, path, isPtx, module))
      return status;
    for (const Launch &launch : variant.launches)
      if (moec_status status = loadKernel(state, path, module, launch,
                                          state.kernels[i].emplace_back()))
        return status;
    layer.loaded[i].runnable = any = true;
  }
  return any ? MOEC_OK : nothingFits(layer, state);
}
