//===- MoeConfig.cpp - The #moe.config attribute --------------------------===//
//
// Part of moec, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for licence information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "moec/Dialect/Moe/IR/MoeDialect.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"

using namespace mlir;
using namespace mlir::moe;

/// The frozen list of fields. New fields may be added behind; none is renamed.
static const ConfigField fields[] = {
    {"block", ConfigFieldKind::Ints, "64,64,0",
     "tile rows m (tokens), columns n (outputs), step k; k = 0 is all of K"},
    {"passes_n", ConfigFieldKind::Int, "1",
     "passes over K by which a tile's columns are computed"},
    {"stages", ConfigFieldKind::Int, "1", "slots of the operand ring"},
    {"swap", ConfigFieldKind::Bool, "false",
     "weights on the matrix instruction's row side"},
    {"a", ConfigFieldKind::String, "direct",
     "how A arrives: direct, gather, desc, vector, lds_direct, pack"},
    {"b", ConfigFieldKind::String, "direct",
     "how B arrives: direct, desc, vector, lds_direct, pack, decode"},
    {"b_place", ConfigFieldKind::String, "load",
     "where packed weights are decoded: load, transform, compute"},
    {"order", ConfigFieldKind::String, "block_major",
     "order of the tile list: block_major, n_major, expert_major"},
    {"group_m", ConfigFieldKind::Int, "1",
     "m blocks that share a sweep over n (L2 reuse)"},
    {"store", ConfigFieldKind::String, "vector",
     "how results leave: vector, desc, staged, bulk, row_reduce"},
    {"reduce_by", ConfigFieldKind::String, "rows",
     "sum over top-k: rows, last, add_f32, panel, owner, experts"},
    {"split_k", ConfigFieldKind::Int, "1", "parts of K per tile"},
    {"atom", ConfigFieldKind::String, "",
     "matrix instruction, e.g. wgmma 64x256x16; empty = by target"},
    {"micro", ConfigFieldKind::Ints, "0,0",
     "register tile rows, columns on a CPU; 0 = by instruction set"},
    {"warps", ConfigFieldKind::Int, "0", "warps per block; 0 = by roles"},
    {"load_threads", ConfigFieldKind::Int, "0", "threads of the load role"},
    {"load_regs", ConfigFieldKind::Int, "0", "registers per load thread"},
    {"transform_threads", ConfigFieldKind::Int, "0",
     "threads of the transform role"},
    {"compute_groups", ConfigFieldKind::Int, "1", "teams of the compute role"},
    {"compute_threads", ConfigFieldKind::Int, "0", "threads per compute team"},
    {"compute_regs", ConfigFieldKind::Int, "0", "registers per compute thread"},
    {"compute_split", ConfigFieldKind::String, "m",
     "how compute teams share work: m, n, tiles (ping-pong)"},
    {"sub_k", ConfigFieldKind::Int, "0",
     "k step inside a slot; 0 = the atom's"},
    {"cluster", ConfigFieldKind::Ints, "1,1", "thread block cluster m, n"},
    {"grid", ConfigFieldKind::String, "persistent", "persistent or tiles"},
    {"claim", ConfigFieldKind::String, "counter",
     "how workers take tiles: stride, counter"},
    {"pdl", ConfigFieldKind::Bool, "false", "programmatic dependent launch"},
    {"waves_per_eu", ConfigFieldKind::Int, "0",
     "waves that a SIMD of an AMD chip is to have; 0: any number"},
    {"xcd", ConfigFieldKind::Int, "1",
     "dies of an AMD chip that take neighbouring tiles each; 1: no order"},
    {"kpack", ConfigFieldKind::Int, "1", "AMD k packing of a fragment"},
    {"deterministic", ConfigFieldKind::Bool, "true",
     "same bits on every run of one shape"},
    {"predicted_us", ConfigFieldKind::Int, "0", "predicted time; 0 = unknown"},
    {"source", ConfigFieldKind::String, "",
     "who chose: user, tuner, rule, model"},
    {"partial", ConfigFieldKind::String, "f32",
     "element type of the rows before the sum over top-k: f32, bf16"},
    {"a_place", ConfigFieldKind::String, "load",
     "where A is scaled if not behind the product: load, compute"},
    {"b_scale", ConfigFieldKind::String, "values",
     "what scales of decoded weights multiply: values, sums (of products)"},
};

ArrayRef<ConfigField> moe::configFields() { return fields; }

static const ConfigField *findField(StringRef name) {
  const auto *it = llvm::find_if(
      fields, [&](const ConfigField &f) { return f.name == name; });
  return it == std::end(fields) ? nullptr : it;
}

static bool hasKind(Attribute value, ConfigFieldKind kind) {
  switch (kind) {
  case ConfigFieldKind::Int:
    return isa<IntegerAttr>(value) && !isa<BoolAttr>(value);
  case ConfigFieldKind::Ints:
    return isa<ArrayAttr>(value) &&
           llvm::all_of(cast<ArrayAttr>(value),
                        [](Attribute a) { return isa<IntegerAttr>(a); });
  case ConfigFieldKind::String:
    return isa<StringAttr>(value);
  case ConfigFieldKind::Bool:
    return isa<BoolAttr>(value);
  }
  llvm_unreachable("covered switch");
}

