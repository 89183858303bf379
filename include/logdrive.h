/* logdrive: embeddable, crash-safe, high-throughput log shipping. The C ABI.
 *
 * Generated from bindings/c/src by .ci/header-drift: edit that, not this.
 *
 * Every function returns a LOGDRIVE_* result code unless it says otherwise, never aborts, raises or
 * changes errno's meaning for the caller, and may be called from any thread. A handle that is NULL,
 * closed, of another type or no handle at all gives a code (LOGDRIVE_CLOSED or
 * LOGDRIVE_INVALID_ARGUMENT), never a crash. Formatted logging and the level macros are in
 * logdrive_macros.h, C++ in logdrive.hpp. */

#ifndef LOGDRIVE_H
#define LOGDRIVE_H

#include <stddef.h>
#include <stdint.h>

/**
 * Grows when a program must be compiled anew; functions are added without a new number.
 */
#define LOGDRIVE_ABI_VERSION 1

/**
 * Success.
 */
#define LOGDRIVE_OK 0

/**
 * The rings have no room left for this severity (ring.full=refuse).
 */
#define LOGDRIVE_RING_FULL 1

/**
 * The record is larger than record.bytes_max.
 */
#define LOGDRIVE_RECORD_TOO_LARGE 2

/**
 * The client was closed, or the handle was freed.
 */
#define LOGDRIVE_CLOSED 3

/**
 * Logged while the same thread was inside a log call, or held a claim.
 */
#define LOGDRIVE_REENTRANT 4

/**
 * An argument is NULL, malformed, out of range, or no handle of that type.
 */
#define LOGDRIVE_INVALID_ARGUMENT 5

/**
 * A configuration name, value or combination is wrong; the error text names it.
 */
#define LOGDRIVE_CONFIGURATION 6

/**
 * The deadline passed; nothing is lost by it, the records are still stored.
 */
#define LOGDRIVE_DEADLINE_EXCEEDED 7

/**
 * The operating system refused something; the error text says what.
 */
#define LOGDRIVE_IO 8

/**
 * More than 64 streams of one client.
 */
#define LOGDRIVE_TOO_MANY_STREAMS 9

/**
 * More threads log than ring.threads_max.
 */
#define LOGDRIVE_TOO_MANY_THREADS 10

/**
 * A defect of logdrive was caught and counted.
 */
#define LOGDRIVE_INTERNAL 11

/**
 * A file is damaged, foreign or of another version; it was set aside.
 */
#define LOGDRIVE_DAMAGED 12

/**
 * Threads cannot be started now, or a forked child has no rings of its own yet; the record was refused.
 */
#define LOGDRIVE_STARTING 13

/**
 * The spool is nearly full and the record is below WARN.
 */
#define LOGDRIVE_SPOOL_FULL 14

/**
 * Finest detail.
 */
#define LOGDRIVE_SEVERITY_TRACE 0

/**
 * For debugging.
 */
#define LOGDRIVE_SEVERITY_DEBUG 1

/**
 * Normal operation.
 */
#define LOGDRIVE_SEVERITY_INFO 2

/**
 * Something that may need attention; from here on a reserve of the rings is kept.
 */
#define LOGDRIVE_SEVERITY_WARN 3

/**
 * Something failed.
 */
#define LOGDRIVE_SEVERITY_ERROR 4

/**
 * The program cannot go on. logdrive does not end it.
 */
#define LOGDRIVE_SEVERITY_FATAL 5

/**
 * The attribute's value is `text`, `text_length` bytes of it.
 */
#define LOGDRIVE_KIND_TEXT 0

/**
 * The attribute's value is `integer`.
 */
#define LOGDRIVE_KIND_SIGNED 1

/**
 * The attribute's value is `integer`, read as an unsigned number.
 */
#define LOGDRIVE_KIND_UNSIGNED 2

/**
 * The attribute's value is `real`.
 */
#define LOGDRIVE_KIND_REAL 3

/**
 * The attribute's value is "false" where `integer` is 0, and "true" otherwise.
 */
#define LOGDRIVE_KIND_BOOLEAN 4

