package io.logdrive.jul;

import io.logdrive.Attributes;
import io.logdrive.Client;
import io.logdrive.Code;
import io.logdrive.LogdriveException;
import io.logdrive.Severity;
import io.logdrive.internal.Outlet;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.logging.ErrorManager;
import java.util.logging.Filter;
import java.util.logging.Formatter;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogManager;
import java.util.logging.LogRecord;
import java.util.logging.SimpleFormatter;

/**
 * java.util.logging records into logdrive, in the thread that logs.
 *
 * <p>From logging.properties, each beginning with {@code io.logdrive.jul.LogdriveHandler.}: {@code url} (required),
 * {@code stream}, {@code options} ({@code linger=5ms, codec=zstd}), {@code level} (default ALL), {@code filter},
 * {@code formatter} (default none: the text is the message, the rest travels as attributes).
 *
 * <p>Never throws: what goes wrong is the {@link ErrorManager}'s. The JVM's own shutdown hook closes handlers, perhaps
 * before other hooks have finished to log: a record after that is not logged, and no error.
 */
public final class LogdriveHandler extends Handler {
  private static final Duration FLUSH_MAX = Duration.ofSeconds(2);
  private static final int WARNING = Level.WARNING.intValue();
  private static final int INFO = Level.INFO.intValue();
  private static final int FINE = Level.FINE.intValue();

  /** Formats messages with their parameters and resource bundle; its layout is not used. */
  private final Formatter messages = new SimpleFormatter();

  private volatile Outlet outlet;

  /** Configured by the log manager's properties. */
  public LogdriveHandler() {
    LogManager manager = LogManager.getLogManager();
    String prefix = LogdriveHandler.class.getName() + ".";
    try {
      Map<String, String> options = new HashMap<>();
      String listed = manager.getProperty(prefix + "options");
      if (listed != null) {
        for (String option : listed.split(",")) {
          Outlet.option(options, option);
        }
      }
      String level = manager.getProperty(prefix + "level");
      if (level != null) {
        setLevel(Level.parse(level.trim()));
      }
      String filter = manager.getProperty(prefix + "filter");
      if (filter != null) {
        setFilter((Filter) instance(filter));
      }
      String formatter = manager.getProperty(prefix + "formatter");
      if (formatter != null) {
        setFormatter((Formatter) instance(formatter));
      }
      open(manager.getProperty(prefix + "url"), options, manager.getProperty(prefix + "stream"));
    } catch (ReflectiveOperationException | RuntimeException refused) {
      reportError("the handler logs nothing: " + refused.getMessage(), as(refused), ErrorManager.OPEN_FAILURE);
    }
  }

  /** Configured by the program; {@code stream} null means the topic of the URL. Throws as {@code Logdrive.open}. */
  public LogdriveHandler(String url, Map<String, String> options, String stream) {
    open(url, options, stream);
  }

  private void open(String url, Map<String, String> options, String stream) throws LogdriveException {
    outlet = Outlet.open(url, options, stream);
    outlet.client().failure().ifPresent(reason -> reportError(reason, null, ErrorManager.OPEN_FAILURE));
  }

  /** What happens to records is told by the client's figures. Null after the close. */
  public Client client() {
    Outlet open = outlet;
    return open == null ? null : open.client();
  }

  @Override
  public void publish(LogRecord record) {
    Outlet open = outlet;
    if (open == null || !isLoggable(record)) {
      return;
    }
    Severity severity = severity(record.getLevel().intValue());
    if (!open.isEnabled(severity)) {
      return;
    }
    try {
      Formatter formatter = getFormatter();
      Code code =
          formatter == null
              ? open.log(severity, messages.formatMessage(record), attributes(record))
              : open.log(severity, formatter.format(record).getBytes(StandardCharsets.UTF_8));
      // Closed meanwhile by the JVM's hook: nobody's error.
      if (code != Code.CLOSED && open.isFirst(code)) {
        reportError("lost a record, and will not report this again: " + code.text(), null, ErrorManager.WRITE_FAILURE);
      }
    } catch (RuntimeException defect) {
      reportError(null, defect, ErrorManager.FORMAT_FAILURE);
    }
  }

  /** Waits for acknowledgements, two seconds at most. */
  @Override
  public void flush() {
    Outlet open = outlet;
    if (open != null && open.client().flush(FLUSH_MAX) == Code.DEADLINE_EXCEEDED) {
      reportError(Code.DEADLINE_EXCEEDED.text(), null, ErrorManager.FLUSH_FAILURE);
    }
  }

  /** Flushes for {@code close.deadline}; what is not delivered by then stays stored. */
  @Override
  public void close() {
    Outlet open = outlet;
    if (open != null) {
      outlet = null;
      open.client().close();
    }
  }

  private static Severity severity(int level) {
    if (level > WARNING) {
      return Severity.ERROR;
    } else if (level > INFO) {
      return Severity.WARN;
    } else if (level == INFO) {
      return Severity.INFO;
    }
    return level >= FINE ? Severity.DEBUG : Severity.TRACE;
  }

  private static Attributes attributes(LogRecord record) {
    Attributes attributes = new Attributes().put("logger", record.getLoggerName());
    attributes.put("thread.id", record.getThreadID());
    RecordTime.put(attributes, record);
    if (record.getThrown() != null) {
      Outlet.exception(attributes, record.getThrown());
    }
    return attributes;
  }

  private static Object instance(String className) throws ReflectiveOperationException {
    ClassLoader loader = ClassLoader.getSystemClassLoader();
    return Class.forName(className.trim(), true, loader).getDeclaredConstructor().newInstance();
  }

  private static Exception as(Throwable thrown) {
    return thrown instanceof Exception ? (Exception) thrown : new RuntimeException(thrown);
  }
}
