# RUN: env PYTHONPATH=%moec_src/python:%S/support:%S/support/fake_torch MOEC_CUDA_DRIVER=%moec_bin/test/Runtime/Kernels/libmoec_fake_cuda.so MOEC_FAKE_CUDA=devices=2 MOEC_FAKE_CUDA_LOG=%t.log %python %s %t.log -v
"""Layers on PyTorch tensors, against a driver and a torch that compute nothing."""

import json
import os
import sys
import threading
import unittest

import numpy as np
import torch

import moec
from artifacts import SOURCE, artifact, cubin, moe

LOG = sys.argv.pop(1)
KERNELS = """kernel align params 8,8,4,8 threads 256 static 128
kernel up params 128,128,8,8,8,8 threads 384 static 0
kernel down params 128,8,8 threads 1024 static 0
kernel whole params 8,8,8,4 threads 256 static 0
kernel plain params 8,8,8,8,8 threads 64 static 0
"""


def gpu():
    with open(os.path.join(SOURCE, "test/Runtime/Inputs/gpu.json"), encoding="utf-8") as file:
        return json.load(file)


def tensors(tokens, index=0, hidden=64):
    """x, ids, w and bias of gpu.json."""
    place = torch.device("cuda", index)
    return (torch.empty(tokens, hidden, dtype=torch.bfloat16, device=place),
            torch.empty(tokens, 2, dtype=torch.int32, device=place),
            torch.empty(4, 128, 64, dtype=torch.bfloat16, device=place),
            torch.empty(128, dtype=torch.bfloat16, device=place))


