// A small HTTP server that logs its requests, in C++17.
//
//   c++ -std=c++17 httpd.cpp -o httpd $(pkg-config --cflags --libs logdrive) -pthread
//   ./httpd receivers://127.0.0.1:9092/access-log 8080
//
// A few workers accept, each answers one request per connection. SIGTERM or SIGINT ends it.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <logdrive.hpp>
#include <string_view>
#include <thread>
#include <vector>

namespace {

volatile std::sig_atomic_t stopping = 0;

extern "C" void stop(int) { stopping = 1; }

// What lies before the first `end`, which is taken off `text` with it.
std::string_view take_until(std::string_view &text, char end) {
  const std::string_view word = text.substr(0, text.find(end));
  text.remove_prefix(word.size() < text.size() ? word.size() + 1 : word.size());
  return word;
}

void answer(int connection, logdrive::logger log) {
  const auto start = std::chrono::steady_clock::now();
  std::array<char, 2048> buffer;
  const ssize_t length = recv(connection, buffer.data(), buffer.size(), 0);
  std::string_view request(buffer.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  const std::string_view method = take_until(request, ' ');
  const std::string_view path = take_until(request, ' ');
  const int status = path == "/" ? 200 : 404;
  const std::string_view reply =
      status == 200 ? "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n"
                    : "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  if (send(connection, reply.data(), reply.size(), MSG_NOSIGNAL) < 0) {
    log.error("cannot answer", "path", path);
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  log.info("request", "method", method, "path", path, "status", status, "seconds", taken.count());
}

void work(int listener, logdrive::logger log) {
  pollfd ready{listener, POLLIN, 0};
  while (stopping == 0) {
    // The listener does not block: of several workers that wake, one gets the connection.
    if (poll(&ready, 1, 100) > 0) {
      const int connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection >= 0) {
        answer(connection, log);
        close(connection);
      }
    }
  }
}

int listen_on(std::uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  sockaddr_in address{};
  socklen_t size = sizeof address;
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto *const generic = reinterpret_cast<sockaddr *>(&address);
  if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(listener, generic, size) != 0 || listen(listener, 64) != 0 ||
      getsockname(listener, generic, &size) != 0) {
    std::perror("cannot listen");
    std::exit(1);
  }
  std::printf("listening on 127.0.0.1:%u\n", static_cast<unsigned>(ntohs(address.sin_port)));
  std::fflush(stdout);
  return listener;
}

}  // namespace

int main(int count, char **arguments) {
  if (count != 3) {
    std::fprintf(stderr, "usage: httpd URL PORT\n");
    return 2;
  }
  logdrive::client client = logdrive::client::open(arguments[1]);
  if (!client) {
    std::fprintf(stderr, "cannot log: %s\n", client.error());
    return 1;
  }
  const logdrive::logger log = client.logger();
  std::signal(SIGTERM, stop);
  std::signal(SIGINT, stop);
  const int listener = listen_on(static_cast<std::uint16_t>(std::atoi(arguments[2])));
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back(work, listener, log);
  }
  for (std::thread &worker : workers) {
    worker.join();
  }
  log.info("stopped");
  // Not delivered in five seconds? Then the next start of this program sends the rest.
  if (client.close(5000) != LOGDRIVE_OK) {
    std::fprintf(stderr, "some records are still stored\n");
  }
  return 0;
}
