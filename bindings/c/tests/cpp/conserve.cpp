// As c/conserve.c, from C++ with attributes: conserve.cpp URL WITNESS RECORDS_PER_THREAD.
#include <fcntl.h>
#include <unistd.h>

#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "../c/check.h"
#include "logdrive.hpp"

int main(int count, char **arguments) {
  CHECK(count == 4);
  const std::uint64_t records = std::stoull(arguments[3]);
  const int witness = open(arguments[2], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  CHECK(witness >= 0);
  auto client = logdrive::client::open(arguments[1]);
  CHECK(client);
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&client, records, witness, thread] {
      const logdrive::logger log = client.logger();
      for (std::uint64_t number = 0; number < records;) {
        const std::string text = std::to_string(thread) + " " + std::to_string(number);
        CHECK(log.info(text, "thread", thread, "number", number, "language", "C++") == LOGDRIVE_OK);
        ++number;
        CHECK(pwrite(witness, &number, sizeof number, static_cast<off_t>(thread * sizeof number)) ==
              sizeof number);
      }
    });
  }
  std::cout << "logging" << std::endl;
  for (std::thread &thread : threads) {
    thread.join();
  }
  CHECK(client.close(50000) == LOGDRIVE_OK);
  return 0;
}