/**
 * The most attributes that one call takes.
 */
#define LOGDRIVE_ATTRIBUTES_MAX 32

/**
 * An event of a kind that this header does not know; `text` describes it.
 */
#define LOGDRIVE_EVENT_OTHER 0

/**
 * A lane to the receiver `text` is ready, for the first time or after it was down.
 */
#define LOGDRIVE_EVENT_RECEIVER_UP 1

/**
 * The last lane to the receiver `text` failed, or it could not be reached in the first place.
 */
#define LOGDRIVE_EVENT_RECEIVER_DOWN 2

/**
 * `count` accepted records from number `first_record` on were given up, for the reason `text`.
 */
#define LOGDRIVE_EVENT_LOSS 3

/**
 * The spool is full; what happens next is what spool.full says.
 */
#define LOGDRIVE_EVENT_SPOOL_FULL 4

/**
 * The spool has had room again for a second.
 */
#define LOGDRIVE_EVENT_SPOOL_HAS_ROOM 5

/**
 * The files of the dead process `text` were taken over; `count` records in them wait.
 */
#define LOGDRIVE_EVENT_SLOT_ADOPTED 6

/**
 * A running client. Opaque.
 */
typedef struct logdrive_client logdrive_client;

/**
 * A configuration being put together. Opaque.
 */
typedef struct logdrive_config logdrive_config;

/**
 * Logs to one stream of a client. Opaque; belongs to its client and ends with it.
 */
typedef struct logdrive_logger logdrive_logger;

/**
 * Something that happened behind the calls. Valid during the callback only.
 */
typedef struct logdrive_event {
  /**
   * sizeof(logdrive_event) as the library has it: members beyond it are not there.
   */
  uint32_t struct_size;
  /**
   * LOGDRIVE_EVENT_*; kinds may be added.
   */
  int32_t kind;
  /**
   * Address, reason or process, as the kind says; NUL-terminated, never NULL.
   */
  const char *text;
  /**
   * Of a loss: the number of the first record; else 0.
   */
  uint64_t first_record;
  /**
   * How many records, as the kind says; else 0.
   */
  uint64_t count;
} logdrive_event;

/**
 * Is told of events. No exception may leave it.
 */
typedef void (*logdrive_event_callback)(const struct logdrive_event *event, void *user_data);

/**
 * Frees what a callback was given.
 */
typedef void (*logdrive_free_user_data)(void *user_data);

/**
 * A name and a value that travel with a record. Zero it, then set what is needed; see
 * logdrive_macros.h for functions that make one.
 */
typedef struct logdrive_attribute {
  /**
   * sizeof(logdrive_attribute) of the header the caller was compiled with; also the distance between
   * the elements of an array.
   */
  uint32_t struct_size;
  /**
   * Which member is the value: one of LOGDRIVE_KIND_*.
   */
  uint32_t kind;
  /**
   * UTF-8 without NUL bytes, not empty, not beginning with "logdrive."; need not be NUL-terminated.
   */
  const char *name;
  /**
   * Bytes of `name`, at most 65,535.
   */
  uint64_t name_length;
  /**
   * Any bytes.
   */
  const char *text;
  /**
   * Bytes of `text`.
   */
  uint64_t text_length;
  /**
   * A number, or whether.
   */
  int64_t integer;
  /**
   * A number.
   */
  double real;
} logdrive_attribute;

/**
 * Where a log call stands in the source. Static data of the caller; the macros make it.
 */
typedef struct logdrive_callsite {
  /**
   * sizeof(logdrive_callsite) of the header the caller was compiled with.
   */
  uint32_t struct_size;
  /**
   * Line number; 0 if unknown.
   */
  uint32_t line;
  /**
   * Path of the file, NUL-terminated; NULL if unknown.
   */
  const char *file;
  /**
   * Bytes of `file` without its NUL.
   */
  uint64_t file_length;
  /**
   * Name of the function, NUL-terminated; NULL if unknown.
   */
  const char *function;
  /**
   * Bytes of `function` without its NUL.
   */
  uint64_t function_length;
} logdrive_callsite;

