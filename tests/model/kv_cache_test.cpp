#include "model/kv_cache.hpp"

#include <new>
#include <numeric>

#include "support/allocation_limit.hpp"
#include "support/catch.hpp"

using namespace troupe;

namespace {

ModelConfig small_config() {
  ModelConfig config;
  config.layers = 1;
  config.heads = config.kv_heads = 1;
  config.head_dim = 8;
  return config;
}

}  // namespace

TEST_CASE("the KV cache promises no more pages than it has", "[model]") {
  KvCache cache(small_config(), KvType::f32, 4);
  CHECK(cache.open(1, 64));
  CHECK(cache.open(2, 33));
  CHECK_FALSE(cache.open(3, 1));
  CHECK(cache.pages_used() == 0);
  CHECK(cache.pages_available() == 0);
  cache.close(1);
  CHECK(cache.open(3, 1));
  CHECK(cache.pages_available() == 1);
}

TEST_CASE("closing a sequence frees what it holds and what it was promised", "[model]") {
  KvCache cache(small_config(), KvType::f16, 8);
  REQUIRE(cache.open(1, 200));
  cache.append(1, 33);
  CHECK(cache.pages_used() == 2);
  CHECK(cache.pages_available() == 1);
  cache.close(1);
  cache.close(1);
  CHECK(cache.pages_used() == 0);
  CHECK(cache.pages_available() == 8);
}

TEST_CASE("a page that there is no memory to note down is nobody's", "[model]") {
  KvCache cache(small_config(), KvType::f32, 2048);
  REQUIRE(cache.open(1, 0));
  REQUIRE(cache.open(2, 0));
  cache.append(1, 1024 * page_tokens);
  cache.append(2, 100);
  cache.close(2);
  {
    const test::AllocationLimit limit(4096);  // less than the numbers of 1025 pages
    CHECK_THROWS_AS(cache.append(1, 1), std::bad_alloc);
  }
  CHECK(cache.pages_used() == 1024);
  CHECK(cache.length(1) == 1024 * page_tokens);
  cache.append(1, 1);
  CHECK(cache.pages_used() == 1025);
  CHECK(cache.pages(1).size() == 1025);
  cache.close(1);
  CHECK(cache.pages_available() == 2048);
}

TEST_CASE("a sequence takes what is available beyond its promise, and nothing that others were promised",
          "[model]") {
  KvCache cache(small_config(), KvType::f32, 5);
  REQUIRE(cache.open(1, 64));
  REQUIRE(cache.open(2, 0));
  CHECK(cache.pages_missing(1, 64) == 0);
  CHECK(cache.pages_missing(1, 65) == 1);
  CHECK(cache.pages_missing(2, 96) == 3);
  cache.append(2, 70);
  CHECK(cache.pages_available() == 0);
  CHECK(cache.pages_missing(2, 26) == 0);
  CHECK(cache.pages_missing(2, 27) == 1);
  cache.append(1, 64);
  CHECK(cache.pages_used() == 5);
  cache.close(2);
  CHECK(cache.pages_available() == 3);
  cache.append(1, 1);
  CHECK(cache.pages_available() == 2);
  cache.close(1);
  CHECK(cache.pages_available() == 5);
}

namespace {

std::vector<Token> text(Token first, std::size_t size) {
  std::vector<Token> tokens(size);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

/// Opens a sequence, takes what is known of its beginning and stores the rest. Returns what was known.
std::size_t run(KvCache& cache, SequenceId id, const std::vector<Token>& tokens) {
  REQUIRE(cache.open(id, tokens.size()));
  const std::size_t known = cache.reuse_prefix(id, tokens);
  cache.append(id, tokens.size() - known);
  cache.remember(id, std::span(tokens).subspan(known));
  return known;
}

}  // namespace

TEST_CASE("a sequence takes over the pages of one that began alike, running or ended", "[model]") {
  KvCache cache(small_config(), KvType::f32, 16);
  const auto tokens = text(1, 100);
  CHECK(run(cache, 1, tokens) == 0);
  CHECK(run(cache, 2, tokens) == 96);
  CHECK(cache.pages(2)[2] == cache.pages(1)[2]);
  CHECK(cache.pages(2)[3] != cache.pages(1)[3]);
  CHECK(cache.pages_used() == 5);
  cache.close(1);
  cache.close(2);
  CHECK(cache.pages_used() == 0);
  CHECK(cache.pages_kept() == 3);
  CHECK(cache.pages_available() == 16);  // what is kept is in nobody's way

  auto other = tokens;
  other[40] = 7000;  // within the second page
  CHECK(run(cache, 3, other) == 32);
  other = tokens;
  other[0] = 7000;
  CHECK(run(cache, 4, other) == 0);  // the same second page behind another first one
}

TEST_CASE("a page that is kept is not reused when it was promised to others", "[model]") {
  KvCache cache(small_config(), KvType::f32, 4);
  const auto tokens = text(1, 64);
  run(cache, 1, tokens);
  cache.close(1);
  REQUIRE(cache.open(2, 96));
  REQUIRE(cache.open(3, 0));
  CHECK(cache.reuse_prefix(3, text(1, 70)) == 32);
  CHECK(cache.pages_available() == 0);
  REQUIRE(cache.open(4, 0));
  CHECK(cache.reuse_prefix(4, text(1, 70)) == 32);  // the same page, which is held already
  cache.append(2, 96);
  CHECK(cache.pages_used() == 4);
}

TEST_CASE("the last token is always left to compute", "[model]") {
  KvCache cache(small_config(), KvType::f32, 16);
  run(cache, 1, text(1, 64));
  CHECK(run(cache, 2, text(1, 64)) == 32);
  CHECK(run(cache, 3, text(1, 65)) == 64);
  CHECK(run(cache, 4, text(1, 1)) == 0);
}

TEST_CASE("tokens that are told one by one fill pages too", "[model]") {
  KvCache cache(small_config(), KvType::f32, 16);
  const auto tokens = text(5, 70);
  REQUIRE(cache.open(1, 70));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    cache.append(1, 1);
    cache.remember(1, std::span(tokens).subspan(i, 1));
  }
  CHECK(run(cache, 2, tokens) == 64);
}

