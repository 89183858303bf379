/* Every macro, with a format that is right; with -DWRONG_FORMAT it must not compile. */
#include "logdrive_macros.h"

void header(logdrive_logger *logger);

void header(logdrive_logger *logger) {
  const int number = 1;
  LOGDRIVE_TRACE(logger, "no argument");
  LOGDRIVE_DEBUG(logger, "%d", number);
  LOGDRIVE_INFO(logger, "%s %d", "text", number);
  LOGDRIVE_WARN(logger, "%d", number);
  LOGDRIVE_ERROR(logger, "%d", number);
  LOGDRIVE_FATAL(logger, "%d", number);
  LOGDRIVE_TRACE_WITH(logger, "text", logdrive_signed("n", number));
  LOGDRIVE_DEBUG_WITH(logger, "text", logdrive_unsigned("n", 2));
  LOGDRIVE_INFO_WITH(logger, "text", logdrive_real("n", 0.5), logdrive_boolean("b", 1));
  LOGDRIVE_WARN_WITH(logger, "text", logdrive_text("n", "value"));
  LOGDRIVE_ERROR_WITH(logger, "text", logdrive_bytes("n", "value", 5));
  LOGDRIVE_FATAL_WITH(logger, "cut-off-marker", logdrive_text("n", "value"));
#ifdef WRONG_FORMAT
  LOGDRIVE_INFO(logger, "%d", "text");
#endif
}
