# RUN: %python %s -v
"""moec.fused_experts: vLLM's words, a registered or a given layer."""

import unittest

import numpy as np

import moec
from artifacts import artifact, moe, moe_inputs, moe_reference


class FusedExperts(unittest.TestCase):
    def load(self, register=False, **description):
        context = artifact(moe(**description))
        folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        layer = moec.load(folder)
        self.addCleanup(layer.close)
        if register:
            moec.register(layer)
            self.addCleanup(moec.unregister, layer)
        return layer

    def check(self, y, inputs):
        x, w1, w2, weights, ids = inputs
        np.testing.assert_allclose(y, moe_reference(x, w1, w2, weights, ids), rtol=1e-4, atol=1e-4)

    def test_given_layer(self):
        layer = self.load()
        for tokens in (0, 1, 7, 33):
            inputs = moe_inputs(tokens, seed=tokens)
            self.check(moec.fused_experts(*inputs, layer=layer), inputs)
            x, w1, w2, weights, ids = inputs
            self.check(moec.fused_experts(hidden_states=x, w1=w1, w2=w2, topk_weights=weights,
                                          topk_ids=ids, layer=layer), inputs)

    def test_registered_layers_are_chosen_by_shape(self):
        inputs = moe_inputs(5)
        with self.assertRaisesRegex(LookupError, "no layer is registered"):
            moec.fused_experts(*inputs)
        small, large = self.load(True), self.load(True, hidden=16, name="large")
        self.assertEqual(moec.registered(), (large, small))
        self.check(moec.fused_experts(*inputs), inputs)
        inputs = moe_inputs(5, hidden=16)
        self.check(moec.fused_experts(*inputs), inputs)
        self.assertIsNotNone(large.stats)
        with self.assertRaisesRegex(
                LookupError, r"large: 'x' has shape \(5, 12\), must be \(5, 16\); "
                             r"moe: 'x' has shape \(5, 12\), must be \(5, 8\)"):
            moec.fused_experts(*moe_inputs(5, hidden=12))
        # The last one goes first.
        again = self.load(True)
        moec.fused_experts(*moe_inputs(5))
        self.assertIsNotNone(again.stats)
        with self.assertRaisesRegex(TypeError, "register needs a moec.Layer, not str"):
            moec.register("folder")

    def test_inplace_and_out(self):
        layer = self.load()
        inputs = moe_inputs(6)
        expected = moe_reference(*inputs)
        x = inputs[0].copy()
        y = moec.fused_experts(x, *inputs[1:], inplace=True, layer=layer)
        self.assertIs(y, x)
        np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-4)
        out = np.empty_like(x)
        self.assertIs(moec.fused_experts(*inputs, layer=layer, out=out), out)
        self.check(out, inputs)
        with self.assertRaisesRegex(TypeError, "exclude each other"):
            moec.fused_experts(*inputs, inplace=True, layer=layer, out=out)

    def test_wide_ids(self):
        layer = self.load()
        x, w1, w2, weights, ids = inputs = moe_inputs(9)
        self.check(moec.fused_experts(x, w1, w2, weights, ids.astype(np.int64), layer=layer),
                   inputs)
        for wrong in (4, -2, 2 ** 40):
            wide = ids.astype(np.int64)
            wide[3, 1] = wrong
            with self.assertRaisesRegex(ValueError, rf"topk_ids are in .*{wrong}.*\[-1, 4\)"):
                moec.fused_experts(x, w1, w2, weights, wide, layer=layer)

    def test_compared_with_what_was_compiled(self):
        layer = self.load(activation="swiglu", weight_place="epilogue")
        inputs = moe_inputs(3)
        self.check(moec.fused_experts(*inputs, activation="silu", global_num_experts=4,
                                      layer=layer), inputs)
        cases = [
            ({"activation": "gelu"}, "activation 'gelu' was asked for, layer moe was compiled "
                                     "with 'swiglu'"),
            ({"apply_router_weight_on_input": True}, "compiled with weight_place 'epilogue'"),
            ({"global_num_experts": 8}, "global_num_experts is 8, layer moe has 4"),
        ]
        for arguments, message in cases:
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                moec.fused_experts(*inputs, layer=layer, **arguments)
        with self.assertRaisesRegex(ValueError, "does not say that it does so"):
            moec.fused_experts(*inputs, apply_router_weight_on_input=True, layer=self.load())

    def test_refuses(self):
        layer = self.load()
        x, w1, w2, weights, ids = moe_inputs(3)
        cases = [
            (TypeError, "w2 is None", (x, w1, None, weights, ids), {}),
            (TypeError, "topk_ids must be a NumPy array or a PyTorch tensor, is list",
             (x, w1, w2, weights, [[0, 1]] * 3), {}),
            (ValueError, r"hidden_states has rank 1, must be \[tokens, hidden size\]",
             (x[0], w1, w2, weights, ids), {}),
            (ValueError, "it has no input 'w1_scale'", (x, w1, w2, weights, ids),
             {"w1_scale": weights}),
            (ValueError, r"'topk_weights' has shape \(2, 2\), must be \(3, 2\)",
             (x, w1, w2, weights[:2], ids), {}),
            (ValueError, "'x' is float64, must be f32",
             (x.astype(np.float64), w1, w2, weights, ids), {}),
            (ValueError, "'topk_ids' is float32, must be i32",
             (x, w1, w2, weights, ids.astype(np.float32)), {}),
        ]
        for kind, pattern, arguments, named in cases:
            with self.subTest(pattern), self.assertRaisesRegex(kind, pattern):
                moec.fused_experts(*arguments, layer=layer, **named)


if __name__ == "__main__":
    unittest.main()
