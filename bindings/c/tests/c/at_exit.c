/* Records of main and of an atexit handler, neither flushed nor closed: at_exit.c URL. */
#include "check.h"
#include "logdrive_macros.h"

static logdrive_logger *logger;

static void log_last(void) { CHECK_CODE(logdrive_logf(logger, LOGDRIVE_SEVERITY_INFO, "last"), LOGDRIVE_OK); }

int main(int count, char **arguments) {
  logdrive_client *client = NULL;
  CHECK(count == 2);
  CHECK_CODE(logdrive_open_url(arguments[1], &client, NULL, 0), LOGDRIVE_OK);
  CHECK_CODE(logdrive_stream(client, NULL, &logger), LOGDRIVE_OK);
  /* Registered after ours, so it runs before it. */
  CHECK(atexit(log_last) == 0);
  CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, "first", 5), LOGDRIVE_OK);
  return 0;
}
