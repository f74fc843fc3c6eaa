#include "formats/llama2c.hpp"

#include <initializer_list>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include "base/check.hpp"
#include "base/try.hpp"
#include "formats/field_reader.hpp"
#include "formats/finite.hpp"
#include "formats/llama2c_tokenizer.hpp"

namespace troupe {
namespace {

constexpr std::uint64_t header_bytes = 7 * sizeof(std::int32_t);
constexpr std::int32_t field_max = 1 << 24;  // far above any real model; text and noise mostly lie higher

std::string num(std::uint64_t n) {
  return std::to_string(n);
}

// n, saturating at the largest number.
std::uint64_t product(std::initializer_list<std::uint64_t> factors) {
  std::uint64_t n = 1;
  for (const std::uint64_t f : factors) {
    if (f != 0 && n > std::numeric_limits<std::uint64_t>::max() / f)
      return std::numeric_limits<std::uint64_t>::max();
    n *= f;
  }
  return n;
}

// One run of the file: `copies` tensors of one shape, one for each layer, or one outside the layers.
struct Run {
  const char* name;  // "blk.N." goes before it when there is one for each layer; null: unused bytes
  bool per_layer;
  std::vector<std::uint64_t> dims;  // row-major
};

std::vector<Run> layout(const Llama2cHeader& h) {
  std::vector<Run> runs = {
      {"token_embd.weight", false, {h.vocab_size, h.dim}},
      {"attn_norm.weight", true, {h.dim}},
      {"attn_q.weight", true, {h.dim, h.dim}},
      {"attn_k.weight", true, {h.kv_dim(), h.dim}},
      {"attn_v.weight", true, {h.kv_dim(), h.dim}},
      {"attn_output.weight", true, {h.dim, h.dim}},
      {"ffn_norm.weight", true, {h.dim}},
      {"ffn_gate.weight", true, {h.hidden_dim, h.dim}},
      {"ffn_down.weight", true, {h.dim, h.hidden_dim}},
      {"ffn_up.weight", true, {h.hidden_dim, h.dim}},
      {"output_norm.weight", false, {h.dim}},
      {nullptr, false, {h.seq_len, h.head_dim()}},  // the cosines, then the sines: half a head each
  };
  if (h.has_classifier) runs.push_back({"output.weight", false, {h.vocab_size, h.dim}});
  return runs;
}

std::uint64_t bytes_of(const Run& run) {
  std::uint64_t n = sizeof(float);
  for (const std::uint64_t d : run.dims) n = product({n, d});
  return n;
}

// Cuts the file into tensors. The caller has checked its size.
Status read_tensors(FieldReader& in, const Llama2cHeader& header, std::vector<TensorView>& out) {
  std::span<const std::byte> bytes;
  TROUPE_CHECK(in.skip(header_bytes));
  // GGUF orders by layer, this file by kind; the order of `out` is the file's.
  for (const Run& run : layout(header)) {
    const std::uint64_t copies = run.per_layer ? header.layers : 1;
    for (std::uint64_t layer = 0; layer < copies; ++layer) {
      TROUPE_CHECK(in.read_bytes(bytes_of(run), bytes));
      if (run.name == nullptr) continue;
      TensorView tensor;
      tensor.name = run.per_layer ? "blk." + num(layer) + "." + run.name : run.name;
      tensor.dims = run.dims;
      tensor.data = bytes;
      const std::size_t bad = first_not_finite(bytes);
      if (bad != bytes.size() / sizeof(float)) {
        return in.bad("element " + num(bad) + " of tensor " + tensor.name + " is infinite or not a number");
      }
      out.push_back(std::move(tensor));
    }
  }
  return {};
}

void fill_metadata(const Llama2cHeader& h, Metadata& m) {
  m.insert("general.architecture", std::string("llama"));
  m.insert("general.file_type", std::uint64_t{0});  // all F32
  m.insert("llama.block_count", h.layers);
  m.insert("llama.context_length", h.seq_len);
  m.insert("llama.embedding_length", h.dim);
  m.insert("llama.feed_forward_length", h.hidden_dim);
  m.insert("llama.attention.head_count", h.heads);
  m.insert("llama.attention.head_count_kv", h.kv_heads);
  m.insert("llama.attention.layer_norm_rms_epsilon", static_cast<double>(1e-5F));
  m.insert("llama.rope.dimension_count", h.head_dim());
  m.insert("llama.rope.freq_base", 10000.0);
  m.insert("llama.vocab_size", h.vocab_size);
}

}  // namespace

std::uint64_t Llama2cHeader::file_bytes() const {
  std::uint64_t total = header_bytes;
  for (const Run& run : layout(*this)) {
    const std::uint64_t bytes = product({bytes_of(run), run.per_layer ? layers : 1});
    if (bytes > std::numeric_limits<std::uint64_t>::max() - total)
      return std::numeric_limits<std::uint64_t>::max();
    total += bytes;
  }
  return total;
}

std::optional<Llama2cHeader> parse_llama2c_header(std::span<const std::byte> file) {
  ByteReader in(file);
  std::int32_t fields[7] = {};
  for (std::int32_t& field : fields) {
    if (!in.read(field)) return std::nullopt;
  }
  Llama2cHeader h;
  h.has_classifier = fields[5] < 0;
  if (h.has_classifier) {
    if (fields[5] < -field_max) return std::nullopt;
    fields[5] = -fields[5];
  }
  for (const std::int32_t field : fields) {
    if (field < 1 || field > field_max) return std::nullopt;
  }
  h.dim = static_cast<std::uint64_t>(fields[0]);
  h.hidden_dim = static_cast<std::uint64_t>(fields[1]);
  h.layers = static_cast<std::uint64_t>(fields[2]);
  h.heads = static_cast<std::uint64_t>(fields[3]);
  h.kv_heads = static_cast<std::uint64_t>(fields[4]);
  h.vocab_size = static_cast<std::uint64_t>(fields[5]);
  h.seq_len = static_cast<std::uint64_t>(fields[6]);
  if (h.dim % h.heads != 0 || h.heads % h.kv_heads != 0 || h.head_dim() % 2 != 0) return std::nullopt;
  return h;
}

Result<Checkpoint> read_llama2c(std::span<const std::byte> file, std::string_view name,
                                std::optional<std::span<const std::byte>> tokenizer,
                                std::string_view tokenizer_name, std::shared_ptr<const void> storage) {
  FieldReader in(file, name);
  const auto header = parse_llama2c_header(file);
  if (!header) return in.bad("the first 28 bytes are no header of a llama2.c v0 checkpoint");
  if (header->file_bytes() != file.size()) {
    return in.bad("as a llama2.c v0 checkpoint, its header (dim " + num(header->dim) + ", hidden_dim " +
                  num(header->hidden_dim) + ", n_layers " + num(header->layers) + ", n_heads " +
                  num(header->heads) + ", n_kv_heads " + num(header->kv_heads) + ", vocab_size " +
                  (header->has_classifier ? "-" : "") + num(header->vocab_size) + ", seq_len " +
                  num(header->seq_len) + ") asks for exactly " + num(header->file_bytes()) + " bytes");
  }

  Checkpoint out;
  out.format = "llama2.c v0";
  out.file_bytes = file.size();
  TROUPE_TRY_STATUS(read_tensors(in, *header, out.tensors));
  fill_metadata(*header, out.metadata);
  if (tokenizer) {
    TROUPE_TRY_STATUS(read_llama2c_tokenizer(*tokenizer, tokenizer_name, header->vocab_size, out.metadata));
  } else {
    out.metadata.insert("tokenizer.ggml.model", std::string("none"));
  }
  std::string duplicate;
  TROUPE_CHECK(out.build_index(duplicate));
  out.storage = std::move(storage);
  return out;
}

Result<std::filesystem::path> find_llama2c_tokenizer(const std::filesystem::path& model,
                                                     std::uint64_t vocab_size) {
  const std::string names[] = {model.stem().string() + ".tokenizer.bin", "tok" + num(vocab_size) + ".bin",
                               "tokenizer.bin"};
  for (const std::string& name : names) {
    auto path = model.parent_path() / name;
    std::error_code ignored;  // one that cannot be examined is as good as absent
    if (std::filesystem::is_regular_file(path, ignored)) return path;
  }
  return Error{Errc::bad_argument, in_quotes(model.native()) + " is a llama2.c checkpoint, and none of " +
                                       in_quotes(names[0]) + ", " + in_quotes(names[1]) + " and " +
                                       in_quotes(names[2]) +
                                       " lies beside it: name its tokenizer with --tokenizer FILE"};
}

}  // namespace troupe
