/* For the test programs: a failed check names itself and ends the program with 1. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);        \
      exit(1);                                                                       \
    }                                                                                \
  } while (0)

#define CHECK_CODE(call, expected)                                                   \
  do {                                                                               \
    const int32_t code_ = (call);                                                    \
    if (code_ != (expected)) {                                                       \
      fprintf(stderr, "%s:%d: %s gave %d (%s), not %s\n", __FILE__, __LINE__, #call, \
              (int)code_, logdrive_strerror(code_), #expected);                      \
      exit(1);                                                                       \
    }                                                                                \
  } while (0)

#endif
