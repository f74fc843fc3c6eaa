#pragma once
// What every file format is read into: metadata by GGUF's key names, and views of the tensors. GGUF's
// names are the common tongue; the readers of other formats translate into them, so that everything to
// the right of this room knows one vocabulary only.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/tensor_type.hpp"
#include "troupe/error.hpp"

namespace troupe {

/// One metadata value. Integers of every width are widened to 64 bits, f32 to f64 (exactly); arrays are
/// homogeneous, booleans in arrays are integers 0 and 1.
using MetadataValue =
    std::variant<std::uint64_t, std::int64_t, double, bool, std::string, std::vector<std::uint64_t>,
                 std::vector<std::int64_t>, std::vector<double>, std::vector<std::string>>;

/// Key → value, in key order. The get_ functions are typed reads: absent → nullopt (or the fallback);
/// present with another type, negative where unsigned is wanted, or out of range → Error bad_file that
/// names the key. Not thread-safe while it is being filled; const access is.
class Metadata {
 public:
  bool contains(std::string_view key) const { return values_.find(key) != values_.end(); }
  const MetadataValue* find(std::string_view key) const;
  /// False when the key was there already (the value is then left alone).
  bool insert(std::string key, MetadataValue value);

  Result<std::optional<std::uint64_t>> get_u64(std::string_view key) const;
  Result<std::uint64_t> need_u64(std::string_view key) const;
  Result<std::optional<double>> get_f64(std::string_view key) const;  ///< integers are converted
  Result<std::optional<bool>> get_bool(std::string_view key) const;
  Result<std::optional<std::string>> get_string(std::string_view key) const;
  Result<std::string> need_string(std::string_view key) const;
  /// Pointers into this object; null when absent.
  Result<const std::vector<std::string>*> get_strings(std::string_view key) const;
  Result<std::optional<std::vector<double>>> get_f64s(std::string_view key) const;  ///< from any number type
  Result<std::optional<std::vector<std::int64_t>>> get_i64s(
      std::string_view key) const;  ///< from any integer type

  auto begin() const { return values_.begin(); }
  auto end() const { return values_.end(); }
  std::size_t size() const { return values_.size(); }

 private:
  std::map<std::string, MetadataValue, std::less<>> values_;
};

/// A tensor's name, encoding, shape and bytes. Shapes are in row-major reading order: dims[0] is the
/// outermost (GGUF stores them the other way round); a matrix y = W x is [rows, cols]. 1 to 4 dims.
struct TensorView {
  std::string name;
  TensorType type = TensorType::f32;
  std::vector<std::uint64_t> dims;
  std::span<const std::byte> data;  ///< exactly the tensor's bytes; points into the checkpoint

  std::uint64_t elements() const {
    std::uint64_t n = 1;
    for (auto d : dims) n *= d;
    return n;
  }
};

/// "[64, 172]".
std::string dims_text(std::span<const std::uint64_t> dims);

/// An opened model file: move-only; the tensor views live as long as it does. Immutable once returned by
/// a reader, then safe to read from any thread.
struct Checkpoint {
  std::string format;  ///< "GGUF v3", "llama2.c v0", …: for people
  std::uint64_t file_bytes = 0;
  std::vector<std::filesystem::path> files;  ///< that open_checkpoint() read the model from: all shards
  Metadata metadata;
  std::vector<TensorView> tensors;      ///< in file order
  std::shared_ptr<const void> storage;  ///< keeps the mapping or buffers alive that the views point into
  /// Tells whoever holds these bytes of a tensor that they are not needed soon: a mapped file's pages are
  /// given back, and read again when they are touched again. May be empty; any thread.
  std::function<void(std::span<const std::byte>)> let_go;

  /// By name; null when the file has no such tensor. Logarithmic or better after build_index().
  const TensorView* find(std::string_view name) const;
  /// Fills the name index. False when two tensors share a name, which it stores in `duplicate`.
  bool build_index(std::string& duplicate);

  Checkpoint() = default;
  Checkpoint(Checkpoint&&) = default;
  Checkpoint& operator=(Checkpoint&&) = default;

 private:
  std::map<std::string, std::size_t, std::less<>> index_;
};

}  // namespace troupe
