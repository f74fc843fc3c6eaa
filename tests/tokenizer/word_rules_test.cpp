// The hand-written word rules against PCRE2, which reads the regular expressions themselves.

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

#include <memory>
#include <random>

#include "base/utf8.hpp"
#include "tests/support/catch.hpp"
#include "tokenizer/characters.hpp"
#include "tokenizer/pre_tokenizer.hpp"

using namespace troupe;

namespace {

using Words = std::vector<std::string>;

/// A regular expression in PCRE2's syntax. In place of \s and \S it has ⟨s⟩ inside of brackets, since \s is
/// not the property White_Space there (U+180E is in it).
class Pattern {
 public:
  explicit Pattern(std::string text) {
    const std::string mark = "⟨s⟩";
    for (std::size_t at; (at = text.find(mark)) != std::string::npos;) {
      text.replace(at, mark.size(), "\\x09-\\x0d\\x20\\x{85}\\p{Z}");
    }
    int error = 0;
    PCRE2_SIZE where = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY, &error, &where, nullptr));
    INFO(text << " at " << where);
    REQUIRE(code_ != nullptr);
    match_.reset(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
  }

  /// The matches in `text`, and what stands between them.
  Words split(const std::string& text) const {
    Words words;
    std::size_t done = 0;
    const auto add = [&](std::size_t end) {
      if (end > done) words.push_back(text.substr(done, end - done));
      done = end;
    };
    while (done < text.size()) {
      // Each part stands alone: nothing in front of it may be looked at.
      const std::string rest = text.substr(done);
      const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(rest.data()), rest.size(), 0, 0,
                                    match_.get(), nullptr);
      if (found == PCRE2_ERROR_NOMATCH) break;
      REQUIRE(found > 0);
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match_.get());
      REQUIRE(range[0] < range[1]);
      const std::size_t base = done;
      add(base + range[0]);
      add(base + range[1]);
    }
    add(text.size());
    return words;
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  };
  std::unique_ptr<pcre2_code, Free> code_;
  std::unique_ptr<pcre2_match_data, Free> match_;
};

const std::string any_contraction = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const std::string spaces = "[⟨s⟩]*[\\r\\n]+|[⟨s⟩]+(?![^⟨s⟩])|[⟨s⟩]+";
const std::string upper = "(?:(?=\\p{L})[^a-z])";
const std::string lower = "(?:(?=\\p{L})[^A-Z])";
const std::string gpt2 =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^⟨s⟩\\p{L}\\p{N}]+|[⟨s⟩]+(?![^⟨s⟩])|[⟨s⟩]+";
const std::string gpt4_marks = " ?[^⟨s⟩\\p{L}\\p{N}]+[\\r\\n]*|" + spaces;
const std::string o200k_marks = " ?[^⟨s⟩\\p{L}\\p{N}]+[\\r\\n/]*|" + spaces;
const std::string llama3 = any_contraction + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" + gpt4_marks;
const std::string qwen2 = any_contraction + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" + gpt4_marks;
const std::string east_asian = "(?:(?![⟨s⟩])[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}])+";

struct Expected {
  const char* name;
  std::vector<std::string> patterns;
};

/// The pre-tokenizers by their expressions; the cased letters of deepseek-llm are below.
const std::vector<Expected>& expectations() {
  static const std::vector<Expected> all = {
      {"gpt-2", {gpt2}},
      {"mpt", {gpt2}},
      {"default", {"[\\p{P}$+<=>^~|]+", gpt2, "\\p{N}+", "[0-9][0-9][0-9]"}},
      {"falcon", {"[\\p{P}$+<=>^~|`]+", gpt2, "[0-9][0-9][0-9]"}},
      {"smollm", {"\\p{N}", gpt2}},
      {"starcoder", {"\\p{N}", gpt2}},
      {"refact", {"\\p{N}", gpt2}},
      {"command-r", {"\\p{N}", gpt2}},
      {"llama-bpe", {llama3}},
      {"dbrx", {llama3}},
      {"qwen2", {qwen2}},
      {"deepseek-r1-qwen", {qwen2}},
      {"glm4", {llama3}},
      {"seed-coder",
       {any_contraction + "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^⟨s⟩\\p{L}\\p{N}\\r\\n]+|" + spaces}},
      {"hunyuan-dense",
       {"\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
        " ?[\\p{P}\\p{S}]+[\\r\\n]*|" +
            spaces}},
      {"viking", {" ?[^(⟨s⟩|.,!?…。，、।۔،)]+", "\\p{N}"}},
      {"qwen35",
       {any_contraction +
        "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^⟨s⟩\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" + spaces}},
      {"deepseek-coder", {"[\\r\\n]", "[⟨s⟩]?\\p{L}+", "[⟨s⟩]?\\p{P}+", east_asian, "\\p{N}"}},
      {"tekken",
       {"[^\\r\\n\\p{L}\\p{N}]?" + upper + "*" + lower + "+|[^\\r\\n\\p{L}\\p{N}]?" + upper + "+" + lower +
        "*|\\p{N}|" + o200k_marks}},
      {"gpt-4o",
       {"[^\\r\\n\\p{L}\\p{N}]?" + upper + "*" + lower + "+" + any_contraction + "?|[^\\r\\n\\p{L}\\p{N}]?" +
        upper + "+" + lower + "*" + any_contraction + "?|\\p{N}{1,3}|" + o200k_marks}},
  };
  return all;
}

