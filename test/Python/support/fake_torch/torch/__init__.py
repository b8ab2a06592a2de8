"""As much of PyTorch as moec touches, on the addresses of the fake CUDA driver.

Tensors have an address and no elements. Memory is handed out in the order of requests and freed
never; `allocations` lists (bytes, device index, while capturing).
"""

import contextlib

FIRST = 1 << 36


class dtype:
    def __init__(self, name, itemsize):
        self.name, self.itemsize = name, itemsize

    def __repr__(self):
        return "torch." + self.name


for _name, _size in [("float64", 8), ("float32", 4), ("float16", 2), ("bfloat16", 2),
                     ("float8_e4m3fn", 1), ("float8_e5m2", 1), ("int8", 1), ("uint8", 1),
                     ("int16", 2), ("int32", 4), ("int64", 8), ("bool", 1)]:
    globals()[_name] = dtype(_name, _size)


class device:
    def __init__(self, type, index=None):
        self.type, self.index = type, index

    def __eq__(self, other):
        return (self.type, self.index) == (other.type, other.index)

    def __repr__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"


class Size(tuple):
    pass


class Tensor:
    def __init__(self, shape, dtype, device, address, stride=None):
        self.shape, self.dtype, self.device = Size(shape), dtype, device
        self.address, self.strides = address, stride or contiguous(shape)

    @property
    def ndim(self):
        return len(self.shape)

    def dim(self):
        return len(self.shape)

    def stride(self):
        return self.strides

    def is_contiguous(self):
        return self.strides == contiguous(self.shape)

    def numel(self):
        count = 1
        for size in self.shape:
            count *= size
        return count

    def data_ptr(self):
        return self.address if self.numel() else 0

    def to(self, kind):
        return empty(self.shape, dtype=kind, device=self.device)


def contiguous(shape):
    strides, step = [], 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= size
    return tuple(strides)


allocations = []
_next = FIRST


def empty(*shape, dtype, device):
    global _next
    if len(shape) == 1 and isinstance(shape[0], tuple):
        shape = shape[0]
    tensor = Tensor(shape, dtype, device, _next)
    size = tensor.numel() * dtype.itemsize
    allocations.append((size, device.index, cuda.capturing))
    _next += (size + 511) // 512 * 512
    return tensor


class _Stream:
    def __init__(self, number):
        self.cuda_stream = number


class cuda:
    capturing = False
    current = 0x100

    @staticmethod
    def current_stream(device):
        return _Stream(cuda.current + device.index)

    @staticmethod
    def is_current_stream_capturing():
        return cuda.capturing

    @staticmethod
    @contextlib.contextmanager
    def graph():
        cuda.capturing = True
        try:
            yield
        finally:
            cuda.capturing = False
