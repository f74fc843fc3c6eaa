#pragma once
// Substring check that Catch2 2 and 3 spell alike and that shows the whole text when it fails.

#include <string>
#include <string_view>

#include "tests/support/catch.hpp"

#define CHECK_HAS(text, part)                                                   \
  do {                                                                          \
    const std::string whole_text(text); /* a copy: `text` may be a temporary */ \
    CAPTURE(whole_text);                                                        \
    CHECK(whole_text.find(std::string_view(part)) != std::string::npos);        \
  } while (false)