/**
 * What happened so far. Exact at rest, after a flush that returned LOGDRIVE_OK:
 * accepted = delivered + unconfirmed + dropped + damaged + stored. The instance, as `logdrive verify --expect`
 * wants it, is in the JSON.
 */
typedef struct logdrive_stats {
  /**
   * To be set to sizeof(logdrive_stats) before the call; the library fills so much of it.
   */
  uint32_t struct_size;
  /**
   * Percent of the rings in use.
   */
  uint32_t arena_used_percent;
  /**
   * Bytes of the rings.
   */
  uint64_t arena_bytes;
  /**
   * Records accepted, as far as they were read from the rings.
   */
  uint64_t accepted;
  /**
   * Records refused at the call; the reasons are in the JSON.
   */
  uint64_t refused;
  /**
   * Records acknowledged.
   */
  uint64_t delivered;
  /**
   * Records sent where no acknowledgement will ever come.
   */
  uint64_t unconfirmed;
  /**
   * Records given up after they were accepted; the reasons are in the JSON.
   */
  uint64_t dropped;
  /**
   * Records whose stored bytes were found unreadable.
   */
  uint64_t damaged;
  /**
   * Records that wait to be acknowledged, those of adopted earlier runs included.
   */
  uint64_t stored;
  /**
   * Bytes of them.
   */
  uint64_t stored_bytes;
  /**
   * Bytes of texts as the application gave them.
   */
  uint64_t bytes_in;
  /**
   * Bytes of acknowledged batches on the wire.
   */
  uint64_t bytes_wire;
  /**
   * Attempts beyond the first to send a batch.
   */
  uint64_t retries;
  /**
   * Receivers that are connected now.
   */
  uint64_t receivers_connected;
  /**
   * Defects of logdrive that were caught, in its threads and at its boundary; worth a report.
   */
  uint64_t panics;
  /**
   * Events that the callback was not told of: it was too slow, or the client was closed meanwhile.
   */
  uint64_t events_lost;
} logdrive_stats;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Opens a client. Touches the disk, never the network: with unreachable receivers it succeeds.
 *
 * The configuration is copied; it remains the caller's. Starts two threads with all signals blocked,
 * and registers (once) an atexit handler that flushes for close.deadline, at most two seconds.
 * `*client` is set to NULL on failure, and `error` (may be NULL) gets the reason.
 *
 * Required:
 * `client` points to a pointer; `error` has `error_size` bytes.
 */
int32_t logdrive_open(const struct logdrive_config *config,
                      struct logdrive_client **client,
                      char *error,
                      size_t error_size);

/**
 * Opens a client by URL, such as "receivers://host1:9092,host2:9092/app-logs?linger=5ms", over what the
 * environment's LOGDRIVE_* say and the defaults. Else as logdrive_open.
 *
 * Required:
 * `url` is NUL-terminated; `client` points to a pointer; `error` has `error_size` bytes.
 */
int32_t logdrive_open_url(const char *url,
                          struct logdrive_client **client,
                          char *error,
                          size_t error_size);

/**
 * The logger of a stream, which is a Kafka topic; `name` NULL means the one of the client's URL.
 *
 * The same name gives the same logger. It belongs to the client: it is not freed, and refuses with
 * LOGDRIVE_CLOSED once the client is closed. Allocates: get loggers once, not per record. Any
 * thread may use it. At most 64 streams per client.
 *
 * Required:
 * `name` is NULL or NUL-terminated; `logger` points to a pointer, which is set to NULL on failure.
 */
int32_t logdrive_stream(struct logdrive_client *client,
                        const char *name,
                        struct logdrive_logger **logger);

/**
 * Records below this severity are not logged from now on, by all loggers of the client.
 */
int32_t logdrive_set_level(struct logdrive_client *client, int32_t severity);

/**
 * Waits until all that was accepted before the call is acknowledged or accounted for.
 *
 * Blocks this thread for at most `deadline_ms`; other threads go on logging. After
 * LOGDRIVE_DEADLINE_EXCEEDED nothing is lost, the records are still stored.
 */
int32_t logdrive_flush(struct logdrive_client *client, uint64_t deadline_ms);

