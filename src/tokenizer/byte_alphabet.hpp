#pragma once
// The characters that stand for bytes in the vocabularies of byte-level BPE.

#include <string>
#include <string_view>

namespace troupe {

/// Appends to `bytes` what `spelling` stands for by GPT-2's alphabet: '!'..'~', U+00A1..U+00AC and
/// U+00AE..U+00FF are the bytes of these numbers, and U+0100, U+0101, … are the 68 others in order (so that
/// "Ġ", U+0120, is the space). False where a character is none of these; `bytes` is then of no use.
bool append_spelled_bytes(std::string& bytes, std::string_view spelling);

}  // namespace troupe
