#include "tools/near_name.hpp"

#include <vector>

#include "tests/support/catch.hpp"

using troupe::tools::near_name;

TEST_CASE("a slip finds the name that was meant, a guess finds none", "[tools]") {
  const std::vector<std::string> names = {"chat", "generate", "tokenize", "train"};
  CHECK(near_name("genrate", names) == "generate");
  CHECK(near_name("tokenise", names) == "tokenize");
  CHECK(near_name("chta", names) == "chat");
  CHECK(near_name("trains", names) == "train");
  CHECK(near_name("serve", names).empty());
  CHECK(near_name("c", names).empty());
  CHECK(near_name("", names).empty());
  CHECK(near_name("chat", {}).empty());
}
