// What @gemm1 of Conversion/MoeTileToNVVM/convert-moe-tile-to-nvvm.mlir runs on: three
// row blocks of experts 1, 1 and 2, the last with 40 rows.
module attributes {
  emu.buffers = [
    {name = "x", type = "bf16", size = 65536, init = "random"},
    {name = "w", type = "bf16", size = 16777216, init = "index", modulo = 61, low = -30, step = 7},
    {name = "slots", type = "i32", size = 384, init = "index", modulo = 256, step = 11},
    {name = "table", type = "i32", size = 12, values = [1, 0, 128, 0, 1, 128, 128, 0, 2, 256, 40, 0]},
    {name = "count", type = "i32", size = 1, values = [3]},
    {name = "y", type = "bf16", size = 75776, init = "none"}],
  emu.launches = [
    {kernel = "gemm1", grid = [2], block = [384], smem = 229440, args = [
      {buffer = "x"}, {buffer = "w"}, {buffer = "slots"}, {buffer = "table"}, {buffer = "count"}, {buffer = "y"},
      {map = "w", type = "bf16", dims = [2048, 512, 16], strides = [4096, 2097152], box = [64, 128, 1], swizzle = 128}]}],
  emu.checks = [{op = "swiglu", x = "x", w = "w", slots = "slots", table = "table", y = "y", blocks = 3, h = 2048, i = 256, topk = 8}]
} {}
