/* logdrive: formatted logging, attributes and level macros for C99 and later, and C++11 and later.
 *
 *   LOGDRIVE_INFO(logger, "listening on port %d", port);
 *   LOGDRIVE_WARN_WITH(logger, "slow request", logdrive_text("path", path), logdrive_signed("ms", ms));
 *
 * A macro evaluates its arguments only if the severity is enabled, checks the format (which has to be a
 * literal) at compile time, and sends where it stands as code.file.path, code.line.number and
 * code.function.name. What is refused is counted by the library; use the functions to see the code.
 *
 *   LOGDRIVE_LEVEL_MIN  define it before the first inclusion to compile lesser severities away:
 *                       0 trace (default), 1 debug, 2 info, 3 warn, 4 error, 5 fatal, 6 nothing at all
 *   LOGDRIVE_LOCATION   define it as 0 to send no location */
#ifndef LOGDRIVE_MACROS_H
#define LOGDRIVE_MACROS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "logdrive.h"

#ifndef LOGDRIVE_LEVEL_MIN
#define LOGDRIVE_LEVEL_MIN 0
#endif
#ifndef LOGDRIVE_LOCATION
#define LOGDRIVE_LOCATION 1
#endif

/* Texts up to this many bytes are formatted straight into the ring; longer ones are formatted twice. */
#define LOGDRIVE_FORMAT_BYTES 1024

#if defined(__GNUC__) || defined(__clang__)
#define LOGDRIVE_PRINTF_(at, first) __attribute__((__format__(__printf__, at, first)))
#else
#define LOGDRIVE_PRINTF_(at, first)
#endif

#ifdef __cplusplus
#define LOGDRIVE_CAST_(type, value) static_cast<type>(value)
#else
#define LOGDRIVE_CAST_(type, value) ((type)(value))
#endif

/* For a text that cannot be formatted in the ring: it is too long, or the thread is about to end. */
LOGDRIVE_PRINTF_(4, 0)
static inline int32_t logdrive_vlogf_heap_(logdrive_logger *logger, int32_t severity,
                                           const logdrive_callsite *site, const char *format,
                                           va_list arguments) {
  va_list again;
  int length;
  int32_t code = LOGDRIVE_INVALID_ARGUMENT;
  va_copy(again, arguments);
  length = vsnprintf(NULL, 0, format, arguments);
  if (length >= 0) {
    const size_t size = LOGDRIVE_CAST_(size_t, length) + 1;
    char *text = LOGDRIVE_CAST_(char *, malloc(size));
    code = LOGDRIVE_IO;
    if (text != NULL) {
      (void)vsnprintf(text, size, format, again);
      code = logdrive_log_with(logger, severity, text, size - 1, NULL, 0, site);
      free(text);
    }
  }
  va_end(again);
  return code;
}

/* Formats as vprintf does and logs; `site` may be NULL. LOGDRIVE_IO: no memory for a long text. */
LOGDRIVE_PRINTF_(4, 0)
static inline int32_t logdrive_vlogf_at(logdrive_logger *logger, int32_t severity,
                                        const logdrive_callsite *site, const char *format,
                                        va_list arguments) {
  char *text = NULL;
  int length;
  int32_t code;
  va_list again;
  if (format == NULL) {
    return LOGDRIVE_INVALID_ARGUMENT;
  }
  code = logdrive_claim(logger, severity, LOGDRIVE_FORMAT_BYTES, site, &text);
  if (code == LOGDRIVE_RECORD_TOO_LARGE) {
    return logdrive_vlogf_heap_(logger, severity, site, format, arguments);
  }
  if (code != LOGDRIVE_OK || text == NULL) {
    return code;
  }
  va_copy(again, arguments);
  length = vsnprintf(text, LOGDRIVE_FORMAT_BYTES, format, arguments);
  if (length >= 0 && length < LOGDRIVE_FORMAT_BYTES) {
    code = logdrive_commit(logger, text, LOGDRIVE_CAST_(size_t, length));
  } else {
    (void)logdrive_discard(logger, text);
    code = logdrive_vlogf_heap_(logger, severity, site, format, again);
  }
  va_end(again);
  return code;
}

/* Formats as printf does and logs; `site` may be NULL. */
LOGDRIVE_PRINTF_(4, 5)
static inline int32_t logdrive_logf_at(logdrive_logger *logger, int32_t severity,
                                       const logdrive_callsite *site, const char *format, ...) {
  int32_t code;
  va_list arguments;
  va_start(arguments, format);
  code = logdrive_vlogf_at(logger, severity, site, format, arguments);
  va_end(arguments);
  return code;
}

