#pragma once
// Errc as boost::system::error_code, for Asio's handlers and whoever else trades in those. Boost ≥ 1.81,
// headers only.

#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/error_condition.hpp>
#include <string>
#include <type_traits>

#include "troupe/error.hpp"

namespace troupe {

namespace detail {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"  // Boost's base has none; categories are never deleted
class ErrorCategory final : public boost::system::error_category {
 public:
  // The number makes copies of the category in several shared libraries equal.
  constexpr ErrorCategory() noexcept : error_category(0x7a3d'51c0'9e64'f2b7ULL) {}

  const char* name() const noexcept override { return "troupe"; }

  std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::bad_argument: return "an option or request field is out of its range";
      case Errc::bad_file: return "the file is broken or of another format";
      case Errc::unsupported: return "Troupe lacks what was asked for";
      case Errc::io: return "the operating system refused";
      case Errc::too_large: return "it needs more memory than its budget";
      case Errc::context_exceeded: return "the prompt does not fit the context";
      case Errc::queue_full: return "the queue is full";
      case Errc::draining: return "the engine is stopping";
      case Errc::cancelled: return "cancelled";
      case Errc::deadline: return "the deadline has passed";
      case Errc::fault: return "the engine had a fault";
      case Errc::reader_stalled: return "the stream's reader has stopped reading";
    }
    return "error " + std::to_string(code) + " of Troupe";
  }

  /// So that programs can compare with boost::system::errc instead of knowing Errc.
  boost::system::error_condition default_error_condition(int code) const noexcept override {
    namespace errc = boost::system::errc;
    switch (static_cast<Errc>(code)) {
      case Errc::bad_argument: return errc::make_error_condition(errc::invalid_argument);
      case Errc::unsupported: return errc::make_error_condition(errc::not_supported);
      case Errc::io: return errc::make_error_condition(errc::io_error);
      case Errc::too_large: return errc::make_error_condition(errc::not_enough_memory);
      case Errc::context_exceeded: return errc::make_error_condition(errc::message_size);
      case Errc::queue_full: return errc::make_error_condition(errc::resource_unavailable_try_again);
      case Errc::cancelled: return errc::make_error_condition(errc::operation_canceled);
      case Errc::reader_stalled:
      case Errc::deadline: return errc::make_error_condition(errc::timed_out);
      case Errc::bad_file:
      case Errc::draining:
      case Errc::fault: break;
    }
    return {code, *this};
  }
};
#pragma GCC diagnostic pop

}  // namespace detail

/// The category of Errc's numbers; its name is "troupe".
inline const boost::system::error_category& error_category() noexcept {
  static constexpr detail::ErrorCategory category;
  return category;
}

inline boost::system::error_code make_error_code(Errc code) noexcept {
  return {static_cast<int>(code), error_category()};
}

}  // namespace troupe

namespace boost::system {
template <>
struct is_error_code_enum<troupe::Errc> : std::true_type {};
}  // namespace boost::system
