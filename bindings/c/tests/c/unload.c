/* dlopen, log from a thread, dlclose, and only then the thread ends: unload.c LIBRARY URL TURNS. */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "check.h"
#include "logdrive.h"

typedef int32_t (*open_function)(const char *, logdrive_client **, char *, size_t);
typedef int32_t (*stream_function)(logdrive_client *, const char *, logdrive_logger **);
typedef int32_t (*log_function)(logdrive_logger *, int32_t, const char *, size_t);
typedef int32_t (*close_function)(logdrive_client *, uint64_t);

static pthread_barrier_t logged, unloaded;

struct work {
  log_function log;
  logdrive_logger *logger;
};

static void *log_and_stay(void *argument) {
  const struct work *work = argument;
  CHECK(work->log(work->logger, LOGDRIVE_SEVERITY_INFO, "x", 1) == LOGDRIVE_OK);
  pthread_barrier_wait(&logged);
  pthread_barrier_wait(&unloaded);
  return NULL;
}

/* ISO C has no cast from an object's pointer to a function's. */
static void find(void *library, const char *name, void *function) {
  void *found = dlsym(library, name);
  CHECK(found != NULL);
  memcpy(function, &found, sizeof found);
}

static void turn(const char *path, const char *url) {
  open_function open;
  stream_function stream;
  close_function close;
  struct work work;
  logdrive_client *client = NULL;
  pthread_t thread;
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  CHECK(library != NULL);
  find(library, "logdrive_open_url", &open);
  find(library, "logdrive_stream", &stream);
  find(library, "logdrive_log", &work.log);
  find(library, "logdrive_close", &close);
  CHECK(open(url, &client, NULL, 0) == LOGDRIVE_OK);
  CHECK(stream(client, NULL, &work.logger) == LOGDRIVE_OK);
  CHECK(pthread_create(&thread, NULL, log_and_stay, &work) == 0);
  pthread_barrier_wait(&logged);
  CHECK(close(client, 10000) == LOGDRIVE_OK);
  CHECK(dlclose(library) == 0);
  pthread_barrier_wait(&unloaded);
  CHECK(pthread_join(thread, NULL) == 0);
}

int main(int count, char **arguments) {
  int i;
  CHECK(count == 4);
  CHECK(pthread_barrier_init(&logged, NULL, 2) == 0 && pthread_barrier_init(&unloaded, NULL, 2) == 0);
  for (i = 0; i < atoi(arguments[3]); i++) {
    turn(arguments[1], arguments[2]);
  }
  return 0;
}
