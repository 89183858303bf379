// logdrive for C++17 and later: header-only over the C ABI, so that no type of the standard library
// crosses into the library. Nothing here throws, and nothing of ours is compiled into a library.
//
//   auto client = logdrive::client::open("receivers://127.0.0.1:9092/app-logs");
//   if (!client) { std::cerr << client.error() << '\n'; }
//   logdrive::logger log = client.logger();
//   log.info("request served", "path", path, "status", 200, "seconds", 0.25);
//   log.format(logdrive::severity::info, "{} of {}", done, total);       // C++20 <format>
//
// client owns: move-only, closed by its destructor. logger refers: copy it freely, pass it by value;
// one that outlives its client is safe and refuses with LOGDRIVE_CLOSED. Both may be used from any thread;
// moving from, assigning to and closing a client have to be ordered with its other uses.
#ifndef LOGDRIVE_HPP
#define LOGDRIVE_HPP

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#if defined(LOGDRIVE_USE_FMT)
#include <fmt/format.h>
#elif defined(__has_include)
#if __cplusplus >= 202002L && __has_include(<format>)
#include <format>
#endif
#endif

#include "logdrive.h"

namespace logdrive {
inline namespace v1 {

enum class severity : std::int32_t {
  trace = LOGDRIVE_SEVERITY_TRACE,
  debug = LOGDRIVE_SEVERITY_DEBUG,
  info = LOGDRIVE_SEVERITY_INFO,
  warn = LOGDRIVE_SEVERITY_WARN,
  error = LOGDRIVE_SEVERITY_ERROR,
  fatal = LOGDRIVE_SEVERITY_FATAL,
};

// What a result code means.
inline const char *message(std::int32_t code) noexcept { return logdrive_strerror(code); }

namespace detail {

inline constexpr std::size_t error_bytes = 1024;
inline constexpr std::size_t format_bytes = 1024;

inline logdrive_attribute named(std::uint32_t kind, std::string_view name) noexcept {
  logdrive_attribute attribute{};
  attribute.struct_size = static_cast<std::uint32_t>(sizeof attribute);
  attribute.kind = kind;
  attribute.name = name.data();
  attribute.name_length = name.size();
  return attribute;
}

// Booleans, numbers, enumerations, and what converts to a string_view; of a NULL pointer the empty text.
template <class Value>
logdrive_attribute attribute(std::string_view name, const Value &value) noexcept {
  if constexpr (std::is_same_v<Value, bool>) {
    logdrive_attribute made = named(LOGDRIVE_KIND_BOOLEAN, name);
    made.integer = value ? 1 : 0;
    return made;
  } else if constexpr (std::is_enum_v<Value>) {
    return attribute(name, static_cast<std::underlying_type_t<Value>>(value));
  } else if constexpr (std::is_integral_v<Value>) {
    logdrive_attribute made =
        named(std::is_signed_v<Value> ? LOGDRIVE_KIND_SIGNED : LOGDRIVE_KIND_UNSIGNED, name);
    made.integer = static_cast<std::int64_t>(value);
    return made;
  } else if constexpr (std::is_floating_point_v<Value>) {
    logdrive_attribute made = named(LOGDRIVE_KIND_REAL, name);
    made.real = static_cast<double>(value);
    return made;
  } else {
    static_assert(std::is_convertible_v<const Value &, std::string_view>,
                  "a value is a number, a bool, an enum or convertible to std::string_view");
    std::string_view text;
    if constexpr (std::is_pointer_v<Value>) {
      if (value != nullptr) {
        text = value;
      }
    } else {
      text = value;
    }
    logdrive_attribute made = named(LOGDRIVE_KIND_TEXT, name);
    made.text = text.data();
    made.text_length = text.size();
    return made;
  }
}

inline void fill(logdrive_attribute *) noexcept {}

template <class Value, class... Rest>
void fill(logdrive_attribute *next, std::string_view name, const Value &value,
          const Rest &...rest) noexcept {
  *next = attribute(name, value);
  fill(next + 1, rest...);
}

// Counts all that is written, keeps what fits.
class bounded_output {
 public:
  using iterator_category = void;
  using value_type = void;
  using difference_type = std::ptrdiff_t;
  using pointer = void;
  using reference = void;

  bounded_output() = default;
  bounded_output(char *at, std::size_t room, std::size_t *written) noexcept
      : at_(at), room_(room), written_(written) {}

  bounded_output &operator=(char c) noexcept {
    if (*written_ < room_) {
      at_[*written_] = c;
    }
    ++*written_;
    return *this;
  }
  bounded_output &operator*() noexcept { return *this; }
  bounded_output &operator++() noexcept { return *this; }
  bounded_output operator++(int) noexcept { return *this; }

 private:
  char *at_ = nullptr;
  std::size_t room_ = 0;
  std::size_t *written_ = nullptr;
};

}  // namespace detail

// Logs to one stream. A plain value that refers to its client.
class logger {
 public:
  logger() noexcept = default;
  explicit logger(logdrive_logger *handle) noexcept : handle_(handle) {}

  // Whether a record of this severity would be logged.
  bool enabled(severity level) const noexcept {
    return logdrive_enabled(handle_, static_cast<std::int32_t>(level)) != 0;
  }

  // Logs a text with names and values in turn: log.log(level, "text", "user", id, "path", path).
  // LOGDRIVE_OK means accepted, or below the level.
  template <class... NamesAndValues>
  std::int32_t log(severity level, std::string_view text,
                   const NamesAndValues &...names_and_values) const noexcept {
    static_assert(sizeof...(NamesAndValues) % 2 == 0, "every name needs a value");
    static_assert(sizeof...(NamesAndValues) / 2 <= LOGDRIVE_ATTRIBUTES_MAX, "too many attributes");
    const auto number = static_cast<std::int32_t>(level);
    if constexpr (sizeof...(NamesAndValues) == 0) {
      return logdrive_log(handle_, number, text.data(), text.size());
    } else {
      std::array<logdrive_attribute, sizeof...(NamesAndValues) / 2> attributes;
      detail::fill(attributes.data(), names_and_values...);
      return logdrive_log_with(handle_, number, text.data(), text.size(), attributes.data(),
                               attributes.size(), nullptr);
    }
  }

  // Under a key: records of one key keep one partition and their order.
  std::int32_t log_keyed(severity level, std::string_view key, std::string_view text) const noexcept {
    return logdrive_log_keyed(handle_, static_cast<std::int32_t>(level), key.data(), key.size(),
                              text.data(), text.size(), nullptr, 0, nullptr);
  }

  template <class... Rest>
  std::int32_t trace(std::string_view text, const Rest &...rest) const noexcept {
    return log(severity::trace, text, rest...);
  }
  template <class... Rest>
  std::int32_t debug(std::string_view text, const Rest &...rest) const noexcept {
    return log(severity::debug, text, rest...);
  }
  template <class... Rest>
  std::int32_t info(std::string_view text, const Rest &...rest) const noexcept {
    return log(severity::info, text, rest...);
  }
  template <class... Rest>
  std::int32_t warn(std::string_view text, const Rest &...rest) const noexcept {
    return log(severity::warn, text, rest...);
  }
  template <class... Rest>
  std::int32_t error(std::string_view text, const Rest &...rest) const noexcept {
    return log(severity::error, text, rest...);
  }
  template <class... Rest>
  std::int32_t fatal(std::string_view text, const Rest &...rest) const noexcept {
    return log(severity::fatal, text, rest...);
  }

#if defined(LOGDRIVE_USE_FMT) || defined(__cpp_lib_format)
#if defined(LOGDRIVE_USE_FMT)
  template <class... Arguments>
  using format_string = fmt::format_string<Arguments...>;
#else
  template <class... Arguments>
  using format_string = std::format_string<Arguments...>;
#endif

  // Formats straight into the ring; a text of more than 1,024 bytes is formatted twice. A formatter
  // that throws gives LOGDRIVE_INVALID_ARGUMENT; the exception goes no further.
  template <class... Arguments>
  std::int32_t format(severity level, format_string<Arguments...> format,
                      Arguments &&...arguments) const noexcept {
#if defined(LOGDRIVE_USE_FMT)
    namespace library = fmt;
#else
    namespace library = std;
#endif
    const auto number = static_cast<std::int32_t>(level);
    char *text = nullptr;
    const std::int32_t code = logdrive_claim(handle_, number, detail::format_bytes, nullptr, &text);
    if (code != LOGDRIVE_RECORD_TOO_LARGE && (code != LOGDRIVE_OK || text == nullptr)) {
      return code;
    }
    try {
      if (text != nullptr) {
        std::size_t length = 0;
        // Forwarded twice: a format refers to its arguments, it never moves from them.
        library::format_to(detail::bounded_output(text, detail::format_bytes, &length), format,
                           std::forward<Arguments>(arguments)...);
        if (length <= detail::format_bytes) {
          return logdrive_commit(handle_, text, length);
        }
        (void)logdrive_discard(handle_, std::exchange(text, nullptr));
      }
      const std::string whole = library::format(format, std::forward<Arguments>(arguments)...);
      return logdrive_log(handle_, number, whole.data(), whole.size());
    } catch (...) {
      if (text != nullptr) {
        (void)logdrive_discard(handle_, text);
      }
      return LOGDRIVE_INVALID_ARGUMENT;
    }
  }
#endif

  // For the macros of logdrive_macros.h and the C functions.
  logdrive_logger *handle() const noexcept { return handle_; }

 private:
  logdrive_logger *handle_ = nullptr;
};

// Something that happened behind the calls; valid during the callback only.
struct event {
  std::int32_t kind;      // LOGDRIVE_EVENT_*; kinds may be added
  std::string_view text;  // address, reason or process, as the kind says
  std::uint64_t first_record;
  std::uint64_t count;
};

namespace detail {

inline std::atomic<std::uint64_t> &callback_exceptions() noexcept {
  static std::atomic<std::uint64_t> count{0};
  return count;
}

template <class Callback>
struct event_target {
  static void call(const logdrive_event *told, void *callback) noexcept {
    try {
      (*static_cast<Callback *>(callback))(
          event{told->kind, told->text, told->first_record, told->count});
    } catch (...) {
      // It must not reach the library.
      callback_exceptions().fetch_add(1, std::memory_order_relaxed);
    }
  }
  static void free(void *callback) noexcept { delete static_cast<Callback *>(callback); }
};

}  // namespace detail

// Exceptions that event callbacks threw; they are swallowed.
inline std::uint64_t callback_exceptions() noexcept {
  return detail::callback_exceptions().load(std::memory_order_relaxed);
}

// Options by name and value; see docs/configuration.md.
class config {
 public:
  config() noexcept : handle_(logdrive_config_new()) {}
  ~config() { (void)logdrive_config_free(handle_); }
  config(config &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  config &operator=(config &&other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  config(const config &) = delete;
  config &operator=(const config &) = delete;

  // LOGDRIVE_OK, or a code and the reason in error().
  std::int32_t set(const char *name, const char *value) noexcept {
    return logdrive_config_set(handle_, name, value, error_.data(), error_.size());
  }
  std::int32_t load_file(const char *path) noexcept {
    return logdrive_config_load_file(handle_, path, error_.data(), error_.size());
  }
  std::int32_t load_environment() noexcept {
    return logdrive_config_load_environment(handle_, error_.data(), error_.size());
  }

  // Has `callback`, which takes a logdrive::event, told of events by each client that is opened with this; see
  // logdrive_config_on_event. A copy of it is kept until these are gone. An exception that it throws is
  // swallowed and counted in callback_exceptions(). LOGDRIVE_IO: no memory for the copy.
  template <class Callback>
  std::int32_t on_event(Callback &&callback) noexcept {
    using kept = std::decay_t<Callback>;
    static_assert(std::is_invocable_v<kept &, const event &>, "it takes a logdrive::event");
    try {
      return logdrive_config_on_event(handle_, detail::event_target<kept>::call,
                                      new kept(std::forward<Callback>(callback)),
                                      detail::event_target<kept>::free);
    } catch (...) {
      return LOGDRIVE_IO;
    }
  }

  // Why the last call failed; empty if it did not.
  const char *error() const noexcept { return error_.data(); }
  logdrive_config *handle() const noexcept { return handle_; }

 private:
  logdrive_config *handle_;
  std::array<char, detail::error_bytes> error_{};
};

// A running client. Its destructor closes it and waits five seconds at most for acknowledgements.
class client {
 public:
  static constexpr std::uint64_t close_deadline_ms = 5000;

  client() noexcept = default;
  ~client() { (void)close(close_deadline_ms); }
  client(client &&other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), code_(other.code_), error_(other.error_) {}
  client &operator=(client &&other) noexcept {
    if (this != &other) {
      (void)close(close_deadline_ms);
      handle_ = std::exchange(other.handle_, nullptr);
      code_ = other.code_;
      error_ = other.error_;
    }
    return *this;
  }
  client(const client &) = delete;
  client &operator=(const client &) = delete;

  // Test the result: `if (!client) report(client.error());`
  static client open(const char *url) noexcept {
    client opened;
    if (opened.has_our_abi()) {
      opened.code_ = logdrive_open_url(url, &opened.handle_, opened.error_.data(), opened.error_.size());
    }
    return opened;
  }
  static client open(const config &options) noexcept {
    client opened;
    if (opened.has_our_abi()) {
      opened.code_ = logdrive_open(options.handle(), &opened.handle_, opened.error_.data(),
                                   opened.error_.size());
    }
    return opened;
  }

  explicit operator bool() const noexcept { return handle_ != nullptr; }
  std::int32_t code() const noexcept { return code_; }
  const char *error() const noexcept { return error_.data(); }

  // The logger of the URL's topic, or of another stream. Where there is none it refuses every record.
  v1::logger logger(const char *stream = nullptr) const noexcept {
    logdrive_logger *found = nullptr;
    (void)logdrive_stream(handle_, stream, &found);
    return v1::logger(found);
  }

  std::int32_t set_level(severity level) const noexcept {
    return logdrive_set_level(handle_, static_cast<std::int32_t>(level));
  }
  std::int32_t flush(std::uint64_t deadline_ms) const noexcept {
    return logdrive_flush(handle_, deadline_ms);
  }
  std::int32_t stats(logdrive_stats &figures) const noexcept {
    figures.struct_size = static_cast<std::uint32_t>(sizeof figures);
    return logdrive_get_stats(handle_, &figures);
  }
  // LOGDRIVE_DEADLINE_EXCEEDED: what is left stays stored for the next process of that name.
  std::int32_t close(std::uint64_t deadline_ms) noexcept {
    return logdrive_close(std::exchange(handle_, nullptr), deadline_ms);
  }
  logdrive_client *handle() const noexcept { return handle_; }

 private:
  bool has_our_abi() noexcept {
    if (logdrive_abi_version() == LOGDRIVE_ABI_VERSION) {
      return true;
    }
    code_ = LOGDRIVE_INVALID_ARGUMENT;
    const std::string_view text = "the liblogdrive that was loaded has another ABI than logdrive.h";
    text.copy(error_.data(), error_.size() - 1);
    return false;
  }

  logdrive_client *handle_ = nullptr;
  std::int32_t code_ = LOGDRIVE_OK;
  std::array<char, detail::error_bytes> error_{};
};

}  // namespace v1
}  // namespace logdrive

#endif  // LOGDRIVE_HPP