/* Formats as vprintf does and logs. */
LOGDRIVE_PRINTF_(3, 0)
static inline int32_t logdrive_vlogf(logdrive_logger *logger, int32_t severity, const char *format,
                                     va_list arguments) {
  return logdrive_vlogf_at(logger, severity, NULL, format, arguments);
}

/* Formats as printf does and logs. */
LOGDRIVE_PRINTF_(3, 4)
static inline int32_t logdrive_logf(logdrive_logger *logger, int32_t severity, const char *format,
                                    ...) {
  int32_t code;
  va_list arguments;
  va_start(arguments, format);
  code = logdrive_vlogf_at(logger, severity, NULL, format, arguments);
  va_end(arguments);
  return code;
}

/* Attributes. Names and texts are not copied: they have to live until the log call returns. */
static inline logdrive_attribute logdrive_attribute_(uint32_t kind, const char *name) {
  logdrive_attribute attribute;
  memset(&attribute, 0, sizeof attribute);
  attribute.struct_size = LOGDRIVE_CAST_(uint32_t, sizeof attribute);
  attribute.kind = kind;
  attribute.name = name;
  attribute.name_length = name == NULL ? 0 : strlen(name);
  return attribute;
}

static inline logdrive_attribute logdrive_bytes(const char *name, const char *text, size_t length) {
  logdrive_attribute attribute = logdrive_attribute_(LOGDRIVE_KIND_TEXT, name);
  attribute.text = text;
  attribute.text_length = length;
  return attribute;
}

/* A NULL text is the empty text. */
static inline logdrive_attribute logdrive_text(const char *name, const char *text) {
  return logdrive_bytes(name, text, text == NULL ? 0 : strlen(text));
}

static inline logdrive_attribute logdrive_signed(const char *name, int64_t value) {
  logdrive_attribute attribute = logdrive_attribute_(LOGDRIVE_KIND_SIGNED, name);
  attribute.integer = value;
  return attribute;
}

static inline logdrive_attribute logdrive_unsigned(const char *name, uint64_t value) {
  logdrive_attribute attribute = logdrive_attribute_(LOGDRIVE_KIND_UNSIGNED, name);
  attribute.integer = LOGDRIVE_CAST_(int64_t, value);
  return attribute;
}

static inline logdrive_attribute logdrive_real(const char *name, double value) {
  logdrive_attribute attribute = logdrive_attribute_(LOGDRIVE_KIND_REAL, name);
  attribute.real = value;
  return attribute;
}

static inline logdrive_attribute logdrive_boolean(const char *name, int value) {
  logdrive_attribute attribute = logdrive_attribute_(LOGDRIVE_KIND_BOOLEAN, name);
  attribute.integer = value != 0;
  return attribute;
}

#if LOGDRIVE_LOCATION
#define LOGDRIVE_SITE_DECLARE_                                                                    \
  static const logdrive_callsite logdrive_site_ = {                                               \
      LOGDRIVE_CAST_(uint32_t, sizeof(logdrive_callsite)), LOGDRIVE_CAST_(uint32_t, __LINE__),    \
      __FILE__, sizeof(__FILE__) - 1, __func__, sizeof(__func__) - 1}
#define LOGDRIVE_SITE_ (&logdrive_site_)
#else
#define LOGDRIVE_SITE_DECLARE_ ((void)0)
#define LOGDRIVE_SITE_ NULL
#endif

/* With a severity that is known at run time only. The format is joined with "", so that it is a literal. */
#define LOGDRIVE_LOGF(logger, severity, ...)                                                      \
  do {                                                                                            \
    if (logdrive_enabled((logger), (severity))) {                                                 \
      LOGDRIVE_SITE_DECLARE_;                                                                     \
      (void)logdrive_logf_at((logger), (severity), LOGDRIVE_SITE_, "" __VA_ARGS__);               \
    }                                                                                             \
  } while (0)

#define LOGDRIVE_LOG_WITH(logger, severity, message, ...)                                         \
  do {                                                                                            \
    if (logdrive_enabled((logger), (severity))) {                                                 \
      LOGDRIVE_SITE_DECLARE_;                                                                     \
      const logdrive_attribute logdrive_attributes_[] = {__VA_ARGS__};                            \
      const char *const logdrive_message_ = (message);                                            \
      (void)logdrive_log_with(                                                                    \
          (logger), (severity), logdrive_message_, strlen(logdrive_message_),                     \
          logdrive_attributes_, sizeof logdrive_attributes_ / sizeof logdrive_attributes_[0],     \
          LOGDRIVE_SITE_);                                                                        \
    }                                                                                             \
  } while (0)