TEST_CASE("what was used longest ago makes room, from the end of a text on", "[model]") {
  KvCache cache(small_config(), KvType::f32, 6);
  run(cache, 1, text(1, 96));
  cache.close(1);
  run(cache, 2, text(1000, 64));
  cache.close(2);
  CHECK(cache.pages_kept() == 5);
  run(cache, 3, text(2000, 64));  // one fresh page, one that was kept
  cache.close(3);
  CHECK(cache.pages_kept() == 6);
  CHECK(run(cache, 4, text(1, 97)) == 64);
  cache.close(4);
  CHECK(run(cache, 5, text(2000, 65)) == 64);
  cache.close(5);
  CHECK(run(cache, 6, text(1000, 65)) == 0);  // made room for the rest of the first
}

TEST_CASE("two sequences that compute the same at the same time do not disturb each other", "[model]") {
  KvCache cache(small_config(), KvType::f32, 16);
  const auto tokens = text(1, 64);
  for (const SequenceId id : {1, 2}) {
    REQUIRE(cache.open(id, 100));
    CHECK(cache.reuse_prefix(id, tokens) == 0);
    cache.append(id, 64);
  }
  for (const SequenceId id : {1, 2}) cache.remember(id, tokens);
  cache.close(1);
  CHECK(run(cache, 3, text(1, 80)) == 64);
  cache.close(2);  // its own copies were never known
  cache.close(3);
  CHECK(cache.pages_kept() == 2);
  CHECK(cache.pages_used() == 0);
}

TEST_CASE("what is taken back makes room for others at once, and stays promised to its sequence", "[model]") {
  KvCache cache(small_config(), KvType::f32, 5);
  REQUIRE(cache.open(1, 128));
  cache.append(1, 100);
  REQUIRE(cache.open(2, 32));
  cache.truncate(1, 33);
  CHECK(cache.length(1) == 33);
  CHECK(cache.pages(1).size() == 2);
  CHECK(cache.pages_used() == 2);
  CHECK(cache.pages_available() == 0);
  CHECK_FALSE(cache.open(3, 1));
  cache.truncate(1, 32);
  CHECK(cache.pages(1).size() == 1);
  cache.append(2, 32);
  cache.append(1, 96);
  CHECK(cache.pages_used() == 5);
  cache.truncate(1, 0);
  cache.close(1);
  cache.close(2);
  CHECK(cache.pages_used() == 0);
  CHECK(cache.pages_available() == 5);
}

TEST_CASE("of what is taken back only what was promised stays promised", "[model]") {
  KvCache cache(small_config(), KvType::f32, 6);
  REQUIRE(cache.open(1, 64));
  REQUIRE(cache.open(2, 0));
  cache.append(1, 150);
  cache.append(2, 10);
  CHECK(cache.pages_available() == 0);
  cache.truncate(1, 70);
  CHECK(cache.pages_available() == 2);
  cache.truncate(1, 20);
  CHECK(cache.pages(1).size() == 1);
  CHECK(cache.pages_available() == 3);
  CHECK(cache.pages_missing(1, 44) == 0);
  CHECK(cache.pages_missing(1, 45) == 1);
  cache.truncate(2, 0);
  CHECK(cache.pages_available() == 4);
  cache.append(2, 128);
  cache.append(1, 44);
  CHECK(cache.pages_used() == 6);
  cache.close(1);
  cache.close(2);
  CHECK(cache.pages_available() == 6);
}

TEST_CASE("pages that were taken back are known to nobody, and those before them to all", "[model]") {
  KvCache cache(small_config(), KvType::f32, 16);
  const auto tokens = text(1, 100);
  REQUIRE(cache.open(1, 128));
  cache.append(1, 100);  // of which the last 60 are guesses
  cache.remember(1, std::span(tokens).first(40));
  cache.truncate(1, 40);
  CHECK(run(cache, 2, tokens) == 32);
  cache.append(1, 60);
  cache.remember(1, std::span(tokens).subspan(40, 30));
  CHECK(cache.length(1) == 100);
  CHECK(run(cache, 3, tokens) == 96);  // the second sequence's
  CHECK(cache.pages(3)[2] == cache.pages(2)[2]);
  CHECK(cache.pages(3)[0] == cache.pages(1)[0]);
}
