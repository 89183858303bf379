/* A small HTTP server, on libmicrohttpd, that logs its requests.
 *
 *   cc httpd.c -o httpd $(pkg-config --cflags --libs logdrive libmicrohttpd)
 *   ./httpd receivers://127.0.0.1:9092/access-log 8080
 *
 * SIGTERM or SIGINT ends it. */
#define _GNU_SOURCE 1
#include <logdrive_macros.h>
#include <microhttpd.h>
#include <signal.h>
#include <time.h>

static logdrive_logger *access_log;

static double seconds_since(const struct timespec *start) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static enum MHD_Result answer(void *unused, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *body,
                              size_t *body_bytes, void **request) {
  static char text[] = "hello\n";
  const unsigned status = strcmp(path, "/") == 0 ? MHD_HTTP_OK : MHD_HTTP_NOT_FOUND;
  const size_t length = status == MHD_HTTP_OK ? sizeof text - 1 : 0;
  struct timespec start;
  struct MHD_Response *response;
  enum MHD_Result queued;
  (void)unused;
  (void)version;
  (void)body;
  (void)request;
  clock_gettime(CLOCK_MONOTONIC, &start);
  *body_bytes = 0;
  response = MHD_create_response_from_buffer(length, text, MHD_RESPMEM_PERSISTENT);
  if (response == NULL) {
    LOGDRIVE_ERROR(access_log, "no memory to answer %s", path);
    return MHD_NO;
  }
  queued = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  LOGDRIVE_INFO_WITH(access_log, "request", logdrive_text("method", method), logdrive_text("path", path),
                     logdrive_signed("status", (int64_t)status), logdrive_real("seconds", seconds_since(&start)));
  return queued;
}

/* The daemon's own complaints go the same way. */
LOGDRIVE_PRINTF_(2, 0)
static void complain(void *unused, const char *format, va_list arguments) {
  (void)unused;
  (void)logdrive_vlogf(access_log, LOGDRIVE_SEVERITY_WARN, format, arguments);
}

/* What an operator should see even if no record arrives any more. */
static void on_event(const logdrive_event *event, void *unused) {
  (void)unused;
  if (event->kind == LOGDRIVE_EVENT_LOSS) {
    fprintf(stderr, "%llu log records were lost: %s\n", (unsigned long long)event->count, event->text);
  } else if (event->kind == LOGDRIVE_EVENT_RECEIVER_DOWN) {
    fprintf(stderr, "log receiver %s is down; records are kept\n", event->text);
  }
}

static logdrive_client *open_log(const char *url) {
  char error[512] = "";
  logdrive_client *client = NULL;
  logdrive_config *config = logdrive_config_new();
  if (logdrive_config_set(config, "url", url, error, sizeof error) != LOGDRIVE_OK ||
      logdrive_config_on_event(config, on_event, NULL, NULL) != LOGDRIVE_OK ||
      logdrive_open(config, &client, error, sizeof error) != LOGDRIVE_OK) {
    fprintf(stderr, "cannot log: %s\n", error);
  }
  (void)logdrive_config_free(config);
  return client;
}

int main(int count, char **arguments) {
  logdrive_client *client;
  struct MHD_Daemon *daemon;
  sigset_t ending;
  int signal_number;
  if (count != 3) {
    fprintf(stderr, "usage: httpd URL PORT\n");
    return 2;
  }
  client = open_log(arguments[1]);
  if (client == NULL) {
    return 1;
  }
  (void)logdrive_stream(client, NULL, &access_log);
  /* Blocked in the daemon's threads too, so that one place waits for them. */
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  (void)pthread_sigmask(SIG_BLOCK, &ending, NULL);
  daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ERROR_LOG, (uint16_t)atoi(arguments[2]),
                            NULL, NULL, answer, NULL, MHD_OPTION_EXTERNAL_LOGGER, complain, NULL,
                            MHD_OPTION_THREAD_POOL_SIZE, 4U, MHD_OPTION_END);
  if (daemon == NULL) {
    LOGDRIVE_FATAL(access_log, "cannot listen on port %s", arguments[2]);
    (void)logdrive_close(client, 5000);
    return 1;
  }
  printf("listening on 127.0.0.1:%u\n",
         (unsigned)MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
  fflush(stdout);
  (void)sigwait(&ending, &signal_number);
  MHD_stop_daemon(daemon);
  LOGDRIVE_INFO(access_log, "stopped");
  /* Not delivered in five seconds? Then the next start of this program sends the rest. */
  if (logdrive_close(client, 5000) != LOGDRIVE_OK) {
    fprintf(stderr, "some records are still stored\n");
  }
  return 0;
}
