#include "model/kv_cache.hpp"

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

TEST_CASE("a fork shares full pages and copies the one that it goes on writing", "[model]") {
  KvCache cache(small_config(), KvType::f32, 8);
  REQUIRE(cache.open(1, 96));
  cache.append(1, 70);
  REQUIRE(cache.fork(2, 1, 40, 96));
  CHECK(cache.length(2) == 40);
  CHECK(cache.pages(2)[0] == cache.pages(1)[0]);
  CHECK(cache.pages(2)[1] != cache.pages(1)[1]);
  CHECK(cache.pages_used() == 4);  // three of the parent, one copy
  cache.close(1);
  CHECK(cache.pages_used() == 2);  // the shared one stays
  cache.append(2, 50);
  CHECK(cache.pages_used() == 3);
  cache.close(2);
  CHECK(cache.pages_used() == 0);
  CHECK(cache.pages_available() == 8);
}

TEST_CASE("many forks and closes in any order leave the cache empty", "[model]") {
  KvCache cache(small_config(), KvType::f16, 64);
  REQUIRE(cache.open(1, 100));
  cache.append(1, 70);
  for (SequenceId id = 2; id < 12; ++id) {
    REQUIRE(cache.fork(id, id - 1, 70 - 3 * id, 110));
    cache.append(id, 3 * id);
  }
  for (SequenceId id = 1; id < 12; ++id) cache.close(id * 7 % 11 + 1);
  CHECK(cache.pages_used() == 0);
  CHECK(cache.pages_available() == 64);
}

TEST_CASE("a fork that does not fit changes nothing", "[model]") {
  KvCache cache(small_config(), KvType::f32, 4);
  REQUIRE(cache.open(1, 64));
  cache.append(1, 64);
  CHECK_FALSE(cache.fork(2, 1, 64, 160));
  CHECK_FALSE(cache.contains(2));
  CHECK(cache.pages_available() == 2);
  CHECK(cache.fork(2, 1, 64, 128));
}