/* Compiled away: neither evaluated nor in the program, though formats are still checked. */
#define LOGDRIVE_NO_LOGF_(logger, ...)                                                            \
  ((void)sizeof(logdrive_logf_at((logger), 0, NULL, "" __VA_ARGS__)))
#define LOGDRIVE_NO_LOG_WITH_(logger, message, ...) ((void)sizeof(logger), (void)sizeof(message))

#if LOGDRIVE_LEVEL_MIN <= 0
#define LOGDRIVE_TRACE(logger, ...) LOGDRIVE_LOGF(logger, LOGDRIVE_SEVERITY_TRACE, __VA_ARGS__)
#define LOGDRIVE_TRACE_WITH(logger, message, ...)                                                 \
  LOGDRIVE_LOG_WITH(logger, LOGDRIVE_SEVERITY_TRACE, message, __VA_ARGS__)
#else
#define LOGDRIVE_TRACE LOGDRIVE_NO_LOGF_
#define LOGDRIVE_TRACE_WITH LOGDRIVE_NO_LOG_WITH_
#endif

#if LOGDRIVE_LEVEL_MIN <= 1
#define LOGDRIVE_DEBUG(logger, ...) LOGDRIVE_LOGF(logger, LOGDRIVE_SEVERITY_DEBUG, __VA_ARGS__)
#define LOGDRIVE_DEBUG_WITH(logger, message, ...)                                                 \
  LOGDRIVE_LOG_WITH(logger, LOGDRIVE_SEVERITY_DEBUG, message, __VA_ARGS__)
#else
#define LOGDRIVE_DEBUG LOGDRIVE_NO_LOGF_
#define LOGDRIVE_DEBUG_WITH LOGDRIVE_NO_LOG_WITH_
#endif

#if LOGDRIVE_LEVEL_MIN <= 2
#define LOGDRIVE_INFO(logger, ...) LOGDRIVE_LOGF(logger, LOGDRIVE_SEVERITY_INFO, __VA_ARGS__)
#define LOGDRIVE_INFO_WITH(logger, message, ...)                                                  \
  LOGDRIVE_LOG_WITH(logger, LOGDRIVE_SEVERITY_INFO, message, __VA_ARGS__)
#else
#define LOGDRIVE_INFO LOGDRIVE_NO_LOGF_
#define LOGDRIVE_INFO_WITH LOGDRIVE_NO_LOG_WITH_
#endif

#if LOGDRIVE_LEVEL_MIN <= 3
#define LOGDRIVE_WARN(logger, ...) LOGDRIVE_LOGF(logger, LOGDRIVE_SEVERITY_WARN, __VA_ARGS__)
#define LOGDRIVE_WARN_WITH(logger, message, ...)                                                  \
  LOGDRIVE_LOG_WITH(logger, LOGDRIVE_SEVERITY_WARN, message, __VA_ARGS__)
#else
#define LOGDRIVE_WARN LOGDRIVE_NO_LOGF_
#define LOGDRIVE_WARN_WITH LOGDRIVE_NO_LOG_WITH_
#endif

#if LOGDRIVE_LEVEL_MIN <= 4
#define LOGDRIVE_ERROR(logger, ...) LOGDRIVE_LOGF(logger, LOGDRIVE_SEVERITY_ERROR, __VA_ARGS__)
#define LOGDRIVE_ERROR_WITH(logger, message, ...)                                                 \
  LOGDRIVE_LOG_WITH(logger, LOGDRIVE_SEVERITY_ERROR, message, __VA_ARGS__)
#else
#define LOGDRIVE_ERROR LOGDRIVE_NO_LOGF_
#define LOGDRIVE_ERROR_WITH LOGDRIVE_NO_LOG_WITH_
#endif

#if LOGDRIVE_LEVEL_MIN <= 5
#define LOGDRIVE_FATAL(logger, ...) LOGDRIVE_LOGF(logger, LOGDRIVE_SEVERITY_FATAL, __VA_ARGS__)
#define LOGDRIVE_FATAL_WITH(logger, message, ...)                                                 \
  LOGDRIVE_LOG_WITH(logger, LOGDRIVE_SEVERITY_FATAL, message, __VA_ARGS__)
#else
#define LOGDRIVE_FATAL LOGDRIVE_NO_LOGF_
#define LOGDRIVE_FATAL_WITH LOGDRIVE_NO_LOG_WITH_
#endif

#endif /* LOGDRIVE_MACROS_H */
