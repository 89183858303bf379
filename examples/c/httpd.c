/* A small HTTP server that logs its requests.
 *
 *   cc httpd.c -o httpd $(pkg-config --cflags --libs logdrive) -pthread
 *   ./httpd receivers://127.0.0.1:9092/access-log 8080
 *
 * One thread per connection, one request per connection. SIGTERM or SIGINT ends it. */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <errno.h>
#include <logdrive_macros.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static logdrive_logger *access_log;
static volatile sig_atomic_t stopping;

static void stop(int signal) {
  (void)signal;
  stopping = 1;
}

static double seconds_since(const struct timespec *start) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void answer(int connection) {
  static const char found[] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
  static const char unknown[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  char request[2048];
  char method[16] = "";
  char path[1024] = "";
  struct timespec start;
  int status;
  const ssize_t length = recv(connection, request, sizeof request - 1, 0);
  clock_gettime(CLOCK_MONOTONIC, &start);
  request[length > 0 ? length : 0] = '\0';
  if (sscanf(request, "%15s %1023s", method, path) != 2) {
    LOGDRIVE_WARN(access_log, "no request in %zd bytes", length);
    return;
  }
  status = strcmp(path, "/") == 0 ? 200 : 404;
  if (send(connection, status == 200 ? found : unknown,
           status == 200 ? sizeof found - 1 : sizeof unknown - 1, MSG_NOSIGNAL) < 0) {
    LOGDRIVE_ERROR(access_log, "cannot answer %s: %s", path, strerror(errno));
  }
  LOGDRIVE_INFO_WITH(access_log, "request", logdrive_text("method", method), logdrive_text("path", path),
                     logdrive_signed("status", status), logdrive_real("seconds", seconds_since(&start)));
}

static void *serve(void *argument) {
  const int connection = (int)(intptr_t)argument;
  answer(connection);
  close(connection);
  return NULL;
}

static int listen_on(uint16_t port) {
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  const int on = 1;
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 64) != 0 ||
      getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
    perror("cannot listen");
    exit(1);
  }
  printf("listening on 127.0.0.1:%u\n", (unsigned)ntohs(address.sin_port));
  fflush(stdout);
  return listener;
}

int main(int count, char **arguments) {
  char error[512];
  logdrive_client *client = NULL;
  struct sigaction action;
  int listener;
  if (count != 3) {
    fprintf(stderr, "usage: httpd URL PORT\n");
    return 2;
  }
  if (logdrive_open_url(arguments[1], &client, error, sizeof error) != LOGDRIVE_OK) {
    fprintf(stderr, "cannot log: %s\n", error);
    return 1;
  }
  logdrive_stream(client, NULL, &access_log);
  /* Without SA_RESTART, so that accept ends. */
  memset(&action, 0, sizeof action);
  action.sa_handler = stop;
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  listener = listen_on((uint16_t)atoi(arguments[2]));
  while (!stopping) {
    pthread_t thread;
    const int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0) {
      if (errno != EINTR) {
        LOGDRIVE_ERROR(access_log, "cannot accept: %s", strerror(errno));
      }
    } else if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)connection) != 0) {
      LOGDRIVE_ERROR(access_log, "cannot start a thread");
      close(connection);
    } else {
      pthread_detach(thread);
    }
  }
  LOGDRIVE_INFO(access_log, "stopped");
  /* Not delivered in five seconds? Then the next start of this program sends the rest. */
  if (logdrive_close(client, 5000) != LOGDRIVE_OK) {
    fprintf(stderr, "some records are still stored\n");
  }
  return 0;
}
