// A small HTTP server, on cpp-httplib, that logs its requests, in C++17.
//
//   c++ -std=c++17 httpd.cpp -o httpd $(pkg-config --cflags --libs logdrive cpp-httplib) -pthread
//   ./httpd receivers://127.0.0.1:9092/access-log 8080
//
// SIGTERM or SIGINT ends it.
#include <httplib.h>

#include <csignal>
#include <iostream>
#include <logdrive.hpp>
#include <string>
#include <thread>

int main(int count, char **arguments) {
  if (count != 3) {
    std::cerr << "usage: httpd URL PORT\n";
    return 2;
  }
  // Before any thread starts, so that all inherit it and one place waits for the signals.
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);

  logdrive::config options;
  options.on_event([](const logdrive::event &event) {
    if (event.kind == LOGDRIVE_EVENT_LOSS) {
      std::cerr << event.count << " log records were lost: " << event.text << '\n';
    } else if (event.kind == LOGDRIVE_EVENT_RECEIVER_DOWN) {
      std::cerr << "log receiver " << event.text << " is down; records are kept\n";
    }
  });
  if (options.set("url", arguments[1]) != LOGDRIVE_OK) {
    std::cerr << "cannot log: " << options.error() << '\n';
    return 1;
  }
  logdrive::client client = logdrive::client::open(options);
  if (!client) {
    std::cerr << "cannot log: " << client.error() << '\n';
    return 1;
  }
  const logdrive::logger log = client.logger();

  httplib::Server server;
  server.Get("/", [](const httplib::Request &, httplib::Response &response) {
    response.set_content("hello\n", "text/plain");
  });
  server.set_logger([log](const httplib::Request &request, const httplib::Response &response) {
    log.info("request", "method", request.method, "path", request.path, "status", response.status,
             "bytes", response.body.size());
  });
  const int wanted = std::stoi(arguments[2]);
  const int port = wanted == 0 ? server.bind_to_any_port("127.0.0.1") : wanted;
  if (port < 0 || (wanted != 0 && !server.bind_to_port("127.0.0.1", wanted))) {
    log.fatal("cannot listen", "port", arguments[2]);
    return 1;
  }
  std::thread serving([&server] { server.listen_after_bind(); });
  std::cout << "listening on 127.0.0.1:" << port << std::endl;
  int signal_number = 0;
  (void)sigwait(&ending, &signal_number);
  server.stop();
  serving.join();
  log.info("stopped");
  // Not delivered in five seconds? Then the next start of this program sends the rest.
  if (client.close(5000) != LOGDRIVE_OK) {
    std::cerr << "some records are still stored\n";
  }
  return 0;
}
