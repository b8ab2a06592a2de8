//===- FakeHip.cpp - A HIP library that only keeps a diary ----------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// HIP's entry points over the fake CUDA driver's modules, settings and diary,
// which are this library's own. Code objects are described as there.
//
//===----------------------------------------------------------------------===//

#include "../FakeCuda/FakeCuda.cpp"

static thread_local int currentDevice = 0;

DRIVER int hipInit(unsigned) {
  if (int result = enter("hipInit"))
    return result;
  return driver().settings.init;
}

DRIVER int hipGetDeviceCount(int *count) {
  *count = driver().settings.devices;
  return enter("hipGetDeviceCount");
}

DRIVER int hipDeviceGet(int *device, int ordinal) {
  if (int result = enter("hipDeviceGet", std::to_string(ordinal)))
    return result;
  if (ordinal < 0 || ordinal >= driver().settings.devices)
    return InvalidDevice;
  *device = ordinal;
  return Ok;
}

DRIVER int hipDeviceGetName(char *name, int length, int device) {
  std::snprintf(name, static_cast<size_t>(length), "Fake AMD GPU %d", device);
  return enter("hipDeviceGetName");
}

DRIVER int hipDeviceGetAttribute(int *value, int attribute, int) {
  const fake::Settings &settings = driver().settings;
  if (int result = enter("hipDeviceGetAttribute", std::to_string(attribute)))
    return result;
  *value = attribute == 63   ? settings.multiprocessors
           : attribute == 65 ? settings.pageable
           : attribute == 74 ? 65536
                             : -1;
  return *value < 0 ? InvalidValue : Ok;
}

/// The real structure has 1472 bytes, with the name of the chip at 1160.
DRIVER int hipGetDevicePropertiesR0600(char *properties, int device) {
  if (int result = enter("hipGetDeviceProperties", std::to_string(device)))
    return result;
  std::memset(properties, 0xab, 1472);
  std::snprintf(properties + 1160, 256, "%s", driver().settings.arch.c_str());
  return Ok;
}

DRIVER int hipGetDevice(int *device) {
  if (int result = enter("hipGetDevice"))
    return result;
  *device = currentDevice;
  return Ok;
}

DRIVER int hipSetDevice(int device) {
  if (int result = enter("hipSetDevice", std::to_string(device)))
    return result;
  if (device < 0 || device >= driver().settings.devices)
    return InvalidDevice;
  currentDevice = device;
  return Ok;
}

DRIVER int hipModuleLoadData(CUmodule *module, const void *image) {
  if (int result = enterUncaptured("hipModuleLoadData",
                                   "device=" + std::to_string(currentDevice)))
    return result;
  const char *bytes = static_cast<const char *>(image);
  Elf64_Ehdr header;
  std::memcpy(&header, bytes, sizeof(header));
  std::string text;
  for (int i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    std::memcpy(&section, bytes + header.e_shoff + i * sizeof(section),
                sizeof(section));
    if (section.sh_type == SHT_PROGBITS)
      text.append(bytes + section.sh_offset, section.sh_size);
  }
  auto *made = new CUmod_st;
  describe(text, *made);
  *module = made;
  ++driver().modules;
  return Ok;
}

DRIVER int hipModuleUnload(CUmodule module) {
  delete module;
  --driver().modules;
  return enter("hipModuleUnload");
}

DRIVER int hipModuleGetFunction(CUfunction *function, CUmodule module,
                                const char *name) {
  if (int result = enter("hipModuleGetFunction", name))
    return result;
  for (const auto &candidate : module->functions)
    if (candidate->name == name) {
      *function = candidate.get();
      return Ok;
    }
  return NotFound;
}

DRIVER int hipFuncGetAttribute(int *value, int attribute, CUfunction function) {
  if (int result = enter("hipFuncGetAttribute", std::to_string(attribute)))
    return result;
  *value = attribute == 0   ? function->threads
           : attribute == 1 ? function->staticBytes
                            : -1;
  return *value < 0 ? InvalidValue : Ok;
}

