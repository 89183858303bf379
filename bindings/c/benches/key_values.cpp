// What a call with three key-value pairs costs in C++: key_values.cpp URL. Bursts of 64 with a pause, each call timed.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

#include "../tests/c/check.h"
#include "logdrive.hpp"
#include "logdrive_macros.h"

namespace {

using ticks = std::uint64_t;

ticks now() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  return static_cast<ticks>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

template <class Call>
void measure(const char *name, Call call) {
  constexpr int bursts = 2000;
  constexpr int burst_calls = 64;
  std::vector<ticks> samples;
  samples.reserve(bursts * burst_calls);
  const auto start = std::chrono::steady_clock::now();
  const ticks first = now();
  for (int burst = 0; burst < bursts; ++burst) {
    for (int i = 0; i < burst_calls; ++i) {
      const ticks before = now();
      call(i);
      samples.push_back(now() - before);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  }
  const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
  const double nanoseconds_per_tick = taken.count() / static_cast<double>(now() - first);
  std::sort(samples.begin(), samples.end());
  const auto at = [&](double share) {
    return static_cast<double>(samples[static_cast<std::size_t>(share * static_cast<double>(samples.size() - 1))]) *
           nanoseconds_per_tick;
  };
  std::printf("%-44s p50 %4.0f  p90 %4.0f  p99 %5.0f ns\n", name, at(0.5), at(0.9), at(0.99));
}

}  // namespace

int main(int count, char **arguments) {
  CHECK(count == 2);
  auto client = logdrive::client::open(arguments[1]);
  CHECK(client);
  const logdrive::logger log = client.logger();
  const std::string_view path = "/cart/checkout";
  measure("nothing: the timer alone", [](int) {});
  measure("log.info, no pairs", [&](int) { (void)log.info("request served"); });
  measure("log.info, 3 pairs (limit 60)", [&](int i) {
    (void)log.info("request served", "path", path, "status", 200 + i, "cached", true);
  });
  measure("LOGDRIVE_INFO_WITH, 3 pairs and its place", [&](int i) {
    LOGDRIVE_INFO_WITH(log.handle(), "request served", logdrive_bytes("path", path.data(), path.size()),
                       logdrive_signed("status", 200 + i), logdrive_boolean("cached", 1));
  });
  logdrive_stats figures{};
  CHECK(client.stats(figures) == LOGDRIVE_OK && figures.refused == 0);
  (void)client.close(20000);
  return 0;
}
