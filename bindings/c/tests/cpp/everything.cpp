// The C++ header's types: everything.cpp URL. Prints how many records were accepted.
#include "logdrive.hpp"

#include <string>
#include <thread>
#include <vector>

#include "../c/check.h"
#include "logdrive_macros.h"

namespace {

enum class color : unsigned char { red = 3 };

#if defined(LOGDRIVE_USE_FMT) || defined(__cpp_lib_format)
#define HAS_FORMAT 1
struct throws {};
#elif defined(NEEDS_FORMAT)
#error "this compiler was chosen for its <format>"
#endif

void moves(const char *url) {
  static_assert(!std::is_copy_constructible_v<logdrive::client>);
  static_assert(std::is_nothrow_move_constructible_v<logdrive::client>);
  static_assert(std::is_trivially_copyable_v<logdrive::logger>);
  logdrive::config options;
  CHECK(options.set("linger", "soon") == LOGDRIVE_CONFIGURATION);
  CHECK(std::string(options.error()).find("soon") != std::string::npos);
  CHECK(options.set("url", url) == LOGDRIVE_OK && options.error()[0] == '\0');
  logdrive::config moved_options = std::move(options);
  logdrive::client first = logdrive::client::open(moved_options);
  CHECK(first);
  const logdrive::logger log = first.logger();
  logdrive::client second = std::move(first);
  CHECK(second && !first);
  CHECK(log.info("still open") == LOGDRIVE_OK);
  CHECK(second.close(10000) == LOGDRIVE_OK);
  CHECK(!second && log.info("closed") == LOGDRIVE_CLOSED);
  CHECK(logdrive::logger().info("nowhere") == LOGDRIVE_INVALID_ARGUMENT);
  CHECK(!logdrive::client::open("nonsense"));
}

}  // namespace

#if defined(LOGDRIVE_USE_FMT)
template <>
struct fmt::formatter<throws> : fmt::formatter<int> {
  template <class Context>
  auto format(throws, Context &) const -> typename Context::iterator {
    throw 1;
  }
};
#elif defined(HAS_FORMAT)
template <>
struct std::formatter<throws> : std::formatter<int> {
  // A template, since the output is whatever the library formats into.
  template <class Context>
  auto format(throws, Context &) const -> typename Context::iterator {
    throw 1;
  }
};
#endif

int main(int count, char **arguments) {
  CHECK(count == 2);
  moves(arguments[1]);
  logdrive::client client = logdrive::client::open(arguments[1]);
  CHECK(client);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&client] {
      const logdrive::logger log = client.logger("cpp");
      const std::string owned = "owned";
      const char *nothing = nullptr;
      for (int i = 0; i < 100; ++i) {
        CHECK(log.warn(std::string_view("plain\0text", 10)) == LOGDRIVE_OK);
        CHECK(log.info("values", "i", i, "s", owned, "literal", "l", "view", std::string_view("v"),
                       "yes", true, "real", 0.5F, "big", ~0ULL, "enum", color::red, "none",
                       nothing) == LOGDRIVE_OK);
        CHECK(log.log_keyed(logdrive::severity::error, "key", owned) == LOGDRIVE_OK);
        LOGDRIVE_INFO(log.handle(), "macro %d", i);
      }
#if defined(HAS_FORMAT)
      using logdrive::severity;
      CHECK(log.format(severity::info, "{} and {}", 1, owned) == LOGDRIVE_OK);
      CHECK(log.format(severity::info, "{}", std::string(5000, 'x')) == LOGDRIVE_OK);
      CHECK(log.format(severity::info, "{}", throws{}) == LOGDRIVE_INVALID_ARGUMENT);
      CHECK(log.info("after the exception") == LOGDRIVE_OK);
#endif
    });
  }
  for (std::thread &thread : threads) {
    thread.join();
  }
  CHECK(client.flush(30000) == LOGDRIVE_OK);
  logdrive_stats figures{};
  CHECK(client.stats(figures) == LOGDRIVE_OK);
  CHECK(figures.accepted == figures.delivered && figures.accepted >= 1600);
  std::printf("%llu\n", static_cast<unsigned long long>(figures.accepted));
  return 0;
}
