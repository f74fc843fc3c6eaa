#pragma once
// Early return of an Error: the one place where a macro beats repeating three lines.

#define TROUPE_CONCAT_INNER(a, b) a##b
#define TROUPE_CONCAT(a, b) TROUPE_CONCAT_INNER(a, b)

/// `TROUPE_TRY(auto x, f());` declares x from f()'s Result, or returns its Error from this function.
#define TROUPE_TRY(declaration, expression)                                                          \
  auto TROUPE_CONCAT(result_, __LINE__) = (expression);                                              \
  if (!TROUPE_CONCAT(result_, __LINE__)) return std::move(TROUPE_CONCAT(result_, __LINE__)).error(); \
  declaration = *std::move(TROUPE_CONCAT(result_, __LINE__))

/// `TROUPE_TRY_STATUS(f());` returns f()'s Error from this function, if it has one.
#define TROUPE_TRY_STATUS(expression) \
  if (auto status_ = (expression); !status_) return std::move(status_).error()
