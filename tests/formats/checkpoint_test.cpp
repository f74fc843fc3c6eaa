#include "formats/checkpoint.hpp"

#include "tests/support/check_has.hpp"

namespace troupe {
namespace {

template <class T>
void refuses(const Result<T>& result, std::string_view part) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::bad_file);
  CHECK_HAS(result.error().message, part);
}

Metadata sample() {
  Metadata m;
  m.insert("u", std::uint64_t{7});
  m.insert("i", std::int64_t{8});
  m.insert("negative", std::int64_t{-1});
  m.insert("huge", ~std::uint64_t{0});
  m.insert("f", 0.5);
  m.insert("b", true);
  m.insert("s", std::string("text"));
  m.insert("us", std::vector<std::uint64_t>{1, 2});
  m.insert("huges", std::vector<std::uint64_t>{1, ~std::uint64_t{0}});
  m.insert("is", std::vector<std::int64_t>{-1});
  m.insert("fs", std::vector<double>{0.5});
  m.insert("ss", std::vector<std::string>{"a"});
  return m;
}

TEST_CASE("an absent key is no error unless it is needed", "[formats]") {
  const Metadata m = sample();
  CHECK(*m.get_u64("x") == std::nullopt);
  CHECK(*m.get_f64("x") == std::nullopt);
  CHECK(*m.get_bool("x") == std::nullopt);
  CHECK(*m.get_string("x") == std::nullopt);
  CHECK(*m.get_strings("x") == nullptr);
  CHECK(*m.get_f64s("x") == std::nullopt);
  CHECK(*m.get_i64s("x") == std::nullopt);
  refuses(m.need_u64("x"), "'x' is missing");
  refuses(m.need_string("x"), "'x' is missing");
}

TEST_CASE("numbers convert where nothing is lost", "[formats]") {
  const Metadata m = sample();
  CHECK(*m.need_u64("u") == 7);
  CHECK(*m.need_u64("i") == 8);
  CHECK(**m.get_f64("u") == 7.0);
  CHECK(**m.get_f64("negative") == -1.0);
  CHECK(**m.get_f64s("us") == std::vector<double>{1, 2});
  CHECK(**m.get_f64s("is") == std::vector<double>{-1});
  CHECK(**m.get_i64s("us") == std::vector<std::int64_t>{1, 2});
  CHECK(**m.get_bool("b"));
  CHECK(*m.need_string("s") == "text");
  CHECK((*m.get_strings("ss"))->front() == "a");
}

TEST_CASE("a value of another type is refused by its key", "[formats]") {
  const Metadata m = sample();
  refuses(m.get_u64("negative"), "'negative' is -1");
  refuses(m.get_u64("f"), "'f' is a number, not an unsigned integer");
  refuses(m.get_u64("b"), "'b' is a boolean");
  refuses(m.need_u64("s"), "'s' is a string");
  refuses(m.get_f64("b"), "'b' is a boolean");
  refuses(m.get_f64("us"), "'us' is an array");
  refuses(m.get_bool("u"), "'u' is an unsigned integer");
  refuses(m.get_string("ss"), "'ss' is an array of strings");
  refuses(m.get_strings("s"), "'s' is a string");
  refuses(m.get_f64s("ss"), "'ss' is an array of strings");
  refuses(m.get_f64s("f"), "'f' is a number");
  refuses(m.get_i64s("fs"), "'fs' is an array of numbers");
  refuses(m.get_i64s("huges"), "18446744073709551615 at index 1");
}

TEST_CASE("the first value of a key stays", "[formats]") {
  Metadata m;
  CHECK(m.insert("k", true));
  CHECK_FALSE(m.insert("k", false));
  CHECK(**m.get_bool("k"));
}

TEST_CASE("tensors are found by name with and without an index", "[formats]") {
  Checkpoint c;
  c.tensors = {{"a", TensorType::f32, {1}, {}}, {"b", TensorType::f32, {2}, {}}};
  CHECK(c.find("b") == &c.tensors[1]);
  CHECK(c.find("c") == nullptr);
  std::string duplicate;
  REQUIRE(c.build_index(duplicate));
  CHECK(c.find("b") == &c.tensors[1]);
  CHECK(c.find("c") == nullptr);
  const Checkpoint moved = std::move(c);
  CHECK(moved.find("a") == &moved.tensors[0]);
}

TEST_CASE("two tensors of one name make no index", "[formats]") {
  Checkpoint c;
  c.tensors = {{"a", TensorType::f32, {1}, {}}, {"a", TensorType::f32, {2}, {}}};
  std::string duplicate;
  CHECK_FALSE(c.build_index(duplicate));
  CHECK(duplicate == "a");
}

}  // namespace
}  // namespace troupe
