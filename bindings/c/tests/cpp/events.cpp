// The event callback from C++: events.cpp URL. The receiver of the URL is killed by the test when told to; see
// tests/programs.rs. The callback throws each time, logs, and asks for figures.
#include <chrono>
#include <condition_variable>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "../c/check.h"
#include "logdrive.hpp"

namespace {

struct told {
  std::mutex lock;
  std::condition_variable changed;
  int up = 0;
  int down = 0;
  logdrive::logger log;

  void wait_for(const int &count) {
    std::unique_lock<std::mutex> held(lock);
    CHECK(changed.wait_for(held, std::chrono::seconds(50), [&] { return count > 0; }));
  }
};

}  // namespace

int main(int count, char **arguments) {
  CHECK(count == 2);
  const auto seen = std::make_shared<told>();
  const std::weak_ptr<told> watched = seen;
  {
    logdrive::config options;
    CHECK(options.set("url", arguments[1]) == LOGDRIVE_OK);
    CHECK(options.on_event([seen](const logdrive::event &event) {
      const std::lock_guard<std::mutex> held(seen->lock);
      CHECK(!event.text.empty());
      seen->up += event.kind == LOGDRIVE_EVENT_RECEIVER_UP;
      seen->down += event.kind == LOGDRIVE_EVENT_RECEIVER_DOWN;
      (void)seen->log.warn(event.text);
      seen->changed.notify_all();
      throw 1;
    }) == LOGDRIVE_OK);
    auto client = logdrive::client::open(options);
    CHECK(client);
    {
      const std::lock_guard<std::mutex> held(seen->lock);
      seen->log = client.logger();
    }
    // Our threads start with the first record. A thread that logged keeps the client until it ends.
    std::thread([&client] { CHECK(client.logger().info("the first") == LOGDRIVE_OK); }).join();
    seen->wait_for(seen->up);
    CHECK(client.flush(20000) == LOGDRIVE_OK);
    std::cout << "up" << std::endl;
    seen->wait_for(seen->down);
    logdrive_stats figures{};
    CHECK(client.stats(figures) == LOGDRIVE_OK && figures.panics == 0 && figures.events_lost == 0);
    (void)client.close(0);
  }
  CHECK(logdrive::callback_exceptions() >= 2);
  // Configuration and client are gone, and what the callback kept with them, once its thread has ended.
  for (int i = 0; watched.use_count() > 1; ++i) {
    CHECK(i < 5000);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return 0;
}
