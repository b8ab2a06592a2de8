# Part of moec, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for licence information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Worker threads."""

import ctypes
import os
import threading
import weakref

from . import _library


class Pool:
    """Persistent worker threads that layers run on.

    workers: how many, the calling thread included; 0 = one per CPU this process may use.
    pin: pin each thread to a CPU. Runs on one pool queue up; pools are independent.
    """

    def __init__(self, workers=0, pin=False):
        handle = ctypes.c_void_p()
        _library.call("moec_pool_create", workers, _library.POOL_PIN if pin else 0,
                      ctypes.byref(handle))
        self.handle = handle
        self.workers = _library.library().moec_pool_workers(handle)
        self._finalizer = weakref.finalize(self, _library.library().moec_pool_destroy, handle)

    def close(self):
        """Ends the threads. No run may be under way."""
        self._finalizer()
        self.handle = None

    def __repr__(self):
        return f"moec.Pool(workers={self.workers})"


_lock = threading.Lock()
_default = None


def default():
    """The pool of layers that were loaded without one; made when first needed."""
    global _default
    with _lock:
        if _default is None:
            _default = Pool()
        return _default


def _after_fork():
    # The threads stayed with the parent.
    global _default, _lock
    _default = None
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