DRIVER int hipModuleOccupancyMaxActiveBlocksPerMultiprocessor(
    int *blocks, CUfunction function, int threads, size_t bytes) {
  *blocks = driver().settings.blocksPerMultiprocessor;
  return enter("hipModuleOccupancyMaxActiveBlocksPerMultiprocessor",
               print("kernel=%s threads=%d smem=%zu", function->name.c_str(),
                     threads, bytes));
}

/// The real one knows all memory of the process, some as of no device.
DRIVER int hipPointerGetAttribute(void *value, int attribute, void *pointer) {
  auto address = reinterpret_cast<uint64_t>(pointer);
  if (int result = enter("hipPointerGetAttribute",
                         quiet() ? "" : print("0x%llx", wide(address))))
    return result;
  if (attribute != 2)
    return InvalidValue;
  uint32_t type = reaches(address) ? 2 : 0;
  std::memcpy(value, &type, sizeof(type));
  return Ok;
}

DRIVER int hipMemsetD8Async(void *pointer, unsigned char value, size_t bytes,
                            CUstream stream) {
  auto address = reinterpret_cast<uint64_t>(pointer);
  if (int result =
          enter("hipMemsetD8Async",
                print("0x%llx value=%d bytes=%zu stream=%p", wide(address),
                      value, bytes, static_cast<void *>(stream))))
    return result;
  return reaches(address) && reaches(address + bytes - 1) ? Ok : InvalidValue;
}

static int launch(const char *what, CUfunction function, const uint32_t *grid,
                  const uint32_t *block, unsigned bytes, CUstream stream,
                  void **parameters) {
  std::string details = "kernel=" + function->name + " grid=" + list(grid, 3) +
                        " block=" + list(block, 3) +
                        print(" smem=%u stream=%p device=%d", bytes,
                              static_cast<void *>(stream), currentDevice) +
                        " params=(" + parametersOf(*function, parameters) + ")";
  if (int result = enter(what, details))
    return result;
  for (int i = 0; i < 3; ++i)
    if (!grid[i] || !block[i] ||
        static_cast<uint64_t>(grid[i]) * block[i] > UINT32_MAX)
      return InvalidValue;
  return Ok;
}

DRIVER int hipModuleLaunchKernel(CUfunction function, unsigned gridX,
                                 unsigned gridY, unsigned gridZ,
                                 unsigned blockX, unsigned blockY,
                                 unsigned blockZ, unsigned bytes,
                                 CUstream stream, void **parameters,
                                 void **extra) {
  const uint32_t grid[] = {gridX, gridY, gridZ};
  const uint32_t block[] = {blockX, blockY, blockZ};
  if (extra)
    return InvalidValue;
  return launch("hipModuleLaunchKernel", function, grid, block, bytes, stream,
                parameters);
}

DRIVER int hipModuleLaunchCooperativeKernel(CUfunction function, unsigned gridX,
                                            unsigned gridY, unsigned gridZ,
                                            unsigned blockX, unsigned blockY,
                                            unsigned blockZ, unsigned bytes,
                                            CUstream stream,
                                            void **parameters) {
  const uint32_t grid[] = {gridX, gridY, gridZ};
  const uint32_t block[] = {blockX, blockY, blockZ};
  return launch("hipModuleLaunchCooperativeKernel", function, grid, block,
                bytes, stream, parameters);
}

DRIVER const char *hipGetErrorName(int code) {
  return code == 100            ? "hipErrorNoDevice"
         : code == InvalidValue ? "hipErrorInvalidValue"
         : code == 209          ? "hipErrorNoBinaryForGpu"
         : code == 719          ? "hipErrorLaunchFailure"
                                : "hipErrorUnknown";
}

DRIVER const char *hipGetErrorString(int) { return "as the test wants it"; }