/**
 * Refuses further records, flushes for at most `deadline_ms`, ends the threads, frees the handle.
 *
 * The handle and its loggers are closed whatever the code; further calls with them give LOGDRIVE_CLOSED.
 * After LOGDRIVE_DEADLINE_EXCEEDED the rest stays stored, and the next process that opens the
 * same `name` sends it. NULL is allowed and does nothing.
 */
int32_t logdrive_close(struct logdrive_client *client,
                       uint64_t deadline_ms);

/**
 * What a result code means, in one English sentence; for an unknown number it says so.
 *
 * Never NULL; the text is static and must not be freed. Any thread may call it, a signal handler too.
 */
const char *logdrive_strerror(int32_t code);

/**
 * The library's version, such as "0.1.0". Static, never NULL.
 */
const char *logdrive_version(void);

/**
 * LOGDRIVE_ABI_VERSION of the library that is loaded; to be compared with that of the header.
 */
uint32_t logdrive_abi_version(void);

/**
 * A configuration with all defaults. It needs a URL: set the name "url", or load one.
 *
 * NULL only after an internal error. Free it with logdrive_config_free.
 */
struct logdrive_config *logdrive_config_new(void);

/**
 * Sets one option by its name in docs/configuration.md, or with the name "url" all that a URL says.
 *
 * A value that is refused changes nothing. `error` (may be NULL) gets what was wrong, the value and
 * what is allowed, cut to `error_size` bytes with its NUL; the empty text on success.
 *
 * Required:
 * `name` and `value` are NUL-terminated; `error` has `error_size` bytes.
 */
int32_t logdrive_config_set(struct logdrive_config *config,
                            const char *name,
                            const char *value,
                            char *error,
                            size_t error_size);

/**
 * Reads options from a TOML file of at most 1 MiB; blocks as reading a file does.
 *
 * Required:
 * `path` is NUL-terminated; `error` has `error_size` bytes.
 */
int32_t logdrive_config_load_file(struct logdrive_config *config,
                                  const char *path,
                                  char *error,
                                  size_t error_size);

/**
 * Takes options from the environment: LOGDRIVE_URL, LOGDRIVE_RING_BYTES_MAX and so on.
 *
 * Reads the environment, so no other thread may change it meanwhile (setenv).
 *
 * Required:
 * `error` has `error_size` bytes.
 */
int32_t logdrive_config_load_environment(struct logdrive_config *config,
                                         char *error,
                                         size_t error_size);

/**
 * Frees a configuration; clients opened with it are not touched. NULL is allowed and does nothing.
 *
 * A second call with the same configuration gives LOGDRIVE_CLOSED and does nothing.
 */
int32_t logdrive_config_free(struct logdrive_config *config);

/**
 * Has `callback` told of events by every client that is opened with this configuration, on a thread of its own
 * that exists only for this. NULL: by none any more.
 *
 * The callback may block, log, ask for figures and close the client. While it runs, up to 1,024 events wait, further
 * ones are counted in the figures (events_lost). It is called in bursts, at most ten in a second. logdrive_close waits
 * for it until its deadline, at least a second for a call that is under way; no call begins after that.
 * A forked child calls it only once it has logged. It must neither throw nor longjmp: that ends the process.
 *
 * `user_data` is passed on. `free_user_data` (may be NULL) is called once, on any thread, when configuration and
 * clients are freed, nobody is inside of the callback, and each thread that logged has ended or used another logger
 * since; also where this function fails.
 *
 * Required:
 * Both functions, and what they do with `user_data`, may be used on any thread, for as long as that.
 */
int32_t logdrive_config_on_event(struct logdrive_config *config,
                                 logdrive_event_callback callback,
                                 void *user_data,
                                 logdrive_free_user_data free_user_data);

/**
 * Logs `length` bytes of `text` as they are: any bytes, NULs too; need not be NUL-terminated.
 *
 * LOGDRIVE_OK means accepted: the record survives a crash of this process. Takes no lock, makes no system call and
 * allocates nothing once the thread has used the logger (but under ring.full=block it may wait). A
 * record below the level is LOGDRIVE_OK too. What is refused is counted (logdrive_get_stats).
 *
 * Any thread may call it, from atexit handlers and destructors too. A signal handler may, if its thread has
 * used this logger before; a call that it interrupted makes it LOGDRIVE_REENTRANT.
 *
 * Required:
 * `text` points to `length` bytes.
 */
