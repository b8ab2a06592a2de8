//===- SupportProbe.cpp - Conversions for comparison with NumPy -----------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   SupportProbe encode TYPE (native | saturate) IN.npy OUT.npy
//   SupportProbe decode TYPE IN.npy OUT.npy
//   SupportProbe blocks TYPE ROWS COLS IN.npy OUT.safetensors
//   SupportProbe int4 GROUP (zeros | symmetric) PACKING SCALETYPE IN OUT
//   SupportProbe (mx TYPE | nvfp4 -) IN.npy OUT.safetensors
//   SupportProbe fill TYPE SEED TENSOR COUNT OUT.npy  (u8: bits, else normal)
//   SupportProbe (read-npy TYPE | read-safetensors NAME) FILE OUT.npy
//
//===----------------------------------------------------------------------===//

#include "moec/Support/Quantize.h"
#include "moec/Support/Random.h"
#include "moec/Support/TensorIO.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir::moe;

static llvm::ExitOnError exitOnError("error: ");

static ElementType typeOf(llvm::StringRef name) {
  std::optional<ElementType> type = parseElementType(name);
  if (!type)
    exitOnError(llvm::createStringError("unknown type '" + name + "'"));
  return *type;
}

static int64_t number(llvm::StringRef text) {
  int64_t value;
  if (text.getAsInteger(10, value))
    exitOnError(llvm::createStringError("not a number: '" + text + "'"));
  return value;
}

/// Stores codes, scales, zero points, the second-level scale and the values.
static void store(QuantizedMatrix matrix, llvm::StringRef path) {
  int64_t shape[] = {matrix.rows, matrix.cols};
  HostTensor global = exitOnError(
      HostTensor::fromFloats(ElementType::F32, {1}, {matrix.globalScale}));
  HostTensor values = exitOnError(
      HostTensor::fromFloats(ElementType::F32, shape, dequantize(matrix)));
  std::vector<NamedTensor> tensors = {{"codes", &matrix.codes},
                                      {"scales", &matrix.scales},
                                      {"global", &global},
                                      {"values", &values}};
  if (matrix.zeros)
    tensors.push_back({"zeros", &*matrix.zeros});
  exitOnError(writeSafetensors(path, tensors));
}

static void encodeFile(ElementType type, Overflow mode, llvm::StringRef in,
                       llvm::StringRef out) {
  HostTensor source = exitOnError(readNpy(in));
  HostTensor target = exitOnError(HostTensor::create(type, source.getShape()));
  if (source.getType() == ElementType::F64)
    convertFromDouble(type, source.getAs<double>().data(), target.getData(),
                      source.getNumElements(), mode);
  else
    convertFromFloat(type, source.getAs<float>().data(), target.getData(),
                     source.getNumElements(), mode);
  exitOnError(writeNpy(out, target));
}

int main(int argc, char **argv) {
  llvm::SmallVector<llvm::StringRef> args(argv + 1, argv + argc);
  if (args.size() < 3) {
    llvm::errs() << "see the head of SupportProbe.cpp for the calls\n";
    return 2;
  }
  llvm::StringRef command = args[0], in = args[args.size() - 2],
                  out = args.back();
  if (command == "encode") {
    encodeFile(typeOf(args[1]),
               args[2] == "saturate" ? Overflow::Saturate : Overflow::Native,
               in, out);
    return 0;
  }
  if (command == "decode") {
    HostTensor source = exitOnError(readNpy(in, typeOf(args[1])));
    exitOnError(writeNpy(
        out, exitOnError(HostTensor::fromFloats(
                 ElementType::F32, source.getShape(), source.toFloats()))));
    return 0;
  }
  if (command == "fill") {
    HostTensor target =
        exitOnError(HostTensor::create(typeOf(args[1]), {number(args[4])}));
    RandomStream stream;
    stream.seed = number(args[2]);
    stream.tensorId = number(args[3]);
    exitOnError(fillRandom(target, stream,
                           target.getType() == ElementType::U8
                               ? Distribution::bits()
                               : Distribution::normal(0, 1)));
    exitOnError(writeNpy(out, target));
    return 0;
  }
  if (command == "read-npy") {
    std::optional<ElementType> as;
    if (args[1] != "-")
      as = typeOf(args[1]);
    exitOnError(writeNpy(out, exitOnError(readNpy(in, as))));
    return 0;
  }
  if (command == "read-safetensors") {
    SafetensorsFile file = exitOnError(SafetensorsFile::open(in));
    exitOnError(writeNpy(out, exitOnError(file.read(args[1]))));
    return 0;
  }

  HostTensor source = exitOnError(readNpy(in));
  int64_t rows = source.getDim(0), cols = source.getDim(1);
  llvm::ArrayRef<float> values = source.getAs<float>();
  if (command == "blocks")
    store(exitOnError(quantizeBlocks(values, rows, cols, number(args[2]),
                                     number(args[3]), typeOf(args[1]))),
          out);
  else if (command == "int4")
    store(exitOnError(quantizeInt4(
              values, rows, cols, number(args[1]), args[2] == "zeros",
              *parseNibblePacking(args[3]), typeOf(args[4]))),
          out);
  else if (command == "mx")
    store(exitOnError(quantizeMx(values, rows, cols, typeOf(args[1]))), out);
  else if (command == "nvfp4")
    store(exitOnError(quantizeNvfp4(values, rows, cols)), out);
  else
    return 2;
  return 0;
}
