# RUN: %python %s -v
"""Layers as callables."""

import os
import pickle
import threading
import unittest

import numpy as np

import moec
from artifacts import artifact, cpu, manifest, moe, moe_inputs, moe_reference, tensor, toy, toy_result


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


class ToyLayer(unittest.TestCase):
    def setUp(self):
        context = artifact(toy())
        self.folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.layer = moec.load(self.folder)
        self.addCleanup(self.layer.close)

    def test_runs(self):
        for tokens in (1, 2, 7, 33, 257):
            x, bias = random(tokens, 4, seed=tokens), random(4)
            y = self.layer(x, bias)
            np.testing.assert_allclose(y, toy_result(x, bias), rtol=1e-6)
            self.assertEqual(y.dtype, np.float32)
            stats = self.layer.stats
            self.assertEqual((stats.variant, stats.launches), (0, 2))
            self.assertEqual(stats.workers, self.layer.pool.workers)
            self.assertEqual(stats.workspace_bytes, 16 * tokens)
            self.assertGreaterEqual(stats.seconds, stats.kernel_seconds)

    def test_names_optional_and_out(self):
        x, bias = random(5, 4), random(4)
        np.testing.assert_allclose(self.layer(bias=bias, x=x), toy_result(x, bias), rtol=1e-6)
        np.testing.assert_allclose(self.layer(x), toy_result(x), rtol=1e-6)
        np.testing.assert_allclose(self.layer(x, None), toy_result(x), rtol=1e-6)
        for out in (np.full((5, 4), np.nan, np.float32),
                    {"y": np.full((5, 4), np.nan, np.float32)}):
            y = self.layer(x, out=out)
            self.assertIs(y, out["y"] if isinstance(out, dict) else out)
            np.testing.assert_allclose(y, toy_result(x), rtol=1e-6)

    def test_no_tokens(self):
        y = self.layer(random(0, 4))
        self.assertEqual(y.shape, (0, 4))
        self.assertIsNone(self.layer.stats.variant)
        self.assertIsNone(self.layer.select(0))

    def test_describes_itself(self):
        layer = self.layer
        self.assertEqual(layer.name, "toy")
        self.assertEqual(layer.dims, {"E": 2, "k": 1, "H": 4, "dtype": "f32"})
        self.assertEqual(layer.arguments[1],
                         moec.Argument("bias", "f32", "input", True, 4, ("4",)))
        self.assertEqual((layer.inputs, layer.outputs), (("x", "bias"), ("y",)))
        self.assertEqual(layer.shape("x", 9), (9, 4))
        self.assertEqual(layer.select(3), 0)
        self.assertEqual(layer.workspace_size(10), 160)
        cpu_variant, gpu_variant = layer.variants
        self.assertEqual(cpu_variant, moec.Variant(
            "cpu", "x86-64", "toy.so", (1, None), True, 2,
            ("#moe.config<first>", "#moe.config<second>"), None, 0, 3))
        self.assertEqual(gpu_variant, moec.Variant(
            "sm_90a", "", "toy.cubin", (1, 4096), False, 1, (), 168, 200704, None))
        self.assertEqual(layer.manifest["layer"]["note"], "free-form")
        self.assertIn("x: f32[T, 4]", repr(layer))

    def test_functions(self):
        with self.layer.function("tag") as tag:
            self.assertEqual(tag.name, "tag")
            np.testing.assert_array_equal(tag(tokens=3), np.full((3, 3), 2, np.float32))
            with self.assertRaisesRegex(TypeError, "no shape tells the token count"):
                tag()
        with self.assertRaisesRegex(moec.Error, "has no function 'pack'"):
            self.layer.function("pack")

    def test_refuses(self):
        x = random(5, 4)
        layer = self.layer
        cases = [
            (TypeError, "input 'x' is missing", lambda: layer()),
            (TypeError, "takes 2 inputs, 3 were given", lambda: layer(x, None, x)),
            (TypeError, "input 'x' was given twice", lambda: layer(x, x=x)),
            (TypeError, "no argument 'z', only x, bias, y", lambda: layer(x, z=x)),
            (TypeError, "'y' is an output; pass it as out=", lambda: layer(x, y=x)),
            (TypeError, "'x' is not an output", lambda: layer(x, out={"x": x})),
            (TypeError, "'x' must be a NumPy array, is list", lambda: layer([[1, 2, 3, 4]])),
            (TypeError, r"'x' is float64, must be f32 \(float32\)",
             lambda: layer(x.astype(np.float64))),
            (TypeError, "'x' is >f4, must be f32", lambda: layer(x.astype(">f4"))),
        ]
        for kind, pattern, function in cases:
            with self.subTest(pattern), self.assertRaisesRegex(kind, pattern):
                function()
        frozen = np.empty((5, 4), np.float32)
        frozen.flags.writeable = False
        with self.assertRaisesRegex(ValueError, "output 'y' is read-only"):
            layer(x, out=frozen)

    def test_passes_on_what_the_run_time_says(self):
        x = random(5, 4)
        cases = [
            ("MOEC_ERR_SHAPE", "dimension 1 of argument 0 'x' is 3, expected 4",
             lambda: self.layer(random(5, 3))),
            ("MOEC_ERR_SHAPE", "'x' has rank 1, expected 2",
             lambda: self.layer(random(4), tokens=1)),
            ("MOEC_ERR_SHAPE", "is not contiguous: stride 0 is 8 elements, expected 4",
             lambda: self.layer(random(5, 8)[:, :4])),
            ("MOEC_ERR_SHAPE", "is not contiguous", lambda: self.layer(random(4, 5).T)),
            ("MOEC_ERR_SHAPE", "dimension 0 of argument 2 'y' is 4, expected 5",
             lambda: self.layer(x, out=np.empty((4, 4), np.float32))),
            ("MOEC_ERR_SHAPE", "dimension 0 of argument 0 'x' is 5, expected 6",
             lambda: self.layer(x, tokens=6)),
            ("MOEC_ERR_INVALID_ARGUMENT", "overlaps argument 0 'x'",
             lambda: self.layer(x, out=x)),
            ("MOEC_ERR_INVALID_ARGUMENT", "the token count is -1",
             lambda: self.layer.workspace_size(-1)),
        ]
        for status, message, function in cases:
            with self.subTest(message), self.assertRaises(moec.Error) as caught:
                function()
            self.assertEqual(caught.exception.status, status)
            self.assertIn(message, str(caught.exception))
        unaligned = np.empty(81, np.uint8)[1:].view(np.uint8)
        unaligned = np.frombuffer(unaligned, np.float32, 20).reshape(5, 4)
        with self.assertRaisesRegex(moec.Error, "must be a multiple of 4"):
            self.layer(unaligned)
        structured = np.zeros((5, 4), np.dtype({"names": ["a"], "formats": ["f4"],
                                                "offsets": [0], "itemsize": 6}))["a"]
        with self.assertRaisesRegex(ValueError, "are no multiples of its 4-byte elements"):
            self.layer(structured)

    def test_errors_survive_pickling(self):
        with self.assertRaises(moec.Error) as caught:
            self.layer(random(5, 3))
        copy = pickle.loads(pickle.dumps(caught.exception))
        self.assertEqual((copy.status, str(copy)),
                         (caught.exception.status, str(caught.exception)))

    def test_threads(self):
        failures = []

        def work(seed):
            for repeat in range(30):
                x = random(1 + (seed * 13 + repeat * 5) % 50, 4, seed=seed * 100 + repeat)
                if not np.allclose(self.layer(x), toy_result(x), rtol=1e-5):
                    failures.append((seed, repeat))

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_pools(self):
        x = random(40, 4)
        pool = moec.Pool(3)
        self.assertEqual(pool.workers, 3)
        with moec.load(self.folder, pool=pool) as layer:
            np.testing.assert_allclose(layer(x), toy_result(x), rtol=1e-6)
            self.assertEqual(layer.stats.workers, 3)
        pool.close()
        with self.assertRaisesRegex(moec.Error, "-1 workers are not in"):
            moec.Pool(-1)

    def test_fork(self):
        x = random(6, 4)
        self.layer(x)
        child = os.fork()
        if child == 0:
            # The default pool is made anew; the parent's threads are not there.
            os._exit(0 if np.allclose(self.layer(x), toy_result(x)) else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_closed(self):
        layer = moec.load(self.folder)
        layer.close()
        layer.close()
        with self.assertRaisesRegex(ValueError, "toy: the layer is closed"):
            layer(random(1, 4))


class OtherLayers(unittest.TestCase):
    def load(self, description, **options):
        context = artifact(description)
        folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        layer = moec.load(folder, **options)
        self.addCleanup(layer.close)
        return layer

    def test_open_errors(self):
        with self.assertRaises(moec.Error) as caught:
            moec.load("/does/not/exist")
        self.assertEqual(caught.exception.status, "MOEC_ERR_FILE")
        broken = toy()
        broken["format"] = 9
        with self.assertRaisesRegex(moec.Error, "format 9, this runtime reads format 1"):
            self.load(broken)
        foreign = toy()
        foreign["variants"][0]["isa"] = "riscv"
        with self.assertRaisesRegex(moec.Error, "no variant runs here"):
            self.load(foreign)
        layer = self.load(foreign, manifest_only=True)
        self.assertFalse(any(variant.runnable for variant in layer.variants))
        with self.assertRaisesRegex(moec.Error, "only the manifest was opened"):
            layer(random(1, 4))
        with self.assertRaisesRegex(moec.Error, "unknown instruction set 'sse9'"):
            self.load(toy(), isa="sse9")
        self.load(toy(), isa="x86-64")

    def copy16(self, dtype="bf16"):
        return self.load(manifest(
            "copy", [tensor("x", dtype, ["T", 4]), tensor("y", dtype, ["T", 4], "output")],
            [cpu("toy_copy16", [{"arg": 0}, {"arg": 1}, {"dim": "T"}])]))

    def test_bf16(self):
        layer = self.copy16()
        values = random(3, 4)
        y = layer(moec.to_bf16(values))
        self.assertEqual(y.dtype, np.uint16)
        np.testing.assert_allclose(moec.from_bf16(y), values, rtol=2.0 ** -8)
        with self.assertRaisesRegex(
                TypeError, r"'x' is float32, must be bf16 \(uint16 or bfloat16, e.g. from "
                           r"moec.to_bf16\)"):
            layer(values)
        with self.assertRaisesRegex(TypeError, "'x' is float16, must be bf16"):
            layer(values.astype(np.float16))
        with self.assertRaisesRegex(TypeError, r"'x' is uint16, must be f16 \(float16\)"):
            self.copy16("f16")(moec.to_bf16(values))
        np.testing.assert_array_equal(self.copy16("f16")(values.astype(np.float16)),
                                      values.astype(np.float16))

    def test_tokens_from_shapes(self):
        def layer(*shapes):
            names = [tensor(f"x{i}", "f32", shape) for i, shape in enumerate(shapes)]
            return self.load(manifest(
                "shapes", names + [tensor("y", "i64", ["T"], "output")],
                [cpu("toy_tag_1", [{"arg": 0}, {"dim": "T"}, {"dim": 1}])]))

        # Not from a rounded size, but from the one that is exact.
        self.assertEqual(layer([{"T": 1, "div": 4}], ["3*T + 2"])(
            np.zeros(2, np.float32), np.zeros(17, np.float32)).shape, (5,))
        with self.assertRaisesRegex(ValueError, r"dimension 0 of 'x0' is 16, must be 3\*T \+ 2"):
            layer(["3*T + 2"])(np.zeros(16, np.float32))
        with self.assertRaisesRegex(ValueError, "is 1, must be"):
            layer(["3*T + 2"])(np.zeros(1, np.float32))
        with self.assertRaisesRegex(TypeError, "no shape tells the token count; pass tokens="):
            layer([{"T": 1, "div": 4}])(np.zeros(2, np.float32))

    def test_several_outputs(self):
        layer = self.load(manifest(
            "two", [tensor("a", "f32", ["T", 1], "output"), tensor("b", "f32", ["T"], "output")],
            [{**cpu("toy_tag_1", []), "launches": [
                {"kernel": f"toy_tag_{i + 1}", "args": [{"arg": i}, {"dim": "T"}, {"dim": 1}]}
                for i in range(2)]}]))
        a, b = layer(tokens=3)
        np.testing.assert_array_equal(a, np.full((3, 1), 1, np.float32))
        np.testing.assert_array_equal(b, np.full(3, 2, np.float32))
        with self.assertRaisesRegex(TypeError, "has 2 outputs; pass out= as a dict"):
            layer(tokens=3, out=a)

    def test_pack(self):
        # "Packing" is an addition of one here; w stands for a weight.
        description = manifest(
            "packed", [tensor("x", "f32", ["T", 4]),
                       tensor("w", "f32", [3, 4], packed_by="pack_w"),
                       tensor("y", "f32", ["T", 4], "output")],
            [cpu("toy_quarter", [{"arg": 0}, {"arg": 2}, {"dim": "T"}, {"dim": 4}])])
        description["functions"] = [{
            "name": "pack_w", "arguments": [tensor("plain", "f32", [3, 4]),
                                            tensor("packed", "f32", [3, 4], "output")],
            "variants": [cpu("toy_add_one", [{"arg": 0}, {"arg": 1}, {"dim": 3}, {"dim": 4}],
                             tokens=(1, 1))]}]
        layer = self.load(description)
        weight = random(3, 4)
        np.testing.assert_array_equal(layer.pack("w", weight), weight + 1)
        np.testing.assert_array_equal(layer.pack("w", plain=weight), weight + 1)
        with self.assertRaisesRegex(TypeError, "'x' is not packed, pass it as it is"):
            layer.pack("x", weight)
        with self.assertRaisesRegex(TypeError, "no argument 'z'"):
            layer.pack("z", weight)

    def test_whole_layer(self):
        layer = self.load(moe())
        for tokens in (0, 1, 2, 7, 33):
            x, w1, w2, weights, ids = moe_inputs(tokens, seed=tokens)
            y = layer(x, ids, weights, w1, w2)
            np.testing.assert_allclose(y, moe_reference(x, w1, w2, weights, ids), rtol=1e-4,
                                       atol=1e-4)

    def test_results_are_aligned(self):
        layer = self.load(moe())
        for tokens in range(1, 20):
            x, w1, w2, weights, ids = moe_inputs(tokens)
            self.assertEqual(layer(x, ids, weights, w1, w2).ctypes.data % 64, 0)


class Library(unittest.TestCase):
    def test_versions(self):
        self.assertRegex(moec.version(), r"^\d+\.\d+\.\d+$")
        self.assertTrue(moec.cpu_supports(moec.cpu_isa()))
        self.assertTrue(moec.cpu_supports("x86-64"))
        self.assertFalse(moec.cpu_supports("sse9"))
        with self.assertRaisesRegex(RuntimeError, "is loaded already"):
            moec.set_library("other.so")

    def test_bf16_conversion(self):
        # Ties go to even: 1 + 2^-8 lies between 1 and 1 + 2^-7.
        cases = [(1.0, 0x3F80), (1 + 2.0 ** -8, 0x3F80), (1 + 3 * 2.0 ** -8, 0x3F82),
                 (1 + 2.0 ** -8 + 2.0 ** -20, 0x3F81), (-2.0, 0xC000), (0.0, 0), (-0.0, 0x8000),
                 (np.inf, 0x7F80), (-np.inf, 0xFF80), (3.4028235e38, 0x7F80), (1e-45, 0)]
        for value, bits in cases:
            self.assertEqual(moec.to_bf16(np.float32(value)), bits, value)
        # A NaN whose low bits alone are set stays a NaN.
        nans = np.array([0x7F800001, 0xFF800001, 0x7FFFFFFF], np.uint32).view(np.float32)
        self.assertTrue(np.isnan(moec.from_bf16(moec.to_bf16(nans))).all())
        every = np.arange(65536, dtype=np.uint32).astype(np.uint16)
        numbers = every[~np.isnan(moec.from_bf16(every))]
        np.testing.assert_array_equal(moec.to_bf16(moec.from_bf16(numbers)), numbers)
        self.assertEqual(moec.to_bf16(np.zeros((2, 0, 3))).shape, (2, 0, 3))
        with self.assertRaisesRegex(TypeError, "bf16 bits are uint16, not float32"):
            moec.from_bf16(np.zeros(2, np.float32))


if __name__ == "__main__":
    unittest.main()
