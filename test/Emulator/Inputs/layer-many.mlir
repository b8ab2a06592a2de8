// The kernels of Pipelines/moe-to-nvvm.mlir on 12 tokens.
module attributes {
  emu.buffers = [
    {name = "x", type = "bf16", size = 6144, init = "random"},
    {name = "ids", type = "i32", size = 48, values = [1, 0, 2, 7, 19, 0, 21, 4, 19, 22, 30, 20, 0, 1, 2, 7, 11, 3, 16, 1, 22, 25, 1, 26, 1, 2, 0, 7, 28, 2, 11, 12, 7, 15, 29, 22, 2, 1, 0, 7, 29, 6, 23, 18, 2, 27, 5, 13]},
    {name = "tw", type = "f32", size = 48, init = "random"},
    {name = "w1", type = "bf16", size = 8388608, init = "index", modulo = 61, low = -30, step = 7},
    {name = "w2", type = "bf16", size = 4194304, init = "index", modulo = 59, low = -29, step = 11},
    {name = "out", type = "bf16", size = 6144, init = "none"},
    {name = "hidden", type = "bf16", size = 12288, init = "none"},
    {name = "s5", type = "i32", size = 48, init = "none"},
    {name = "s6", type = "i32", size = 48, init = "none"},
    {name = "s7", type = "i32", size = 48, init = "none"},
    {name = "table", type = "i32", size = 184, init = "none"},
    {name = "count", type = "i32", size = 1, init = "none"},
    {name = "rows", type = "bf16", size = 24576, init = "none"}],
  emu.launches = [
    {kernel = "layer_align", grid = [128], block = [1024], smem = 4992, early, args = [{i32 = 12}, {buffer = "ids"}, {buffer = "s5"}, {buffer = "s6"}, {buffer = "s7"}, {buffer = "table"}, {buffer = "count"}, {i32 = 46}, {i32 = 48}]},
    {kernel = "layer_gemm", grid = [3], block = [384], smem = 229440, early, args = [{buffer = "x"}, {buffer = "w1"}, {buffer = "s5"}, {buffer = "table"}, {buffer = "count"}, {buffer = "hidden"}, {map = "w1", type = "bf16", dims = [512, 512, 32], strides = [1024, 524288], box = [64, 128, 1], swizzle = 128}]},
    {kernel = "layer_gemm_0", grid = [3], block = [384], smem = 229440, early, args = [{buffer = "hidden"}, {buffer = "w2"}, {buffer = "tw"}, {buffer = "s5"}, {buffer = "table"}, {buffer = "count"}, {buffer = "rows"}, {map = "w2", type = "bf16", dims = [256, 512, 32], strides = [512, 262144], box = [64, 256, 1], swizzle = 128}, {map = "hidden", type = "bf16", dims = [256, 48], strides = [512], box = [64, 128], swizzle = 128}]},
    {kernel = "layer_combine", grid = [6], block = [128], smem = 229440, early, args = [{buffer = "rows"}, {buffer = "s7"}, {buffer = "out"}, {i32 = 12}, {i32 = 48}, {i32 = 48}]}],
  emu.checks = [{op = "layer", x = "x", ids = "ids", tw = "tw", w1 = "w1", w2 = "w2", out = "out", t = 12, topk = 4, h = 512, i = 256}]
} {}
