/* main returns while eight threads log for ever: exit_while_logging.c URL. */
#include <pthread.h>

#include "check.h"
#include "logdrive_macros.h"

static logdrive_logger *logger;
static pthread_barrier_t started;

static void *log_for_ever(void *argument) {
  (void)argument;
  pthread_barrier_wait(&started);
  for (;;) {
    (void)logdrive_logf(logger, LOGDRIVE_SEVERITY_INFO, "again");
  }
  return NULL;
}

int main(int count, char **arguments) {
  logdrive_client *client = NULL;
  pthread_t thread;
  int i;
  CHECK(count == 2);
  CHECK_CODE(logdrive_open_url(arguments[1], &client, NULL, 0), LOGDRIVE_OK);
  CHECK_CODE(logdrive_stream(client, NULL, &logger), LOGDRIVE_OK);
  CHECK(pthread_barrier_init(&started, NULL, 9) == 0);
  for (i = 0; i < 8; i++) {
    CHECK(pthread_create(&thread, NULL, log_for_ever, NULL) == 0);
  }
  pthread_barrier_wait(&started);
  return 0;
}
