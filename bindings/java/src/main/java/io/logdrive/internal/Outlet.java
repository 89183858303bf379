package io.logdrive.internal;

import io.logdrive.Attributes;
import io.logdrive.Client;
import io.logdrive.Code;
import io.logdrive.Logdrive;
import io.logdrive.Logger;
import io.logdrive.Severity;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.time.Instant;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * What the appenders of the logging frameworks share: a client with one logger, the names of attributes, and the first
 * refusal of each kind, which is the only one they report (all are counted in the client's figures). Not API.
 */
public final class Outlet {
  private final Client client;
  private final Logger logger;
  /** One bit per code that was reported. */
  private final AtomicInteger reported = new AtomicInteger();

  private Outlet(Client client, Logger logger) {
    this.client = client;
    this.logger = logger;
  }

  /** Opens the client; {@code stream} null or empty means the topic of the URL. Throws as {@link Logdrive#open}. */
  public static Outlet open(String url, Map<String, String> options, String stream) {
    Client client = Logdrive.open(url, options);
    try {
      boolean isOwn = stream == null || stream.isEmpty();
      return new Outlet(client, isOwn ? client.logger() : client.stream(stream));
    } catch (RuntimeException refused) {
      client.close();
      throw refused;
    }
  }

  /** The client behind it. */
  public Client client() {
    return client;
  }

  /** Whether a record of this severity would be logged. */
  public boolean isEnabled(Severity severity) {
    return logger.isEnabled(severity);
  }

  /** Logs a text with attributes. */
  public Code log(Severity severity, String text, Attributes attributes) {
    return logger.log(severity, text == null ? "null" : text, attributes);
  }

  /** Logs what an encoder or a layout made. */
  public Code log(Severity severity, byte[] encoded) {
    return logger.log(severity, encoded);
  }

  /** Whether this code is a refusal that was not reported before. */
  public boolean isFirst(Code code) {
    if (code == Code.OK) {
      return false;
    }
    int bit = 1 << code.ordinal();
    return (reported.get() & bit) == 0 && (reported.getAndUpdate(old -> old | bit) & bit) == 0;
  }

  /** Splits {@code name=value}, as options are written in the frameworks' files. */
  public static void option(Map<String, String> options, String text) {
    int equals = text.indexOf('=');
    if (equals < 1) {
      throw new IllegalArgumentException("option '" + text + "' is not name=value");
    }
    options.put(text.substring(0, equals).trim(), text.substring(equals + 1).trim());
  }

  /** The attributes that every framework's event has. */
  public static Attributes origin(String loggerName, String threadName) {
    return new Attributes().put("logger", loggerName).put("thread", threadName);
  }

  /** When the event was made, which behind an asynchronous appender is earlier than the record. */
  public static void time(Attributes attributes, long seconds, int nanoseconds) {
    attributes.put("event.time_ns", seconds * 1_000_000_000L + nanoseconds);
  }

  /** As {@link #time(Attributes, long, int)}. */
  public static void time(Attributes attributes, Instant instant) {
    time(attributes, instant.getEpochSecond(), instant.getNano());
  }

  /** Class, message and stack trace of what was thrown; one whose own methods throw is named by its class. */
  public static void exception(Attributes attributes, Throwable thrown) {
    try {
      StringWriter trace = new StringWriter();
      thrown.printStackTrace(new PrintWriter(trace, true));
      exception(attributes, thrown.getClass().getName(), thrown.getMessage(), trace.toString());
    } catch (RuntimeException defect) {
      attributes.put("exception.type", thrown.getClass().getName());
    }
  }

  /** The names are those of OpenTelemetry's conventions. */
  public static void exception(Attributes attributes, String type, String message, String trace) {
    attributes.put("exception.type", type);
    if (message != null) {
      attributes.put("exception.message", message);
    }
    attributes.put("exception.stacktrace", trace);
  }
}
