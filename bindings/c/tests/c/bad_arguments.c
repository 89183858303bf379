/* Every function with every kind of bad argument gives a code: bad_arguments.c URL. */
#include "check.h"
#include "logdrive_macros.h"

#define INVALID LOGDRIVE_INVALID_ARGUMENT

static char error[256];
static logdrive_config *config;
static logdrive_client *client;
static logdrive_logger *logger;

static int freed;

static void count_freed(void *user_data) {
  CHECK(user_data == &freed);
  freed++;
}

static void told(const logdrive_event *event, void *user_data) {
  CHECK(event->struct_size >= sizeof *event && event->text != NULL && user_data == &freed);
}

static void callbacks(void) {
  CHECK_CODE(logdrive_config_on_event(NULL, told, &freed, count_freed), INVALID);
  CHECK_CODE(logdrive_config_on_event((logdrive_config *)(void *)&freed, told, &freed, count_freed), INVALID);
  CHECK(freed == 2);
  CHECK_CODE(logdrive_config_on_event(config, told, &freed, count_freed), LOGDRIVE_OK);
  CHECK(freed == 2);
  /* Replaced, then taken back: each is freed when nobody can call it any more. */
  CHECK_CODE(logdrive_config_on_event(config, told, &freed, NULL), LOGDRIVE_OK);
  CHECK(freed == 3);
  CHECK_CODE(logdrive_config_on_event(config, told, &freed, count_freed), LOGDRIVE_OK);
  CHECK_CODE(logdrive_config_on_event(config, NULL, NULL, NULL), LOGDRIVE_OK);
  CHECK(freed == 4);
  CHECK_CODE(logdrive_config_on_event(config, NULL, &freed, count_freed), LOGDRIVE_OK);
  CHECK(freed == 5);
}

static void configuration(const char *url) {
  logdrive_client *none = NULL;
  char small[8];
  config = logdrive_config_new();
  callbacks();
  CHECK_CODE(logdrive_config_set(NULL, "name", "x", error, sizeof error), INVALID);
  CHECK_CODE(logdrive_config_set(config, NULL, "x", error, sizeof error), INVALID);
  CHECK(strstr(error, "name is NULL") != NULL);
  CHECK_CODE(logdrive_config_set(config, "name", NULL, error, sizeof error), INVALID);
  CHECK_CODE(logdrive_config_set(config, "name", "\xff\xfe", error, sizeof error), INVALID);
  CHECK(strstr(error, "UTF-8") != NULL);
  CHECK_CODE(logdrive_config_set(config, "", "", error, sizeof error), LOGDRIVE_CONFIGURATION);
  CHECK_CODE(logdrive_config_set(config, "lingr", "5ms", error, sizeof error), LOGDRIVE_CONFIGURATION);
  CHECK(strstr(error, "did you mean `linger`") != NULL);
  CHECK_CODE(logdrive_config_set(config, "linger", "soon", error, sizeof error), LOGDRIVE_CONFIGURATION);
  CHECK_CODE(logdrive_config_set(config, "linger", "soon", NULL, 99), LOGDRIVE_CONFIGURATION);
  CHECK_CODE(logdrive_config_set(config, "linger", "soon", small, 0), LOGDRIVE_CONFIGURATION);
  CHECK_CODE(logdrive_config_set(config, "linger", "soon", small, sizeof small), LOGDRIVE_CONFIGURATION);
  CHECK(strlen(small) == sizeof small - 1);
  CHECK_CODE(logdrive_config_load_file(config, NULL, error, sizeof error), INVALID);
  CHECK_CODE(logdrive_config_load_file(config, "/no/such/file", error, sizeof error), LOGDRIVE_CONFIGURATION);
  CHECK_CODE(logdrive_config_load_file(NULL, "/dev/null", error, sizeof error), INVALID);
  CHECK_CODE(logdrive_config_load_file(config, "/dev/null", error, sizeof error), LOGDRIVE_OK);
  CHECK_CODE(logdrive_config_load_environment(NULL, error, sizeof error), INVALID);
  CHECK_CODE(logdrive_config_load_environment(config, error, sizeof error), LOGDRIVE_OK);
  CHECK_CODE(logdrive_open(config, &none, error, sizeof error), LOGDRIVE_CONFIGURATION);
  CHECK(none == NULL && strstr(error, "no URL") != NULL);
  CHECK_CODE(logdrive_open(NULL, &none, error, sizeof error), INVALID);
  CHECK_CODE(logdrive_open_url(NULL, &none, error, sizeof error), INVALID);
  CHECK_CODE(logdrive_open_url("", &none, error, sizeof error), LOGDRIVE_CONFIGURATION);
  CHECK_CODE(logdrive_open_url("\xc3\x28", &none, error, sizeof error), INVALID);
  CHECK_CODE(logdrive_config_set(config, "url", url, error, sizeof error), LOGDRIVE_OK);
  CHECK_CODE(logdrive_open(config, NULL, error, sizeof error), INVALID);
  CHECK_CODE(logdrive_open_url(url, NULL, NULL, 0), INVALID);
  CHECK_CODE(logdrive_open(config, &client, NULL, 0), LOGDRIVE_OK);
}