int32_t logdrive_log(struct logdrive_logger *logger,
                     int32_t severity,
                     const char *text,
                     size_t length);

/**
 * As logdrive_log, with up to LOGDRIVE_ATTRIBUTES_MAX attributes and the call's place in the source.
 *
 * `attributes` may be NULL if `attributes_count` is 0; `site` may be NULL.
 *
 * Required:
 * `text` points to `length` bytes, `attributes` to as many elements, each as large as its struct_size.
 */
int32_t logdrive_log_with(struct logdrive_logger *logger,
                          int32_t severity,
                          const char *text,
                          size_t length,
                          const struct logdrive_attribute *attributes,
                          size_t attributes_count,
                          const struct logdrive_callsite *site);

/**
 * As logdrive_log_with, under a key: records of one key keep one partition and their order.
 *
 * Required:
 * As logdrive_log_with; `key` points to `key_length` bytes.
 */
int32_t logdrive_log_keyed(struct logdrive_logger *logger,
                           int32_t severity,
                           const char *key,
                           size_t key_length,
                           const char *text,
                           size_t length,
                           const struct logdrive_attribute *attributes,
                           size_t attributes_count,
                           const struct logdrive_callsite *site);

/**
 * Claims room in the ring for a text of at most `capacity` bytes, which the caller writes to `*text` and then
 * passes to logdrive_commit or logdrive_discard, on the same thread.
 *
 * `*text` is NULL, with LOGDRIVE_OK, where the severity is not enabled: there is nothing to do then. Until the claim
 * is committed or discarded, other records of this thread are refused as LOGDRIVE_REENTRANT.
 * LOGDRIVE_RECORD_TOO_LARGE, which is not counted, where there is no such room: a capacity above about 16,000
 * bytes, or a thread whose locals are destroyed already (an atexit handler). Then use logdrive_log.
 *
 * Required:
 * `text` points to a pointer; `site` is NULL or points to a call site.
 */
int32_t logdrive_claim(struct logdrive_logger *logger,
                       int32_t severity,
                       size_t capacity,
                       const struct logdrive_callsite *site,
                       char **text);

/**
 * Logs the first `length` bytes of a claim of this thread and ends it.
 *
 * LOGDRIVE_INVALID_ARGUMENT where `text` is no open claim of this thread, or smaller; the claim stays open.
 */
int32_t logdrive_commit(struct logdrive_logger *logger,
                        const char *text,
                        size_t length);

/**
 * Ends a claim of this thread without logging.
 */
int32_t logdrive_discard(struct logdrive_logger *logger, const char *text);

/**
 * 1 where a record of this severity would be logged; 0 where not, or where an argument is wrong.
 */
int32_t logdrive_enabled(const struct logdrive_logger *logger, int32_t severity);

/**
 * Reads the figures. Takes a lock and allocates: not for the call path.
 *
 * A structure of an older header gets the members it knows; of a newer one, what this library does not
 * know is zero. Its struct_size stays as it was.
 *
 * Required:
 * `stats` points to as many bytes as its struct_size says.
 */
int32_t logdrive_get_stats(struct logdrive_client *client,
                           struct logdrive_stats *stats);

/**
 * Writes the figures as one JSON object, with reasons and per receiver, NUL-terminated.
 *
 * `*needed` (may be NULL) gets the size of the buffer that holds it, its NUL included. Where `size` is smaller,
 * LOGDRIVE_RECORD_TOO_LARGE and the empty text; `buffer` may then be NULL, to ask for the size.
 *
 * Required:
 * `buffer` has `size` bytes; `needed` is NULL or points to a size_t.
 */
int32_t logdrive_get_stats_json(struct logdrive_client *client,
                                char *buffer,
                                size_t size,
                                size_t *needed);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LOGDRIVE_H */
