/* Threads open, configure, log and close while the program forks, and each child does all of that too: fork_storm.c
 * URL CHILDREN RECORDS_PER_CHILD. A child that waits for a lock which nobody holds any more is killed by its alarm.
 * Prints how many records children were told are accepted. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "logdrive_macros.h"

static const char *url;
static logdrive_client *client;
static volatile sig_atomic_t stopping;

static void *change_the_table(void *unused) {
  (void)unused;
  while (!stopping) {
    logdrive_logger *logger = NULL;
    logdrive_config *config = logdrive_config_new();
    CHECK_CODE(logdrive_config_set(config, "url", url, NULL, 0), LOGDRIVE_OK);
    CHECK_CODE(logdrive_stream(client, "noise", &logger), LOGDRIVE_OK);
    CHECK_CODE(logdrive_config_free(config), LOGDRIVE_OK);
    /* The parent's rings may be full of it; what matters is that forks catch it in the middle. */
    (void)logdrive_logf(logger, LOGDRIVE_SEVERITY_TRACE, "noise");
  }
  return NULL;
}

static void *open_and_close(void *unused) {
  (void)unused;
  while (!stopping) {
    logdrive_client *other = NULL;
    CHECK_CODE(logdrive_open_url(url, &other, NULL, 0), LOGDRIVE_OK);
    /* What it took over from others is sent by the next one. */
    (void)logdrive_close(other, 0);
  }
  return NULL;
}

static void log_all(logdrive_client *from, const char *stream, int records) {
  logdrive_logger *logger = NULL;
  int32_t code;
  int i;
  while ((code = logdrive_stream(from, stream, &logger)) == LOGDRIVE_STARTING) {
    sched_yield();
  }
  CHECK_CODE(code, LOGDRIVE_OK);
  for (i = 0; i < records; i++) {
    while ((code = logdrive_logf(logger, LOGDRIVE_SEVERITY_INFO, "child %d", i)) == LOGDRIVE_STARTING) {
      sched_yield();
    }
    CHECK_CODE(code, LOGDRIVE_OK);
  }
}

static void be_a_child(int records) {
  logdrive_client *own = NULL;
  logdrive_config *config = logdrive_config_new();
  alarm(50);
  CHECK_CODE(logdrive_config_set(config, "url", url, NULL, 0), LOGDRIVE_OK);
  CHECK_CODE(logdrive_open(config, &own, NULL, 0), LOGDRIVE_OK);
  CHECK_CODE(logdrive_config_free(config), LOGDRIVE_OK);
  log_all(own, NULL, records);
  CHECK_CODE(logdrive_close(own, 40000), LOGDRIVE_OK);
  /* The inherited client too. */
  log_all(client, NULL, records);
  CHECK_CODE(logdrive_close(client, 40000), LOGDRIVE_OK);
  _exit(0);
}

int main(int count, char **arguments) {
  pthread_t threads[3];
  int children, records, i;
  CHECK(count == 4);
  url = arguments[1];
  children = atoi(arguments[2]);
  records = atoi(arguments[3]);
  CHECK_CODE(logdrive_open_url(url, &client, NULL, 0), LOGDRIVE_OK);
  CHECK(pthread_create(&threads[0], NULL, change_the_table, NULL) == 0);
  CHECK(pthread_create(&threads[1], NULL, change_the_table, NULL) == 0);
  CHECK(pthread_create(&threads[2], NULL, open_and_close, NULL) == 0);
  for (i = 0; i < children; i++) {
    int status = -1;
    const pid_t child = fork();
    if (child == 0) {
      be_a_child(records);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  stopping = 1;
  for (i = 0; i < 3; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
  CHECK_CODE(logdrive_close(client, 50000), LOGDRIVE_OK);
  printf("%d\n", children * records * 2);
  return 0;
}