static void streams(void) {
  char oversized[300];
  logdrive_logger *found = NULL;
  memset(oversized, 'a', sizeof oversized - 1);
  oversized[sizeof oversized - 1] = 0;
  CHECK_CODE(logdrive_stream(NULL, "s", &found), INVALID);
  CHECK_CODE(logdrive_stream(client, "s", NULL), INVALID);
  CHECK_CODE(logdrive_stream(client, "", &found), INVALID);
  CHECK_CODE(logdrive_stream(client, "a b", &found), INVALID);
  CHECK_CODE(logdrive_stream(client, "\xff", &found), INVALID);
  CHECK_CODE(logdrive_stream(client, oversized, &found), INVALID);
  CHECK(found == NULL);
  CHECK_CODE(logdrive_stream(client, "same", &found), LOGDRIVE_OK);
  CHECK_CODE(logdrive_stream(client, "same", &logger), LOGDRIVE_OK);
  CHECK(found == logger);
}

static void handles(void) {
  char place[64];
  /* Of another type, garbage, and real addresses. */
  logdrive_logger *wrong[4];
  int i;
  wrong[0] = (logdrive_logger *)(void *)client;
  wrong[1] = (logdrive_logger *)(void *)config;
  wrong[2] = (logdrive_logger *)(void *)place;
  wrong[3] = (logdrive_logger *)(void *)((char *)logger + 3);
  for (i = 0; i < 4; i++) {
    char *text = place;
    CHECK_CODE(logdrive_log(wrong[i], LOGDRIVE_SEVERITY_INFO, "x", 1), INVALID);
    CHECK_CODE(logdrive_logf(wrong[i], LOGDRIVE_SEVERITY_INFO, "x"), INVALID);
    CHECK_CODE(logdrive_claim(wrong[i], LOGDRIVE_SEVERITY_INFO, 1, NULL, &text), INVALID);
    CHECK(text == NULL);
    CHECK_CODE(logdrive_commit(wrong[i], place, 1), INVALID);
    CHECK_CODE(logdrive_discard(wrong[i], place), INVALID);
    CHECK(logdrive_enabled(wrong[i], LOGDRIVE_SEVERITY_FATAL) == 0);
    CHECK_CODE(logdrive_close((logdrive_client *)(void *)(i == 0 ? logger : wrong[i]), 0), INVALID);
    CHECK_CODE(logdrive_config_free((logdrive_config *)(void *)(i == 1 ? logger : wrong[i])), INVALID);
  }
  CHECK_CODE(logdrive_log(NULL, LOGDRIVE_SEVERITY_INFO, "x", 1), INVALID);
  CHECK_CODE(logdrive_flush(NULL, 0), INVALID);
  CHECK_CODE(logdrive_flush((logdrive_client *)(void *)logger, 0), INVALID);
  CHECK_CODE(logdrive_set_level(NULL, LOGDRIVE_SEVERITY_INFO), INVALID);
  CHECK_CODE(logdrive_close(NULL, 0), LOGDRIVE_OK);
  CHECK_CODE(logdrive_config_free(NULL), LOGDRIVE_OK);
}

