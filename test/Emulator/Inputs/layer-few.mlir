// The kernels of Pipelines/moe-to-nvvm.mlir on 12 tokens.
module attributes {
  emu.buffers = [
    {name = "x", type = "bf16", size = 6144, init = "random"},
    {name = "ids", type = "i32", size = 48, values = [2, 1, 0, 7, 1, 29, 15, 3, 10, 7, 23, 30, 0, 1, 2, 7, 15, 0, 13, 26, 17, 11, 24, 10, 0, 2, 1, 7, 8, 0, 13, 10, 10, 18, 20, 12, 2, 0, 1, 7, 12, 24, 19, 1, 23, 26, 10, 9]},
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
    {name = "rows", type = "f32", size = 24576, init = "none"}],
  emu.launches = [
    {kernel = "layer_align", grid = [1], block = [1024], smem = 4992, early, args = [{i32 = 12}, {buffer = "ids"}, {buffer = "s5"}, {buffer = "s6"}, {buffer = "s7"}, {buffer = "table"}, {buffer = "count"}, {i32 = 46}, {i32 = 48}]},
    {kernel = "layer_gemm", grid = [3], block = [256], smem = 209088, early, args = [{buffer = "x"}, {buffer = "w1"}, {buffer = "s5"}, {buffer = "table"}, {buffer = "count"}, {buffer = "hidden"}, {map = "w1", type = "bf16", dims = [512, 512, 32], strides = [1024, 524288], box = [64, 64, 1], swizzle = 128}]},
    {kernel = "layer_gemm_0", grid = [3], block = [256], smem = 209088, early, args = [{buffer = "hidden"}, {buffer = "w2"}, {buffer = "tw"}, {buffer = "s5"}, {buffer = "table"}, {buffer = "count"}, {buffer = "rows"}, {map = "w2", type = "bf16", dims = [256, 512, 32], strides = [512, 262144], box = [64, 128, 1], swizzle = 128}, {map = "hidden", type = "bf16", dims = [256, 48], strides = [512], box = [64, 8], swizzle = 128}]},
    {kernel = "layer_combine", grid = [12], block = [128], smem = 209088, early, args = [{buffer = "rows"}, {buffer = "s7"}, {buffer = "out"}, {i32 = 12}, {i32 = 48}, {i32 = 48}]}],
  emu.checks = [{op = "layer", x = "x", ids = "ids", tw = "tw", w1 = "w1", w2 = "w2", out = "out", t = 12, topk = 4, h = 512, i = 256}]
} {}
