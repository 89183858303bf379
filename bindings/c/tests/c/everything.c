/* Every way to log, from four threads: everything.c URL RECORDS_PER_THREAD. Prints what was accepted. */
#include <pthread.h>

#include "check.h"
#include "logdrive_macros.h"

static logdrive_client *client;
static int records;

static void claimed(logdrive_logger *logger) {
  char *text = NULL;
  CHECK_CODE(logdrive_claim(logger, LOGDRIVE_SEVERITY_INFO, 64, NULL, &text), LOGDRIVE_OK);
  CHECK(text != NULL);
  memcpy(text, "claimed", 7);
  CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, "between", 7), LOGDRIVE_REENTRANT);
  CHECK_CODE(logdrive_commit(logger, text, 65), LOGDRIVE_INVALID_ARGUMENT);
  CHECK_CODE(logdrive_commit(logger, text + 1, 7), LOGDRIVE_INVALID_ARGUMENT);
  CHECK_CODE(logdrive_commit(logger, text, 7), LOGDRIVE_OK);
  CHECK_CODE(logdrive_commit(logger, text, 7), LOGDRIVE_INVALID_ARGUMENT);
  CHECK_CODE(logdrive_claim(logger, LOGDRIVE_SEVERITY_INFO, 64, NULL, &text), LOGDRIVE_OK);
  CHECK_CODE(logdrive_discard(logger, text), LOGDRIVE_OK);
}

/* Eight records per turn. */
static void *log_all(void *argument) {
  logdrive_logger *logger = NULL;
  logdrive_logger *other = NULL;
  char longer[3000];
  int i;
  (void)argument;
  memset(longer, 'x', sizeof longer - 1);
  longer[sizeof longer - 1] = 0;
  CHECK_CODE(logdrive_stream(client, NULL, &logger), LOGDRIVE_OK);
  CHECK_CODE(logdrive_stream(client, "other", &other), LOGDRIVE_OK);
  for (i = 0; i < records; i += 8) {
    CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, "plain\0text", 10), LOGDRIVE_OK);
    CHECK_CODE(logdrive_logf(other, LOGDRIVE_SEVERITY_WARN, "%d of %d", i, records), LOGDRIVE_OK);
    CHECK_CODE(logdrive_logf(logger, LOGDRIVE_SEVERITY_INFO, "%s", longer), LOGDRIVE_OK);
    LOGDRIVE_INFO(logger, "macro %d", i);
    LOGDRIVE_ERROR_WITH(logger, "attributes", logdrive_text("text", "value"),
                        logdrive_signed("signed", -i), logdrive_unsigned("unsigned", UINT64_MAX),
                        logdrive_real("real", 0.5), logdrive_boolean("boolean", 1));
    CHECK_CODE(logdrive_log_keyed(logger, LOGDRIVE_SEVERITY_FATAL, "key", 3, "keyed", 5, NULL, 0, NULL),
               LOGDRIVE_OK);
    claimed(logger);
    CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, NULL, 0), LOGDRIVE_OK);
  }
  return NULL;
}

int main(int count, char **arguments) {
  char error[512] = "unset";
  char json[4096];
  size_t needed = 0;
  pthread_t threads[4];
  logdrive_logger *logger = NULL;
  logdrive_stats stats = {0};
  int i;
  logdrive_config *config = logdrive_config_new();
  CHECK(count == 3 && config != NULL);
  CHECK(logdrive_abi_version() == LOGDRIVE_ABI_VERSION);
  records = atoi(arguments[2]);
  CHECK_CODE(logdrive_config_set(config, "url", arguments[1], error, sizeof error), LOGDRIVE_OK);
  CHECK(error[0] == 0);
  CHECK_CODE(logdrive_open(config, &client, error, sizeof error), LOGDRIVE_OK);
  CHECK_CODE(logdrive_config_free(config), LOGDRIVE_OK);
  for (i = 0; i < 4; i++) {
    CHECK(pthread_create(&threads[i], NULL, log_all, NULL) == 0);
  }
  for (i = 0; i < 4; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
  }
  CHECK_CODE(logdrive_stream(client, NULL, &logger), LOGDRIVE_OK);
  CHECK_CODE(logdrive_set_level(client, LOGDRIVE_SEVERITY_ERROR), LOGDRIVE_OK);
  CHECK(logdrive_enabled(logger, LOGDRIVE_SEVERITY_ERROR) == 1);
  CHECK(logdrive_enabled(logger, LOGDRIVE_SEVERITY_WARN) == 0);
  CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_WARN, "below", 5), LOGDRIVE_OK);
  CHECK_CODE(logdrive_logf(logger, LOGDRIVE_SEVERITY_WARN, "below"), LOGDRIVE_OK);
  CHECK_CODE(logdrive_flush(client, 30000), LOGDRIVE_OK);
  stats.struct_size = sizeof stats;
  CHECK_CODE(logdrive_get_stats(client, &stats), LOGDRIVE_OK);
  CHECK(stats.accepted == 4u * (unsigned)records);
  if (stats.delivered != stats.accepted || stats.stored != 0) {
    (void)logdrive_get_stats_json(client, json, sizeof json, NULL);
    (void)fprintf(stderr, "delivered %llu, stored %llu, and a moment later %s\n",
                  (unsigned long long)stats.delivered, (unsigned long long)stats.stored, json);
  }
  CHECK(stats.delivered == stats.accepted && stats.stored == 0 && stats.dropped == 0);
  CHECK(stats.receivers_connected >= 1 && stats.panics == 0);
  CHECK_CODE(logdrive_get_stats_json(client, NULL, 0, &needed), LOGDRIVE_RECORD_TOO_LARGE);
  CHECK(needed > 2 && needed <= sizeof json);
  CHECK_CODE(logdrive_get_stats_json(client, json, needed - 1, NULL), LOGDRIVE_RECORD_TOO_LARGE);
  CHECK(json[0] == 0);
  CHECK_CODE(logdrive_get_stats_json(client, json, needed, NULL), LOGDRIVE_OK);
  CHECK(strlen(json) == needed - 1 && json[0] == '{' && strstr(json, "\"receivers\":[{") != NULL);
  CHECK_CODE(logdrive_close(client, 30000), LOGDRIVE_OK);
  CHECK_CODE(logdrive_close(client, 0), LOGDRIVE_CLOSED);
  CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_ERROR, "late", 4), LOGDRIVE_CLOSED);
  printf("%llu\n", (unsigned long long)stats.accepted);
#ifdef PROVE_SANITIZER
  /* Must be found: reads one byte behind the block. */
  {
    volatile char *block = (volatile char *)malloc(8);
    volatile int at = 8;
    printf("%d\n", block[at]);
  }
#endif
#ifdef PROVE_LEAK
  {
    volatile char *leaked = (volatile char *)malloc(4321);
    leaked[0] = 1;
    leaked = NULL;
  }
#endif
  return 0;
}