static void texts(void) {
  static const int32_t severities[] = {-1, 6, INT32_MAX, INT32_MIN, 256};
  size_t i;
  char *text = NULL;
  for (i = 0; i < sizeof severities / sizeof severities[0]; i++) {
    CHECK_CODE(logdrive_log(logger, severities[i], "x", 1), INVALID);
    CHECK_CODE(logdrive_log_with(logger, severities[i], "x", 1, NULL, 0, NULL), INVALID);
    CHECK_CODE(logdrive_claim(logger, severities[i], 1, NULL, &text), INVALID);
    CHECK_CODE(logdrive_set_level(client, severities[i]), INVALID);
    CHECK(logdrive_enabled(logger, severities[i]) == 0);
  }
  CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, NULL, 1), INVALID);
  CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, "x", SIZE_MAX), LOGDRIVE_RECORD_TOO_LARGE);
  CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, "x", PTRDIFF_MAX), LOGDRIVE_RECORD_TOO_LARGE);
  CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, "\xff\0\xfe", 3), LOGDRIVE_OK);
  CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, "", 0), LOGDRIVE_OK);
  CHECK_CODE(logdrive_log_keyed(logger, LOGDRIVE_SEVERITY_INFO, NULL, 1, "x", 1, NULL, 0, NULL), INVALID);
  CHECK_CODE(logdrive_log_keyed(logger, LOGDRIVE_SEVERITY_INFO, "k", SIZE_MAX, "x", 1, NULL, 0, NULL),
             LOGDRIVE_RECORD_TOO_LARGE);
  CHECK_CODE(logdrive_claim(logger, LOGDRIVE_SEVERITY_INFO, SIZE_MAX, NULL, &text), LOGDRIVE_RECORD_TOO_LARGE);
  CHECK_CODE(logdrive_claim(logger, LOGDRIVE_SEVERITY_INFO, 8, NULL, NULL), INVALID);
  CHECK_CODE(logdrive_commit(logger, NULL, 0), INVALID);
  CHECK_CODE(logdrive_discard(logger, NULL), INVALID);
}

static int32_t with(const logdrive_attribute *attributes, size_t count) {
  return logdrive_log_with(logger, LOGDRIVE_SEVERITY_INFO, "x", 1, attributes, count, NULL);
}

/* As a caller with a header that is newer than the library would pass it. */
typedef struct newer_attribute {
  logdrive_attribute known;
  uint64_t unknown;
} newer_attribute;

static void attributes(void) {
  logdrive_attribute many[LOGDRIVE_ATTRIBUTES_MAX + 1];
  logdrive_attribute one;
  newer_attribute newer[2];
  static char oversized[70000];
  size_t i;
  memset(oversized, 97, sizeof oversized);
  for (i = 0; i < LOGDRIVE_ATTRIBUTES_MAX + 1; i++) {
    many[i] = logdrive_text("name", "value");
  }
  CHECK_CODE(with(NULL, 1), INVALID);
  CHECK_CODE(with(many, LOGDRIVE_ATTRIBUTES_MAX), LOGDRIVE_OK);
  CHECK_CODE(with(many, LOGDRIVE_ATTRIBUTES_MAX + 1), INVALID);
  CHECK_CODE(with(many, SIZE_MAX), INVALID);
  one = logdrive_text(NULL, "value");
  CHECK_CODE(with(&one, 1), INVALID);
  one = logdrive_text("", "value");
  CHECK_CODE(with(&one, 1), INVALID);
  one = logdrive_text("\xff", "value");
  CHECK_CODE(with(&one, 1), INVALID);
  one = logdrive_text("logdrive.x", "value");
  CHECK_CODE(with(&one, 1), INVALID);
  one = logdrive_text("a", NULL);
  CHECK_CODE(with(&one, 1), LOGDRIVE_OK);
  one = logdrive_bytes("a", NULL, 1);
  CHECK_CODE(with(&one, 1), INVALID);
  one = logdrive_bytes("a", "x", SIZE_MAX);
  CHECK_CODE(with(&one, 1), LOGDRIVE_RECORD_TOO_LARGE);
  one = logdrive_bytes("a", "\xff\0\xff", 3);
  CHECK_CODE(with(&one, 1), LOGDRIVE_OK);
  one.name = "a\0b";
  one.name_length = 3;
  CHECK_CODE(with(&one, 1), INVALID);
  one.name = oversized;
  one.name_length = sizeof oversized;
  CHECK_CODE(with(&one, 1), INVALID);
  one = logdrive_text("a", "x");
  one.kind = 99;
  CHECK_CODE(with(&one, 1), INVALID);
  one = logdrive_text("a", "x");
  one.struct_size = 0;
  CHECK_CODE(with(&one, 1), INVALID);
  one.struct_size = sizeof one - 1;
  CHECK_CODE(with(&one, 1), INVALID);
  one.struct_size = UINT32_MAX;
  CHECK_CODE(with(&one, 1), INVALID);
  memset(newer, 0, sizeof newer);
  for (i = 0; i < 2; i++) {
    newer[i].known = logdrive_signed("a", 1);
    newer[i].known.struct_size = sizeof newer[i];
  }
  CHECK_CODE(with(&newer[0].known, 2), LOGDRIVE_OK);
  newer[1].unknown = 1;
  CHECK_CODE(with(&newer[0].known, 2), INVALID);
}

