# RUN: env PYTHONPATH=%moec_src/python:%S/support:%S/support/fake_torch MOEC_HIP_DRIVER=%moec_bin/test/Runtime/Kernels/libmoec_fake_hip.so MOEC_FAKE_CUDA=devices=2 MOEC_FAKE_CUDA_LOG=%t.log %python %s %t.log -v
"""Layers on tensors of a PyTorch for AMD GPUs, which calls them "cuda", against a HIP that computes nothing."""

import json
import os
import sys
import types
import unittest

import torch

import moec
from artifacts import SOURCE, artifact, code_object

LOG = sys.argv.pop(1)
KERNELS = """kernel align params 8,8,4,8 threads 256 static 128
kernel up params 8,8,8,8 threads 256 static 0
kernel down params 8,8,8 threads 64 static 0
kernel whole params 8,8,4 threads 256 static 0
"""
AMD = 224


class HipLayer(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(SOURCE, "test/Runtime/Inputs/hip.json"), encoding="utf-8") as file:
            description = json.load(file)
        context = artifact(description, {"amd.hsaco": code_object(KERNELS, AMD)})
        self.folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        torch.version = types.SimpleNamespace(hip="7.0.1")
        self.addCleanup(delattr, torch, "version")
        torch.cuda.current = 0x100

    def tensors(self, tokens, index=0):
        place = torch.device("cuda", index)
        return (torch.empty(tokens, 64, dtype=torch.bfloat16, device=place),
                torch.empty(tokens, 2, dtype=torch.int32, device=place),
                torch.empty(4, 128, 64, dtype=torch.bfloat16, device=place),
                torch.empty(128, dtype=torch.bfloat16, device=place))

    def launches(self):
        with open(LOG, encoding="utf-8") as file:
            lines = file.read().splitlines()
        os.remove(LOG)
        return [line for line in lines if line.startswith("hipModuleLaunch")]

    def test_tensors_run_where_they_are(self):
        with moec.load(self.folder) as layer:
            for index in (0, 1):
                out = layer(*self.tensors(5, index))
                self.assertEqual(out.device, torch.device("cuda", index))
                launches = self.launches()
                self.assertEqual(len(launches), 3)
                for line in launches:
                    self.assertIn(f"stream={0x100 + index:#x} device={index} ", line)

    def test_a_target_may_be_named(self):
        with moec.load(self.folder, target="hip:1") as layer:
            self.assertEqual(layer.target, "hip:1")
            layer(*self.tensors(5, 1))
            self.assertEqual(len(self.launches()), 3)

    def test_errors_are_those_of_the_run_time(self):
        with self.assertRaisesRegex(moec.Error, "there is no device hip:7, the driver counts 2"):
            moec.load(self.folder, target="hip:7")


if __name__ == "__main__":
    unittest.main()
