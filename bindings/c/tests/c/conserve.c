/* Four threads log "THREAD NUMBER" in order: conserve.c URL WITNESS RECORDS_PER_THREAD. After each accepted record
 * its thread's count is written to the witness, which outlives a kill. Prints "logging" first. */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "check.h"
#include "logdrive_macros.h"

static logdrive_logger *logger;
static uint64_t records;
static int witness;

static void *log_all(void *argument) {
  const unsigned thread = (unsigned)(uintptr_t)argument;
  uint64_t number;
  for (number = 0; number < records;) {
    CHECK_CODE(logdrive_logf(logger, LOGDRIVE_SEVERITY_INFO, "%u %llu", thread, (unsigned long long)number),
               LOGDRIVE_OK);
    number++;
    CHECK(pwrite(witness, &number, sizeof number, (off_t)(thread * sizeof number)) == sizeof number);
  }
  return NULL;
}

int main(int count, char **arguments) {
  logdrive_client *client = NULL;
  char error[512];
  pthread_t threads[4];
  uintptr_t i;
  CHECK(count == 4);
  records = strtoull(arguments[3], NULL, 10);
  witness = open(arguments[2], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  CHECK(witness >= 0);
  CHECK_CODE(logdrive_open_url(arguments[1], &client, error, sizeof error), LOGDRIVE_OK);
  CHECK_CODE(logdrive_stream(client, NULL, &logger), LOGDRIVE_OK);
  for (i = 0; i < 4; i++) {
    CHECK(pthread_create(&threads[i], NULL, log_all, (void *)i) == 0);
  }
  printf("logging\n");
  fflush(stdout);
  for (i = 0; i < 4; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
  CHECK_CODE(logdrive_close(client, 50000), LOGDRIVE_OK);
  return 0;
}
