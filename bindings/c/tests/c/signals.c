/* A handler logs while its thread logs: every record is accepted or refused as reentrant: signals.c URL. */
#include <pthread.h>
#include <signal.h>

#include "check.h"
#include "logdrive_macros.h"

static logdrive_logger *logger;
static volatile sig_atomic_t wrong, handled;

static void handler(int signal) {
  const int32_t code = logdrive_log(logger, LOGDRIVE_SEVERITY_WARN, "handler", 7);
  (void)signal;
  handled = handled + 1;
  if (code != LOGDRIVE_OK && code != LOGDRIVE_REENTRANT) {
    wrong = code;
  }
}

static void *storm(void *thread) {
  int i;
  for (i = 0; i < 5000; i++) {
    (void)pthread_kill(*(const pthread_t *)thread, SIGUSR1);
  }
  return NULL;
}

int main(int count, char **arguments) {
  logdrive_client *client = NULL;
  struct sigaction action;
  pthread_t self = pthread_self();
  pthread_t other;
  int i;
  CHECK(count == 2);
  CHECK_CODE(logdrive_open_url(arguments[1], &client, NULL, 0), LOGDRIVE_OK);
  CHECK_CODE(logdrive_stream(client, NULL, &logger), LOGDRIVE_OK);
  CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, "first", 5), LOGDRIVE_OK);
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
  CHECK(pthread_create(&other, NULL, storm, &self) == 0);
  for (i = 0; i < 200000; i++) {
    (void)logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, "interrupted", 11);
  }
  CHECK(pthread_join(other, NULL) == 0);
  CHECK(handled > 0 && wrong == 0);
  CHECK_CODE(logdrive_close(client, 30000), LOGDRIVE_OK);
  return 0;
}
