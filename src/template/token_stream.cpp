#include "template/token_stream.hpp"

#include "base/utf8.hpp"
#include "template/budget.hpp"

namespace troupe::jinja {
namespace {

std::string shown(const Token& token) {
  switch (token.kind) {
    case Token::Kind::data: return "text";
    case Token::Kind::variable_begin: return "'{{'";
    case Token::Kind::variable_end: return "'}}'";
    case Token::Kind::block_begin: return "'{%'";
    case Token::Kind::block_end: return "'%}'";
    case Token::Kind::name:
    case Token::Kind::sign: return in_quotes(token.text, 40);
    case Token::Kind::string: return "a string";
    case Token::Kind::integer:
    case Token::Kind::floating: return "a number";
    case Token::Kind::end: return "the end of the template";
  }
  return "";
}

}  // namespace

bool TokenStream::skip(std::string_view sign) {
  if (!sees(sign)) return false;
  take();
  return true;
}

bool TokenStream::skip_name(std::string_view name) {
  if (!sees_name(name)) return false;
  take();
  return true;
}

void TokenStream::expect(std::string_view sign) {
  if (!skip(sign)) unexpected("'" + std::string(sign) + "'");
}

void TokenStream::expect_name(std::string_view name) {
  if (!skip_name(name)) unexpected("'" + std::string(name) + "'");
}

void TokenStream::expect(Token::Kind kind, const char* what) {
  if (current().kind != kind) unexpected(what);
  take();
}

std::string TokenStream::take_name() {
  if (current().kind != Token::Kind::name) unexpected("a name");
  return take().text;
}

Symbol TokenStream::symbol(const std::string& name) {
  const auto [found, is_new] = symbols_.emplace(name, static_cast<Symbol>(names_.size()));
  if (is_new) names_.push_back(name);
  return found->second;
}

void TokenStream::unexpected(const std::string& wanted) const {
  fail_at(current().line, "expected " + wanted + ", found " + shown(current()));
}

TokenStream::Level::Level(TokenStream& tokens) : tokens_(tokens) {
  if (tokens_.depth_ == parse_depth_max) too_deep(tokens_.current().line);
  ++tokens_.depth_;
}

void TokenStream::too_deep(std::uint32_t line) {
  fail_at(line, "it nests too deep", Errc::too_large);
}

}  // namespace troupe::jinja
