# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""NVIDIA's driver through ctypes: what timing kernels needs, without PyTorch."""

import ctypes
import os

# Numbers of cuDeviceGetAttribute, by the figure of a device file, with the factor to its unit.
ATTRIBUTES = {"compute_units": (16, 1), "clock_hz": (13, 1000), "shared_bytes": (97, 1),
              "shared_bytes_per_unit": (81, 1), "registers_per_unit": (82, 1), "l2_bytes": (38, 1)}
CAPABILITY = (75, 76)
MAX_DYNAMIC_SHARED = 8
PROGRAMMATIC_STREAM_SERIALIZATION = 6
CAPTURE_THREAD_LOCAL = 1
STREAM_NON_BLOCKING = 1


class Error(Exception):
    """What the driver refused."""


class _Attribute(ctypes.Structure):
    _fields_ = [("id", ctypes.c_int), ("pad", ctypes.c_int), ("value", ctypes.c_int * 16)]


class _Config(ctypes.Structure):
    _fields_ = [("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3),
                ("shared", ctypes.c_uint), ("stream", ctypes.c_void_p),
                ("attributes", ctypes.POINTER(_Attribute)), ("count", ctypes.c_uint)]


class Gpu:
    """The first GPU, a stream on it, and the module whose kernels are run."""

    def __init__(self, library=None):
        library = library or os.environ.get("MOEC_CUDA_DRIVER") or "libcuda.so.1"
        try:
            self.library = ctypes.CDLL(library)
        except OSError as error:
            raise Error(f"no NVIDIA driver: {error}") from None
        self.call("cuInit", 0)
        device = ctypes.c_int()
        self.call("cuDeviceGet", ctypes.byref(device), 0)
        self.device = device
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)
        self.stream = ctypes.c_void_p()
        self.call("cuStreamCreate", ctypes.byref(self.stream), STREAM_NON_BLOCKING)
        self.module = ctypes.c_void_p()
        self.functions = {}

    def call(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if status:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(status, ctypes.byref(text))
            raise Error(f"{name}: {(text.value or b'?').decode()} ({status})")

    # ---- The device

    def attribute(self, number):
        value = ctypes.c_int()
        self.call("cuDeviceGetAttribute", ctypes.byref(value), number, self.device)
        return value.value

    def name(self):
        text = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", text, len(text), self.device)
        return text.value.decode()

    def capability(self):
        """90 for compute capability 9.0."""
        major, minor = (self.attribute(number) for number in CAPABILITY)
        return 10 * major + minor

    def driver(self):
        """The newest CUDA that the driver knows, "13.0"."""
        version = ctypes.c_int()
        self.call("cuDriverGetVersion", ctypes.byref(version))
        return f"{version.value // 1000}.{version.value % 1000 // 10}"

    def attributes(self):
        """What the driver says of the figures of a device file."""
        found = {key: self.attribute(number) * factor
                 for key, (number, factor) in ATTRIBUTES.items()}
        total = ctypes.c_size_t()
        self.call("cuDeviceTotalMem_v2", ctypes.byref(total), self.device)
        found["memory_bytes"] = total.value
        return found

    # ---- Memory and kernels

    def allocate(self, count):
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(count))
        return address.value

    def load(self, image):
        """A cubin or PTX, as bytes."""
        self.image = ctypes.create_string_buffer(image, len(image) + 1)
        self.call("cuModuleLoadData", ctypes.byref(self.module), self.image)

    def kernel(self, name, shared):
        if name not in self.functions:
            function = ctypes.c_void_p()
            self.call("cuModuleGetFunction", ctypes.byref(function), self.module, name.encode())
            self.functions[name] = [function, 0]
        entry = self.functions[name]
        if shared > max(entry[1], 48 << 10):
            self.call("cuFuncSetAttribute", entry[0], MAX_DYNAMIC_SHARED, shared)
            entry[1] = shared
        return entry[0]

    def launch(self, name, blocks, threads, shared, arguments, dependent=False):
        """Enqueues a kernel; arguments are pairs of a number and its bits."""
        kinds = {32: ctypes.c_uint32, 64: ctypes.c_uint64}
        values = [kinds[bits](number & (1 << bits) - 1) for number, bits in arguments]
        pointers = (ctypes.c_void_p * max(len(values), 1))(
            *(ctypes.cast(ctypes.pointer(value), ctypes.c_void_p) for value in values))
        attribute = _Attribute(PROGRAMMATIC_STREAM_SERIALIZATION)
        attribute.value[0] = 1
        config = _Config((blocks, 1, 1), (threads, 1, 1), shared, self.stream,
                         ctypes.pointer(attribute), 1 if dependent else 0)
        self.call("cuLaunchKernelEx", ctypes.byref(config), self.kernel(name, shared), pointers,
                  None)

    # ---- Time

    def capture(self, work):
        """What `work` enqueues, as a graph."""
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuStreamBeginCapture_v2", self.stream, CAPTURE_THREAD_LOCAL)
        try:
            work()
        finally:
            self.call("cuStreamEndCapture", self.stream, ctypes.byref(graph))
        self.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph,
                  ctypes.c_uint64(0))
        self.call("cuGraphDestroy", graph)
        return executable

    def replay(self, executable):
        self.call("cuGraphLaunch", executable, self.stream)

    def release(self, executable):
        self.call("cuGraphExecDestroy", executable)

    def synchronize(self):
        self.call("cuStreamSynchronize", self.stream)

    def sample(self, before, work, count):
        """Seconds of `count` times `work`, each behind `before`, which hides that the host needs
        time to enqueue it."""
        pairs = []
        for _ in range(count):
            events = [ctypes.c_void_p(), ctypes.c_void_p()]
            for event in events:
                self.call("cuEventCreate", ctypes.byref(event), 0)
            before()
            self.call("cuEventRecord", events[0], self.stream)
            work()
            self.call("cuEventRecord", events[1], self.stream)
            pairs.append(events)
        self.synchronize()
        seconds = []
        for events in pairs:
            passed = ctypes.c_float()
            self.call("cuEventElapsedTime", ctypes.byref(passed), *events)
            seconds.append(passed.value * 1e-3)
            for event in events:
                self.call("cuEventDestroy_v2", event)
        return seconds
