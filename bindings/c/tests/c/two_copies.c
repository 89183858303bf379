/* Two copies of the library in one process, under one name, in each other's way at every step: two_copies.c URL
 * LIBRARY OTHER_LIBRARY RECORDS. Each copy opens and closes while the other one logs. */
#include <dlfcn.h>
#include <string.h>

#include "check.h"
#include "logdrive.h"

struct copy {
  int32_t (*open)(const char *, logdrive_client **, char *, size_t);
  int32_t (*stream)(logdrive_client *, const char *, logdrive_logger **);
  int32_t (*log)(logdrive_logger *, int32_t, const char *, size_t);
  int32_t (*close)(logdrive_client *, uint64_t);
  logdrive_client *client;
  logdrive_logger *logger;
};

/* ISO C has no cast from an object's pointer to a function's. */
static void find(void *library, const char *name, void *function) {
  void *found = dlsym(library, name);
  CHECK(found != NULL);
  memcpy(function, &found, sizeof found);
}

static void load(struct copy *copy, const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  CHECK(library != NULL);
  find(library, "logdrive_open_url", &copy->open);
  find(library, "logdrive_stream", &copy->stream);
  find(library, "logdrive_log", &copy->log);
  find(library, "logdrive_close", &copy->close);
}

static void open_copy(struct copy *copy, const char *url) {
  CHECK(copy->open(url, &copy->client, NULL, 0) == LOGDRIVE_OK);
  CHECK(copy->stream(copy->client, NULL, &copy->logger) == LOGDRIVE_OK);
}

static void log_some(struct copy *copy, int records) {
  int i;
  for (i = 0; i < records; i++) {
    CHECK(copy->log(copy->logger, LOGDRIVE_SEVERITY_INFO, "of a copy", 9) == LOGDRIVE_OK);
  }
}

int main(int count, char **arguments) {
  struct copy copies[2];
  int records, turn;
  CHECK(count == 5);
  load(&copies[0], arguments[2]);
  load(&copies[1], arguments[3]);
  CHECK(copies[0].open != copies[1].open);
  records = atoi(arguments[4]);
  open_copy(&copies[0], arguments[1]);
  for (turn = 0; turn < 4; turn++) {
    struct copy *const old = &copies[turn % 2];
    struct copy *const fresh = &copies[(turn + 1) % 2];
    log_some(old, records);
    open_copy(fresh, arguments[1]);
    log_some(old, records);
    log_some(fresh, records);
    CHECK(old->close(old->client, 40000) == LOGDRIVE_OK);
  }
  CHECK(copies[0].close(copies[0].client, 40000) == LOGDRIVE_OK);
  return 0;
}
