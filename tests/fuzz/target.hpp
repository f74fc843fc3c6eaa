#pragma once
// What libFuzzer calls, and what standalone.cpp calls where there is no libFuzzer.

#include <cstddef>
#include <cstdint>
#include <span>

/// Must not crash, whatever the bytes are. Returns 0.
// NOLINTNEXTLINE(readability-identifier-naming): the name that libFuzzer looks for
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
