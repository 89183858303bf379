package io.logdrive;

import java.nio.charset.StandardCharsets;

/**
 * Logs to one stream (a Kafka topic) of a {@link Client}. Any thread may use it, a virtual one too; each record is one
 * native call. No method throws, whatever it is given: the code says what became of the record. What is refused is
 * counted by reason in {@link Client#stats}.
 *
 * <p>A call never blocks under {@code ring.full=refuse}, the default. Under {@code ring.full=block} it may hold up a
 * virtual thread's carrier.
 */
public final class Logger {
  /** Above every record; longer texts are not even encoded. */
  private static final int TEXT_CHARS_MAX = 1 << 20;

  private static final byte[] NO_BYTES = new byte[0];

  private final Client client;
  private final long handle;

  Logger(Client client, long handle) {
    this.client = client;
    this.handle = handle;
  }

  /** Whether a record of this severity would be logged. */
  public boolean isEnabled(Severity severity) {
    return severity != null && severity.ordinal() >= client.level;
  }

  /** Logs bytes as they are. */
  public Code log(Severity severity, byte[] text) {
    return text == null ? Code.INVALID_ARGUMENT : log(severity, text, 0, text.length);
  }

  /** Logs {@code length} bytes from {@code offset} on. */
  public Code log(Severity severity, byte[] text, int offset, int length) {
    if (severity == null || text == null) {
      return Code.INVALID_ARGUMENT;
    }
    if (severity.ordinal() < client.level) {
      return client.whenDisabled;
    }
    // Without overflow; the native half relies on it.
    if ((offset | length) < 0 || length > text.length - offset) {
      return Code.INVALID_ARGUMENT;
    }
    return Code.of(Native.log(handle, severity.ordinal(), text, offset, 0, length));
  }

  /** Logs a text as UTF-8; a lone surrogate becomes {@code ?}. */
  public Code log(Severity severity, String text) {
    if (severity == null || text == null) {
      return Code.INVALID_ARGUMENT;
    }
    if (severity.ordinal() < client.level) {
      return client.whenDisabled;
    }
    if (text.length() > TEXT_CHARS_MAX) {
      return refuseTooLarge(severity);
    }
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    return Code.of(Native.log(handle, severity.ordinal(), bytes, 0, 0, bytes.length));
  }

  /** Logs a text with attributes, which may be used again afterwards. */
  public Code log(Severity severity, String text, Attributes attributes) {
    if (severity == null || text == null || attributes == null) {
      return Code.INVALID_ARGUMENT;
    }
    return severity.ordinal() < client.level ? client.whenDisabled : attributes.log(this, severity, text);
  }

  /** Logs a text with names and values in turns: {@code log(INFO, "request", "path", path, "status", 200)}. */
  public Code log(Severity severity, String text, Object... namesAndValues) {
    if (severity == null || text == null || namesAndValues == null || namesAndValues.length % 2 != 0) {
      return Code.INVALID_ARGUMENT;
    }
    if (severity.ordinal() < client.level) {
      return client.whenDisabled;
    }
    Attributes attributes = new Attributes();
    for (int at = 0; at < namesAndValues.length; at += 2) {
      attributes.put(String.valueOf(namesAndValues[at]), namesAndValues[at + 1]);
    }
    return attributes.log(this, severity, text);
  }

  /** Logs at TRACE. */
  public Code trace(String text) {
    return log(Severity.TRACE, text);
  }

  /** Logs at DEBUG. */
  public Code debug(String text) {
    return log(Severity.DEBUG, text);
  }

  /** Logs at INFO. */
  public Code info(String text) {
    return log(Severity.INFO, text);
  }

  /** Logs at WARN. */
  public Code warn(String text) {
    return log(Severity.WARN, text);
  }

  /** Logs at ERROR. */
  public Code error(String text) {
    return log(Severity.ERROR, text);
  }

  /** Logs at FATAL; does not end the program. */
  public Code fatal(String text) {
    return log(Severity.FATAL, text);
  }

  /** Has the native half refuse, and count, a record that is too large to be passed. */
  Code refuseTooLarge(Severity severity) {
    return Code.of(Native.log(handle, severity.ordinal(), NO_BYTES, 0, 0, Integer.MAX_VALUE));
  }

  /** Attributes and text behind each other from the array's beginning; for {@link Attributes}. */
  Code logPacked(Severity severity, byte[] packed, int attributesLength, int textLength) {
    // A builder that two threads use at once may be wrong about its lengths; the native half relies on them.
    if ((attributesLength | textLength) < 0 || textLength > packed.length - attributesLength) {
      return Code.INVALID_ARGUMENT;
    }
    return Code.of(Native.log(handle, severity.ordinal(), packed, 0, attributesLength, textLength));
  }
}