static void sites_and_stats(void) {
  logdrive_callsite site = {sizeof site, 1, "file", 4, "function", 8};
  struct {
    logdrive_stats known;
    uint64_t unknown;
  } newer;
  logdrive_stats stats;
  CHECK_CODE(logdrive_log_with(logger, LOGDRIVE_SEVERITY_INFO, "x", 1, NULL, 0, &site), LOGDRIVE_OK);
  site.struct_size = 8;
  CHECK_CODE(logdrive_log_with(logger, LOGDRIVE_SEVERITY_INFO, "x", 1, NULL, 0, &site), INVALID);
  site.struct_size = sizeof site;
  site.file = NULL;
  CHECK_CODE(logdrive_log_with(logger, LOGDRIVE_SEVERITY_INFO, "x", 1, NULL, 0, &site), INVALID);
  CHECK_CODE(logdrive_get_stats(client, NULL), INVALID);
  memset(&stats, 0xff, sizeof stats);
  CHECK_CODE(logdrive_get_stats(client, &stats), INVALID);
  stats.struct_size = 0;
  CHECK_CODE(logdrive_get_stats(client, &stats), INVALID);
  stats.struct_size = sizeof stats;
  CHECK_CODE(logdrive_get_stats(NULL, &stats), INVALID);
  CHECK_CODE(logdrive_get_stats(client, &stats), LOGDRIVE_OK);
  CHECK(stats.struct_size == sizeof stats && stats.refused > 0 && stats.panics == 0);
  /* As a program with the first header has it: nothing behind its members is touched. */
  memset(&stats, 0xff, sizeof stats);
  stats.struct_size = offsetof(logdrive_stats, events_lost);
  CHECK_CODE(logdrive_get_stats(client, &stats), LOGDRIVE_OK);
  CHECK(stats.panics == 0 && stats.events_lost == UINT64_MAX);
  memset(&newer, 0xff, sizeof newer);
  newer.known.struct_size = sizeof newer;
  CHECK_CODE(logdrive_get_stats(client, &newer.known), LOGDRIVE_OK);
  CHECK(newer.unknown == 0 && newer.known.struct_size == sizeof newer);
  CHECK_CODE(logdrive_get_stats_json(NULL, NULL, 0, NULL), INVALID);
  CHECK_CODE(logdrive_get_stats_json(client, NULL, 99999, NULL), LOGDRIVE_RECORD_TOO_LARGE);
  CHECK(strcmp(logdrive_strerror(0), "success") == 0);
  CHECK(strcmp(logdrive_strerror(-1), logdrive_strerror(9999)) == 0);
  CHECK(logdrive_version()[0] != 0);
}

static void closed(void) {
  logdrive_logger *found = NULL;
  logdrive_stats stats;
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  CHECK_CODE(logdrive_config_free(config), LOGDRIVE_OK);
  CHECK_CODE(logdrive_config_free(config), LOGDRIVE_CLOSED);
  CHECK_CODE(logdrive_config_set(config, "linger", "1ms", NULL, 0), LOGDRIVE_CLOSED);
  /* Nothing listens at the URL: the records stay stored. */
  CHECK_CODE(logdrive_flush(client, 0), LOGDRIVE_DEADLINE_EXCEEDED);
  CHECK_CODE(logdrive_close(client, 0), LOGDRIVE_DEADLINE_EXCEEDED);
  CHECK_CODE(logdrive_close(client, UINT64_MAX), LOGDRIVE_CLOSED);
  CHECK_CODE(logdrive_flush(client, UINT64_MAX), LOGDRIVE_CLOSED);
  CHECK_CODE(logdrive_set_level(client, LOGDRIVE_SEVERITY_INFO), LOGDRIVE_CLOSED);
  CHECK_CODE(logdrive_stream(client, NULL, &found), LOGDRIVE_CLOSED);
  CHECK_CODE(logdrive_get_stats(client, &stats), LOGDRIVE_CLOSED);
  CHECK_CODE(logdrive_log(logger, LOGDRIVE_SEVERITY_INFO, "x", 1), LOGDRIVE_CLOSED);
  CHECK_CODE(logdrive_logf(logger, LOGDRIVE_SEVERITY_INFO, "x"), LOGDRIVE_CLOSED);
}

int main(int count, char **arguments) {
  CHECK(count == 2);
  configuration(arguments[1]);
  streams();
  handles();
  texts();
  attributes();
  sites_and_stats();
  closed();
  return 0;
}