Words words_of(const PreTokenizer& pre, std::string_view text) {
  Words words;
  for_each_word(pre, text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

Words split_by_all(const std::vector<Pattern>& patterns, const std::string& text) {
  Words words = {text};
  for (const Pattern& pattern : patterns) {
    Words next;
    for (const std::string& word : words) {
      for (std::string& part : pattern.split(word)) next.push_back(std::move(part));
    }
    words = std::move(next);
  }
  return words;
}

const PreTokenizer& pre_tokenizer(std::string_view name) {
  const auto found = find_pre_tokenizer(name);
  if (!found) FAIL(found.error().message);
  return **found;
}

/// The libraries are of different versions of Unicode: whether all know the character.
bool is_known_to_all(char32_t code) {
  // Behind an 'a', which the pattern does not match: known characters stand apart from it.
  static const Pattern known("[^\\p{Cn}a]");
  return kind_of(code) != kind::other && known.split('a' + utf8_encode(code)).size() == 2 &&
         utf8proc_category(static_cast<utf8proc_int32_t>(code)) != UTF8PROC_CATEGORY_CN;
}

/// Texts out of what the expressions tell apart, and of any characters.
std::string random_text(std::mt19937& random) {
  static const std::vector<std::string> parts = {
      "'s", "'S",   "'re",    "'Ve",    "'lL",    "'",      "a",      "Z",      "é",      "É",      "ß",
      "ǅ",  "ʰ",    "語",     "の",     "ए",      "\u093F", "1",      "22",     "4444",   "²",      "Ⅷ",
      "٣",  " ",    "  ",     "\t",     "\n",     "\r\n",   "\u00A0", "\u3000", "\u2028", "\u0085", "\u180E",
      ".",  "!!",   "$",      "<=>",    "^~|`",   "/",      "//",     "-",      "_",      "“",      "。",
      "，", "🙂", "\u200D", "\u0301", "\u007F", "\uFFFD", "가",     "ABC",    "abc",    "Abc",    "aBC",
      "ÀÉ", "àé",   "𐐀",      "𝟎",      "ſ",      "ὼ"};
  std::string text;
  for (auto length = 1 + random() % 16; length > 0; --length) {
    if (random() % 4 != 0) {
      text += parts[random() % parts.size()];
      continue;
    }
    const auto code = static_cast<char32_t>(random() % (random() % 2 == 0 ? 0x3000 : 0x30000));
    if ((code < 0xD800 || code >= 0xE000) && is_known_to_all(code)) text += utf8_encode(code);
  }
  return text;
}

}  // namespace

TEST_CASE("characters are of the kinds that utf8proc gives them", "[tokenizer]") {
  std::size_t compared = 0;
  std::size_t different = 0;
  for (char32_t code = 0; code < 0x110000; ++code) {
    const char* category = utf8proc_category_string(static_cast<utf8proc_int32_t>(code));
    const bool is_space = (code >= 9 && code <= 13) || code == 0x85 || category[0] == 'Z';
    const CharKinds expected = is_space             ? kind::space
                               : category[0] == 'L' ? kind::letter
                               : category[0] == 'M' ? kind::mark
                               : category[0] == 'N' ? kind::number
                               : category[0] == 'P' ? kind::punctuation
                               : category[0] == 'S' ? kind::symbol
                                                    : kind::other;
    // Characters that one of the two does not know are assigned in another version of Unicode.
    if (kind_of(code) == kind::other || expected == kind::other) continue;
    ++compared;
    if (kind_of(code) != expected) ++different;
  }
  CHECK(compared > 149'000);
  CHECK(different <= 5);  // versions of Unicode correct a category now and then
}

TEST_CASE("control and unassigned characters, and the newest scripts, are what Unicode 15.1 says",
          "[tokenizer]") {
  for (const char32_t code : {0x00, 0x7F, 0xAD, 0x378, 0x180E, 0x200B, 0xE000, 0xFEFF, 0x1C89, 0x10FFFF}) {
    INFO(static_cast<unsigned>(code));
    CHECK(kind_of(code) == kind::other);
  }
  CHECK(kind_of(0x2FFC) == kind::symbol);   // since 15.1
  CHECK(kind_of(0x2EBF0) == kind::letter);  // since 15.1
  CHECK(kind_of(0x2EE5D) == kind::letter);
  CHECK(kind_of(0x2EE5E) == kind::other);
}

TEST_CASE("bytes that are no UTF-8 are one unknown character for each maximal invalid prefix",
          "[tokenizer]") {
  const Character c = character_at("a\xE2\x96z", 1);
  CHECK(c.code == U'\uFFFD');
  CHECK(c.kind == kind::symbol);
  CHECK(c.bytes == 2);
  CHECK(character_at("a", 1).bytes == 0);
  CHECK(words_of(pre_tokenizer("gpt-2"), "a\xFF\xFE b") == Words{"a", "\xFF\xFE", " b"});
}

TEST_CASE("every pre-tokenizer cuts random Unicode text where PCRE2 does", "[tokenizer]") {
  for (const Expected& expected : expectations()) {
    const PreTokenizer& pre = pre_tokenizer(expected.name);
    const std::vector<Pattern> patterns(expected.patterns.begin(), expected.patterns.end());
    std::mt19937 random(3);
    std::size_t wrong = 0;
    for (int round = 0; round < 3000 && wrong < 3; ++round) {
      const std::string text = random_text(random);
      const Words words = words_of(pre, text);
      const Words right = split_by_all(patterns, text);
      if (words == right) continue;
      ++wrong;
      INFO(expected.name << ": " << printable(text, 1000));
      CHECK(words == right);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("deepseek-llm takes newlines, cased words, punctuation, last spaces and East Asian runs apart",
          "[tokenizer]") {
  const PreTokenizer& pre = pre_tokenizer("deepseek-llm");
  CHECK(words_of(pre, "a\n\nb") == Words{"a", "\n", "\n", "b"});
  CHECK(words_of(pre, "ÀÉ àé") == Words{"ÀÉ", " àé"});
  CHECK(words_of(pre, "héllo") == Words{"h", "é", "llo"});  // the rule for punctuation has letters in it
  CHECK(words_of(pre, "12345x") == Words{"12345", "x"});
  CHECK(words_of(pre, "中文，和。") == Words{"中文", "，", "和", "。"});
  CHECK(words_of(pre, "a  b  ") == Words{"a", " ", " b", "  "});
  // The last range of the East Asian rule begins at U+0800.
  CHECK(words_of(pre, "ǅ ʰ \u2126\u212A") == Words{"ǅ", " ʰ", " ", "\u2126\u212A"});
}

TEST_CASE("words that add up to the text come from every pre-tokenizer and any bytes", "[tokenizer]") {
  std::mt19937 random(5);
  for (const char* name : {"gpt-2", "default", "llama-bpe", "qwen35", "falcon", "smollm", "deepseek-llm",
                           "deepseek-coder", "deepseek-v3", "seed-coder", "viking", "tekken", "gpt-4o"}) {
    const PreTokenizer& pre = pre_tokenizer(name);
    for (int round = 0; round < 500; ++round) {
      std::string text;
      for (auto length = random() % 60; length > 0; --length) text += static_cast<char>(random() % 256);
      std::string whole;
      for (const std::string& word : words_of(pre, text)) {
        CHECK(!word.empty());
        whole += word;
      }
      CHECK(whole == text);
    }
  }
}

TEST_CASE("a pre-tokenizer that is not known is refused by its name", "[tokenizer]") {
  const auto refused = find_pre_tokenizer("quux\n");
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Errc::unsupported);
  CHECK(refused.error().message.find("tokenizer.ggml.pre is 'quux\\n'") != std::string::npos);
  CHECK(refused.error().message.find("llama-bpe") != std::string::npos);
  CHECK(find_pre_tokenizer("").ok());
}