class GpuLayer(unittest.TestCase):
    def setUp(self):
        self.load(gpu())
        torch.cuda.capturing = False
        torch.cuda.current = 0x100
        self.calls()

    def load(self, description, **options):
        context = artifact(description, {"gpu.cubin": cubin(KERNELS)})
        self.folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.layer = moec.load(self.folder, **options)
        self.addCleanup(self.layer.close)
        return self.layer

    def calls(self, prefix="cuLaunchKernelEx"):
        """What the driver was asked since the last time."""
        try:
            with open(LOG, encoding="utf-8") as file:
                lines = file.read().splitlines()
            os.remove(LOG)
        except FileNotFoundError:
            lines = []
        return [line for line in lines if line.startswith(prefix)]

    def test_runs(self):
        # Nothing was opened for a GPU yet, and the artifact has nothing for a CPU.
        self.assertEqual(self.layer.target, "")
        self.assertEqual(self.calls(""), [])
        x, ids, w, bias = tensors(5)
        y = self.layer(x, ids, w, bias)
        self.assertEqual((y.shape, y.dtype, y.device), ((5, 64), torch.bfloat16, x.device))
        launches = self.calls()
        self.assertEqual(len(launches), 3)
        self.assertIn(f"stream=0x100 params=(8:{ids.data_ptr():#x}", launches[0])
        self.assertRegex(launches[2], rf"params=\(map#\d+, 8:{y.data_ptr():#x}, 8:0x5\)")
        stats = self.layer.stats
        self.assertEqual((stats.variant, stats.launches, stats.workers), (0, 3, 0))
        self.assertEqual(stats.workspace_bytes, 128 + 5 * 512 + 64)

    def test_names_out_optional(self):
        x, ids, w, _ = tensors(5)
        out = torch.empty(5, 64, dtype=torch.bfloat16, device=x.device)
        self.assertIs(self.layer(w=w, ids=ids, x=x, out=out), out)
        self.assertRegex(self.calls()[1], r"params=\(map#\d+, map#\d+, 8:0x0, ")

    def test_workspaces(self):
        arguments = tensors(5)
        for tokens, size in ((5, 128 + 5 * 512 + 64), (20, 20 * 512 + 1024 - 64)):
            arguments = tensors(tokens)
            del torch.allocations[:]
            with torch.cuda.graph():
                self.layer(*arguments)
            # From PyTorch while it captures, that is from the graph's memory: result and scratch.
            # The plain variant, which could be taken for other addresses, may need more.
            self.assertEqual(torch.allocations[0], (tokens * 128, 0, True))
            self.assertEqual(torch.allocations[1], (max(size, self.layer.workspace_size(tokens)),
                                                    0, True))
            self.assertEqual(len(torch.allocations), 2)

    def test_two_devices(self):
        self.layer(*tensors(5, 1))
        self.assertIn("stream=0x101", self.calls()[0])
        self.layer(*tensors(5, 0))
        self.assertIn("stream=0x100", self.calls()[0])
        x, ids, w, bias = tensors(5, 0)
        with self.assertRaisesRegex(ValueError, "'ids' is on cuda:1, others are on cuda:0"):
            self.layer(x, tensors(5, 1)[1], w, bias)

    def test_target(self):
        with moec.load(self.folder, target="cuda:1") as layer:
            self.assertEqual(layer.target, "cuda:1")
            self.assertTrue(all(variant.runnable for variant in layer.variants))
            self.calls()
            layer(*tensors(5, 1))
            # Not opened twice.
            self.assertEqual(self.calls("cuModuleLoad"), [])
        with self.assertRaisesRegex(moec.Error, "there is no device cuda:7") as caught:
            moec.load(self.folder, target="cuda:7")
        self.assertEqual(caught.exception.status, "MOEC_ERR_DEVICE")
        with self.assertRaisesRegex(moec.Error, "unknown target 'tpu'"):
            moec.load(self.folder, target="tpu")

    def test_queries(self):
        self.assertEqual(self.layer.select(5), 0)
        self.assertEqual(self.layer.select(20), 1)
        self.assertEqual(self.layer.workspace_size(20), 20 * 512 + 1024 - 64)
        self.assertEqual(self.layer.device_tokens(5), "i32")
        self.assertIsNone(self.layer.device_tokens(20))

    def test_device_tokens(self):
        count = torch.empty(1, dtype=torch.int32, device=torch.device("cuda", 0))
        self.layer(*tensors(5), device_tokens=count)
        self.assertIn(f"8:{count.data_ptr():#x})", self.calls()[0])
        wide = torch.empty(1, dtype=torch.int64, device=torch.device("cuda", 0))
        with self.assertRaisesRegex(TypeError, r"device_tokens must be one i32 \(torch.int32\), is "
                                               r"torch.int64\[1\]"):
            self.layer(*tensors(5), device_tokens=wide)
        other = torch.empty(1, dtype=torch.int32, device=torch.device("cuda", 1))
        for wrong in (other, 5):
            with self.assertRaisesRegex(TypeError, "must be a tensor on cuda:0"):
                self.layer(*tensors(5), device_tokens=wrong)
        with self.assertRaisesRegex(moec.Error, "device_tokens must be null"):
            self.layer(*tensors(20), device_tokens=count)

    def test_some_launches(self):
        workspace = torch.empty(self.layer.workspace_size(5), dtype=torch.uint8,
                                device=torch.device("cuda", 0))
        inputs = tensors(5)
        out = self.layer(*inputs, workspace=workspace)
        whole = self.calls()
        self.assertEqual(len(whole), 3)
        self.layer(*inputs, out=out, workspace=workspace, launches=range(1, 2))
        self.assertEqual(self.calls(), whole[1:2])
        self.assertEqual(self.layer.stats.launches, 1)
        with self.assertRaisesRegex(moec.Error, r"launches \[1, 4\) are wanted, variant 0 has 3"):
            self.layer(*inputs, workspace=workspace, launches=range(1, 4))
        with self.assertRaisesRegex(TypeError, "workspace is torch.int32, must be torch.uint8"):
            self.layer(*inputs, workspace=torch.empty(8, dtype=torch.int32,
                                                      device=torch.device("cuda", 0)))
        with self.assertRaisesRegex(moec.Error, "the workspace has 8 bytes"):
            self.layer(*inputs, workspace=torch.empty(8, dtype=torch.uint8,
                                                      device=torch.device("cuda", 0)))

    def test_refuses(self):
        x, ids, w, bias = tensors(5)
        layer = self.layer
        on_cpu = torch.empty(5, 64, dtype=torch.bfloat16, device=torch.device("cpu"))
        sliced = torch.Tensor((5, 64), torch.bfloat16, x.device, x.data_ptr(), (128, 1))
        cases = [
            (TypeError, "input 'w' is missing", lambda: layer(x, ids)),
            (TypeError, "'w' must be a torch.Tensor like the others, is ndarray",
             lambda: layer(x, ids, np.zeros(3))),
            (TypeError, "'x' is on cpu; pass tensors of a GPU", lambda: layer(on_cpu, ids, w)),
            (TypeError, r"'ids' is torch.bfloat16, must be i32 \(torch.int32\)",
             lambda: layer(x, x, w)),
            (TypeError, "this layer runs on GPUs; pass PyTorch tensors",
             lambda: layer(np.zeros((5, 64), np.uint16), np.zeros((5, 2), np.int32),
                           np.zeros((4, 128, 64), np.uint16))),
            (moec.Error, "dimension 1 of argument 0 'x' is 32, expected 64",
             lambda: layer(tensors(5, hidden=32)[0], ids, w)),
            (moec.Error, "argument 0 'x' is not contiguous: stride 0 is 128 elements, expected 64",
             lambda: layer(sliced, ids, w)),
            (moec.Error, "dimension 0 of argument 1 'ids' is 5, expected 6",
             lambda: layer(tensors(6)[0], ids, w)),
            (moec.Error, "output 4 'out' overlaps argument 0 'x'", lambda: layer(x, ids, w, out=x)),
            (moec.Error, "no variant covers 5000 tokens", lambda: layer(*tensors(5000))),
        ]
        layer(x, ids, w, bias)
        self.calls()
        for kind, pattern, function in cases:
            with self.subTest(pattern), self.assertRaisesRegex(kind, pattern):
                function()
            self.assertEqual(self.calls(), [])
        # And the next call is as good as any.
        layer(x, ids, w, bias)
        self.assertEqual(len(self.calls()), 3)

    def test_manifest_only(self):
        with moec.load(self.folder, manifest_only=True) as layer:
            with self.assertRaisesRegex(moec.Error, "only the manifest was opened"):
                layer(*tensors(5))

    def test_threads(self):
        failures = []

        def work(seed):
            try:
                for repeat in range(20):
                    tokens = 1 + (seed + repeat) % 16
                    if self.layer(*tensors(tokens)).shape != (tokens, 64):
                        failures.append(seed)
            except Exception as error:  # noqa: any failure counts
                failures.append(error)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_closed(self):
        self.layer(*tensors(5))
        self.layer.close()
        with self.assertRaisesRegex(ValueError, "the layer is closed"):
            self.layer(*tensors(5))

    def test_fused_experts(self):
        description = moe()
        description["variants"] = [{
            "target": "sm_90a", "tokens": [1, None], "code": "gpu.cubin",
            "launches": [{"kernel": "plain", "grid": ["T", 1, 1], "block": [64, 1, 1],
                          "args": [{"arg": i} for i in (0, 1, 2, 3, 5)]}]}]
        layer = self.load(description)
        moec.register(layer)
        self.addCleanup(moec.unregister, layer)
        place = torch.device("cuda", 0)

        def f32(*shape):
            return torch.empty(*shape, dtype=torch.float32, device=place)

        ids = torch.empty(5, 2, dtype=torch.int64, device=place)
        y = moec.fused_experts(f32(5, 8), f32(4, 12, 8), f32(4, 8, 6), f32(5, 2), ids)
        self.assertEqual((y.shape, y.dtype), ((5, 8), torch.float32))
        self.assertEqual(len(self.calls()), 1)
        with self.assertRaisesRegex(LookupError, r"'x' has shape \(5, 9\), must be \(5, 8\)"):
            moec.fused_experts(f32(5, 9), f32(4, 12, 8), f32(4, 8, 6), f32(5, 2), ids)
        with self.assertRaisesRegex(LookupError, "'x' is torch.int64, must be f32"):
            moec.fused_experts(torch.empty(5, 8, dtype=torch.int64, device=place), f32(4, 12, 8),
                               f32(4, 8, 6), f32(5, 2), ids)


if __name__ == "__main__":
    unittest.main()
