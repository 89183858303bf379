/* A host with default signal dispositions under a limit: limits.c URL WAY RECORDS. Prints how many were accepted.
 *
 * The limit holds from before the library is opened, or from then on; it is lifted before the last flush, which must
 * succeed. Any signal that reaches us kills us: no handler is installed, nothing is ignored. */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"
#include "logdrive.h"

static char text[2000];

static void limit(int resource, rlim_t value) {
  struct rlimit now;
  CHECK(getrlimit((unsigned)resource, &now) == 0);
  now.rlim_cur = value < now.rlim_max ? value : now.rlim_max;
  CHECK(setrlimit((unsigned)resource, &now) == 0);
}

/* The limit of a way, and what it is lifted to. */
static void set_limit(const char *way, int lifted) {
  if (strstr(way, "fsize") != NULL) {
    limit(RLIMIT_FSIZE, lifted ? RLIM_INFINITY : 16 * 1024);
  } else if (strstr(way, "nofile") != NULL) {
    limit(RLIMIT_NOFILE, lifted ? 1024 : 4);
  } else if (strstr(way, "memlock") != NULL) {
    limit(RLIMIT_MEMLOCK, lifted ? RLIM_INFINITY : 0);
  } else {
    CHECK(strcmp(way, "resets") == 0);
  }
}

/* Our threads block everything but what is synchronous, or cannot be blocked. */
static int check_masks(void) {
  static const int open_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP, SIGKILL, SIGSTOP};
  struct dirent *entry;
  int found = 0;
  DIR *tasks = opendir("/proc/self/task");
  CHECK(tasks != NULL);
  while ((entry = readdir(tasks)) != NULL) {
    char path[300], line[200], name[100] = "";
    unsigned long long blocked = 0, expected = ~0ULL;
    size_t i;
    FILE *status;
    (void)snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
    status = fopen(path, "r");
    if (status == NULL) {
      continue; /* "." and "..", or a thread that has ended */
    }
    while (fgets(line, sizeof line, status) != NULL) {
      (void)sscanf(line, "Name: %99s", name);
      (void)sscanf(line, "SigBlk: %llx", &blocked);
    }
    (void)fclose(status);
    if (strncmp(name, "logdrive", 8) != 0) {
      continue;
    }
    for (i = 0; i < sizeof open_signals / sizeof *open_signals; i++) {
      expected &= ~(1ULL << (open_signals[i] - 1));
    }
    /* 32 and 33 are glibc's own, which nobody can block. */
    expected &= ~(3ULL << 31);
    CHECK((blocked & ~(3ULL << 31)) == expected);
    found++;
  }
  (void)closedir(tasks);
  return found;
}

int main(int count, char **arguments) {
  logdrive_client *client = NULL;
  logdrive_logger *logger = NULL;
  const char *way;
  long i, wanted, accepted = 0;
  int32_t code;
  CHECK(count == 4);
  way = arguments[2];
  wanted = atol(arguments[3]);
  memset(text, 'x', sizeof text);
  if (strstr(way, "later") == NULL) {
    set_limit(way, 0);
  }
  code = logdrive_open_url(arguments[1], &client, NULL, 0);
  if (code != LOGDRIVE_OK) {
    /* An error that says so is allowed; then the library must work once the limit is gone. */
    CHECK(strstr(way, "later") == NULL && strcmp(way, "resets") != 0);
    set_limit(way, 1);
    CHECK(logdrive_open_url(arguments[1], &client, NULL, 0) == LOGDRIVE_OK);
  }
  CHECK(logdrive_stream(client, NULL, &logger) == LOGDRIVE_OK);
  set_limit(way, 0);
  for (i = 0; i < wanted; i++) {
    code = logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, text, sizeof text);
    CHECK(code == LOGDRIVE_OK || code == LOGDRIVE_RING_FULL);
    accepted += code == LOGDRIVE_OK;
    if (i % 64 == 0) {
      (void)usleep(1000);
    }
  }
  set_limit(way, 1);
  CHECK(logdrive_flush(client, 60000) == LOGDRIVE_OK);
  /* Behind the flush: before it a thread may not have run far enough to have its name. */
  CHECK(check_masks() >= 2);
  CHECK(logdrive_close(client, 60000) == LOGDRIVE_OK);
  (void)printf("%ld\n", accepted);
  return 0;
}
