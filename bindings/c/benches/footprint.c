/* What opening a client costs a program: footprint.c URL. Prints time of open, threads, resident memory. */
#include <time.h>

#include "../tests/c/check.h"
#include "logdrive_macros.h"

#define OPENS 21
#define RECORDS 200000

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* A number of /proc/self/status. */
static long status(const char *name) {
  char line[256];
  long value = -1;
  FILE *const file = fopen("/proc/self/status", "r");
  CHECK(file != NULL);
  while (fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, name, strlen(name)) == 0) {
      value = atol(line + strlen(name) + 1);
    }
  }
  fclose(file);
  return value;
}

static int compare(const void *left, const void *right) {
  const double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

static void row(const char *when, long threads) {
  printf("%-44s %2ld threads, %6ld KiB anonymous, %6ld KiB shared\n", when, status("Threads:") - threads,
         status("RssAnon:"), status("RssShmem:"));
}

int main(int count, char **arguments) {
  double opened[OPENS];
  logdrive_client *client = NULL;
  logdrive_logger *logger = NULL;
  char error[512];
  long threads = 0;
  int i;
  CHECK(count == 2);
  threads = status("Threads:");
  row("before", threads);
  for (i = 0; i < OPENS; i++) {
    const double start = milliseconds();
    CHECK_CODE(logdrive_open_url(arguments[1], &client, error, sizeof error), LOGDRIVE_OK);
    opened[i] = milliseconds() - start;
    if (i + 1 < OPENS) {
      CHECK_CODE(logdrive_close(client, 5000), LOGDRIVE_OK);
    }
  }
  row("a client is open", threads);
  CHECK_CODE(logdrive_stream(client, NULL, &logger), LOGDRIVE_OK);
  for (i = 0; i < RECORDS; i++) {
    while (logdrive_logf(logger, LOGDRIVE_SEVERITY_INFO, "%0200d", i) == LOGDRIVE_RING_FULL) {
      struct timespec pause = {0, 200000};
      nanosleep(&pause, NULL);
    }
  }
  CHECK_CODE(logdrive_flush(client, 60000), LOGDRIVE_OK);
  row("200,000 records of 200 B later", threads);
  CHECK_CODE(logdrive_close(client, 5000), LOGDRIVE_OK);
  row("closed", threads);
  qsort(opened, OPENS, sizeof opened[0], compare);
  printf("open: first to last of %d in order %.2f .. %.2f ms, median %.2f ms (limit 5)\n", OPENS, opened[0],
         opened[OPENS - 1], opened[OPENS / 2]);
  return 0;
}
