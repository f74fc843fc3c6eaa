#pragma once
// Files put together field by field, so that any field can be wrong. The tests' own drawing of the formats:
// nothing here uses the readers or the writer.

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::test {

/// A number as it stands in a file. Tests run on little-endian machines.
template <class T>
std::string raw(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}
inline std::string u32(std::uint32_t n) {
  return raw(n);
}
inline std::string u64(std::uint64_t n) {
  return raw(n);
}
inline std::string text(std::string_view t) {
  return u64(t.size()) + std::string(t);
}

inline std::span<const std::byte> as_bytes(const std::string& file) {
  return std::as_bytes(std::span(file));
}

/// One metadata entry; `type` as in gguf.hpp.
inline std::string entry(std::string_view key, std::uint32_t type, std::string_view value) {
  return text(key) + u32(type) + std::string(value);
}
inline std::string entry_u32(std::string_view key, std::uint32_t value) {
  return entry(key, 4, u32(value));
}
inline std::string entry_array(std::string_view key, std::uint32_t type, std::uint64_t count,
                               std::string_view elements) {
  return entry(key, 9, u32(type) + u64(count) + std::string(elements));
}

/// One tensor info; `dims` innermost first, as in the file.
inline std::string info(std::string_view name, std::initializer_list<std::uint64_t> dims, std::uint32_t type,
                        std::uint64_t offset) {
  std::string out = text(name) + u32(static_cast<std::uint32_t>(dims.size()));
  for (const std::uint64_t d : dims) out += u64(d);
  return out + u32(type) + u64(offset);
}

/// A valid file as it stands: two entries, an F32 tensor [3, 8] and a Q8_0 tensor [32]. Change what is to be
/// wrong.
struct RawGguf {
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::optional<std::uint64_t> tensor_count;  // without: as many as there are
  std::optional<std::uint64_t> metadata_count;
  std::vector<std::string> metadata = {entry("general.architecture", 8, text("llama")),
                                       entry_u32("llama.block_count", 1)};
  std::vector<std::string> tensors = {info("a", {8, 3}, 0, 0), info("b", {32}, 8, 96)};
  std::size_t alignment = 32;
  std::string data = std::string(96 + 34 + 30, '\x01');

  std::string bytes() const {
    std::string out = magic + u32(version);
    out += u64(tensor_count.value_or(tensors.size())) + u64(metadata_count.value_or(metadata.size()));
    for (const std::string& m : metadata) out += m;
    for (const std::string& t : tensors) out += t;
    if (!tensors.empty()) out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + data;
  }
};

/// A llama2.c v0 checkpoint of the given shape whose weights count up by 1/1024, and its tokenizer.
struct RawLlama2c {
  std::int32_t dim = 8;
  std::int32_t hidden_dim = 12;
  std::int32_t layers = 2;
  std::int32_t heads = 2;
  std::int32_t kv_heads = 1;
  std::int32_t vocab_size = 5;  // negative: with output.weight
  std::int32_t seq_len = 6;

  std::size_t floats() const {
    const auto n = [](std::int32_t v) { return static_cast<std::size_t>(v < 0 ? -v : v); };
    const std::size_t head_dim = n(dim) / n(heads);
    const std::size_t per_layer =
        2 * n(dim) + 2 * n(dim) * n(dim) + 2 * n(dim) * head_dim * n(kv_heads) + 3 * n(dim) * n(hidden_dim);
    return n(vocab_size) * n(dim) * (vocab_size < 0 ? 2 : 1) + n(layers) * per_layer + n(dim) +
           n(seq_len) * head_dim;
  }
  std::string bytes() const {
    std::string out = raw(dim) + raw(hidden_dim) + raw(layers) + raw(heads) + raw(kv_heads) +
                      raw(vocab_size) + raw(seq_len);
    for (std::size_t i = 0; i < floats(); ++i) out += raw(static_cast<float>(i) / 1024.0F);
    return out;
  }
};

struct RawTokenizer {
  std::int32_t max_token_length = 7;
  std::vector<std::string> pieces = {"<unk>", "\n<s>\n", "\n</s>\n", "<0x0A>", " a b"};
  std::string tail;

  std::string bytes() const {
    std::string out = raw(max_token_length);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      out += raw(-static_cast<float>(i)) + raw(static_cast<std::int32_t>(pieces[i].size())) + pieces[i];
    }
    return out + tail;
  }
};

/// One parameter of an SMND file: `count` as stored, the values counting up by 1/1024 from `first`.
struct RawParameter {
  std::vector<std::int32_t> dims;
  std::optional<std::int32_t> rank;   // without: as many as there are dims
  std::optional<std::int32_t> count;  // without: the product of dims
  std::string values;

  std::string bytes() const {
    std::string out = raw(rank.value_or(static_cast<std::int32_t>(dims.size())));
    for (const std::int32_t dim : dims) out += raw(dim);
    return out + raw(count.value_or(static_cast<std::int32_t>(values.size() / 4))) + values;
  }
};

/// A SmallMind checkpoint of 6 tokens, 5 positions, width 4, 2 heads and one layer.
struct RawSmnd {
  std::string magic = "SMND";
  std::int32_t version = 1;
  std::int64_t reserved = 0;
  std::optional<std::int32_t> metadata_length;
  std::string extra = "{}";
  std::string metadata =
      R"({"ModelType":"TransformerModel","VocabSize":6,"BlockSize":5,"EmbedDim":4,"NumHeads":2,)"
      R"("NumLayers":1,"FfnHiddenDim":16,"Extra":@})";  // @: extra
  std::optional<std::int32_t> count;
  std::vector<RawParameter> parameters;
  std::string tail;

  RawSmnd() {
    float next = 0;
    const auto add = [&](std::vector<std::int32_t> dims) {
      RawParameter parameter;
      std::int32_t n = 1;
      for (const std::int32_t dim : dims) n *= dim;
      parameter.dims = std::move(dims);
      for (std::int32_t i = 0; i < n; ++i) parameter.values += raw(next++ / 1024.0F);
      parameters.push_back(std::move(parameter));
    };
    add({6, 4}), add({5, 4});                         // embeddings: from 0, 24
    add({4}), add({4}), add({12, 4}), add({12});      // norm, qkv: from 44, 48, 52, 100
    add({4, 4}), add({4}), add({4}), add({4});        // output, norm: from 112, 128, 132, 136
    add({16, 4}), add({16}), add({4, 16}), add({4});  // up, down: from 140, 204, 220, 284
    add({4}), add({4}), add({6, 4});                  // norm, output: from 288, 292, 296
  }

  /// The metadata with `from` (which must be in it) replaced.
  RawSmnd& with(std::string_view from, std::string_view to) {
    metadata.replace(metadata.find(from), from.size(), to);
    return *this;
  }
  std::string json() const {
    std::string out = metadata;
    if (const auto at = out.find('@'); at != std::string::npos) out.replace(at, 1, extra);
    return out;
  }
  std::string bytes() const {
    const std::string text = json();
    std::string out = magic + raw(version) + raw(reserved) +
                      raw(metadata_length.value_or(static_cast<std::int32_t>(text.size()))) + text +
                      raw(count.value_or(static_cast<std::int32_t>(parameters.size())));
    for (const RawParameter& parameter : parameters) out += parameter.bytes();
    return out + tail;
  }
};

}  // namespace troupe::test
