/* The host forks; the children end at once, and the parent's records all arrive: fork.c URL. */
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "logdrive_macros.h"

int main(int count, char **arguments) {
  logdrive_client *client = NULL;
  logdrive_logger *logger = NULL;
  int i;
  CHECK(count == 2);
  CHECK_CODE(logdrive_open_url(arguments[1], &client, NULL, 0), LOGDRIVE_OK);
  CHECK_CODE(logdrive_stream(client, NULL, &logger), LOGDRIVE_OK);
  for (i = 0; i < 20; i++) {
    int status = -1;
    pid_t child;
    CHECK_CODE(logdrive_logf(logger, LOGDRIVE_SEVERITY_INFO, "before fork %d", i), LOGDRIVE_OK);
    child = fork();
    if (child == 0) {
      _exit(7);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    CHECK_CODE(logdrive_logf(logger, LOGDRIVE_SEVERITY_INFO, "after fork %d", i), LOGDRIVE_OK);
  }
  CHECK_CODE(logdrive_close(client, 10000), LOGDRIVE_OK);
  return 0;
}
