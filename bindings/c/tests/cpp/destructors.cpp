// Records of destructors that run when thread-locals, threads and the program end: destructors.cpp URL. The client
// is never closed by hand: the handler at exit flushes.
#include <thread>

#include "../c/check.h"
#include "logdrive.hpp"

namespace {

logdrive::logger shared_log;

struct last_words {
  explicit last_words(const char *text) noexcept : text_(text) {}
  last_words(const last_words &) = delete;
  last_words &operator=(const last_words &) = delete;
  ~last_words() { CHECK(shared_log.warn(text_, "where", "destructor") == LOGDRIVE_OK); }

 private:
  const char *text_;
};

const last_words of_the_program("static");
thread_local const last_words of_a_thread("thread-local");

}  // namespace

int main(int count, char **arguments) {
  CHECK(count == 2);
  // Never destroyed, as what static destructors still use has to be.
  static auto *const client = new logdrive::client(logdrive::client::open(arguments[1]));
  CHECK(*client);
  shared_log = client->logger();
  // Touched, and so made, in three threads and in main.
  for (int i = 0; i < 3; ++i) {
    std::thread([] {
      (void)&of_a_thread;
      CHECK(shared_log.info("thread") == LOGDRIVE_OK);
    }).join();
  }
  (void)&of_a_thread;
  CHECK(shared_log.info("main") == LOGDRIVE_OK);
  return 0;
}