static StringRef kindName(ConfigFieldKind kind) {
  switch (kind) {
  case ConfigFieldKind::Int:
    return "an integer";
  case ConfigFieldKind::Ints:
    return "a list of integers";
  case ConfigFieldKind::String:
    return "a string";
  case ConfigFieldKind::Bool:
    return "true or false";
  }
  llvm_unreachable("covered switch");
}

int64_t ConfigAttr::getInt(StringRef name) const {
  if (auto value = getFields().getAs<IntegerAttr>(name))
    return value.getInt();
  int64_t number = 0;
  (void)findField(name)->defaultText.getAsInteger(10, number);
  return number;
}

SmallVector<int64_t> ConfigAttr::getInts(StringRef name) const {
  SmallVector<int64_t> numbers;
  if (auto value = getFields().getAs<ArrayAttr>(name)) {
    for (Attribute a : value)
      numbers.push_back(cast<IntegerAttr>(a).getInt());
    return numbers;
  }
  SmallVector<StringRef> parts;
  findField(name)->defaultText.split(parts, ',');
  for (StringRef part : parts) {
    int64_t number = 0;
    (void)part.getAsInteger(10, number);
    numbers.push_back(number);
  }
  return numbers;
}

StringRef ConfigAttr::getString(StringRef name) const {
  if (auto value = getFields().getAs<StringAttr>(name))
    return value.getValue();
  return findField(name)->defaultText;
}

bool ConfigAttr::getBool(StringRef name) const {
  if (auto value = getFields().getAs<BoolAttr>(name))
    return value.getValue();
  return findField(name)->defaultText == "true";
}

Attribute ConfigAttr::parse(AsmParser &parser, Type) {
  SMLoc loc = parser.getCurrentLocation();
  NamedAttrList values;
  auto parseField = [&]() -> ParseResult {
    std::string name;
    Attribute value;
    SMLoc nameLoc = parser.getCurrentLocation();
    if (parser.parseKeywordOrString(&name) || parser.parseEqual() ||
        parser.parseAttribute(value))
      return failure();
    if (values.set(name, value))
      return parser.emitError(nameLoc)
             << "field '" << name << "' is given twice";
    return success();
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::LessGreater,
                                     parseField))
    return {};
  return ConfigAttr::getChecked([&] { return parser.emitError(loc); },
                                parser.getContext(),
                                values.getDictionary(parser.getContext()));
}

void ConfigAttr::print(AsmPrinter &printer) const {
  printer << '<';
  bool first = true;
  for (const ConfigField &field : fields) {
    Attribute value = getFields().get(field.name);
    if (!value)
      continue;
    if (!first)
      printer << ", ";
    first = false;
    printer << field.name << " = ";
    // Integers without their type: a reader edits numbers, not types.
    if (field.kind == ConfigFieldKind::Int) {
      printer << cast<IntegerAttr>(value).getInt();
    } else if (field.kind == ConfigFieldKind::Ints) {
      printer << '[';
      llvm::interleaveComma(cast<ArrayAttr>(value), printer, [&](Attribute a) {
        printer << cast<IntegerAttr>(a).getInt();
      });
      printer << ']';
    } else {
      printer << value;
    }
  }
  printer << '>';
}

LogicalResult ConfigAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 DictionaryAttr values) {
  for (NamedAttribute entry : values) {
    const ConfigField *field = findField(entry.getName());
    if (!field)
      return emitError() << "unknown field '" << entry.getName().getValue()
                         << "' in #moe.config";
    if (!hasKind(entry.getValue(), field->kind))
      return emitError() << "field '" << field->name << "' of #moe.config is "
                         << kindName(field->kind) << ", got "
                         << entry.getValue();
    if (field->kind == ConfigFieldKind::Int &&
        cast<IntegerAttr>(entry.getValue()).getInt() < 0)
      return emitError() << "field '" << field->name
                         << "' of #moe.config must not be negative, got "
                         << cast<IntegerAttr>(entry.getValue()).getInt();
  }
  if (auto block = values.getAs<ArrayAttr>("block")) {
    SmallVector<int64_t> b;
    for (Attribute a : block)
      b.push_back(cast<IntegerAttr>(a).getInt());
    if (b.size() != 3 || b[0] < 1 || b[1] < 1 || b[2] < 0)
      return emitError() << "field 'block' of #moe.config is [m >= 1, n >= 1, "
                            "k >= 0], got "
                         << block;
  }
  if (auto micro = values.getAs<ArrayAttr>("micro"))
    if (micro.size() != 2)
      return emitError() << "field 'micro' of #moe.config has 2 entries, got "
                         << micro.size();
  if (auto cluster = values.getAs<ArrayAttr>("cluster"))
    if (cluster.size() != 2)
      return emitError() << "field 'cluster' of #moe.config has 2 entries, got "
                         << cluster.size();
  return success();
}
