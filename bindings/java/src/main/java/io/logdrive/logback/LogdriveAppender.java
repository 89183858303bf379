package io.logdrive.logback;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.IThrowableProxy;
import ch.qos.logback.classic.spi.ThrowableProxyUtil;
import ch.qos.logback.core.UnsynchronizedAppenderBase;
import ch.qos.logback.core.encoder.Encoder;
import io.logdrive.Attributes;
import io.logdrive.Code;
import io.logdrive.Severity;
import io.logdrive.internal.Outlet;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.slf4j.Marker;
import org.slf4j.event.KeyValuePair;

/**
 * Logback events into logdrive, in the thread that logs: no queue, no lock, and no reason for an AsyncAppender.
 *
 * <p>The text is the formatted message; logger, thread, time, MDC, key-values, markers and a throwable travel as
 * attributes. With an {@code <encoder>} the record is what it makes, and has no attributes. The event is not kept.
 * A refused record is counted, and the first of each reason is a status warning; see {@code ring.full} for what is
 * refused when. Without the native library the appender says so in one status error and drops everything.
 *
 * <p>{@code stop} flushes for {@code close.deadline} (an option). The appender never logs through Logback itself, so it
 * needs no guard against re-entrance.
 */
public class LogdriveAppender extends UnsynchronizedAppenderBase<ILoggingEvent> {
  private final Map<String, String> options = new HashMap<>();
  private String url;
  private String stream;
  private Encoder<ILoggingEvent> encoder;
  private volatile Outlet outlet;

  /** The client's URL; required. */
  public void setUrl(String url) {
    this.url = url;
  }

  /** Another Kafka topic than that of the URL. */
  public void setStream(String stream) {
    this.stream = stream;
  }

  /** An option of docs/configuration.md as {@code name=value}; once per option. */
  public void addOption(String option) {
    Outlet.option(options, option);
  }

  /** What makes the record instead of message and attributes. */
  public void setEncoder(Encoder<ILoggingEvent> encoder) {
    this.encoder = encoder;
  }

  /** What happens to records is told by the client's figures. Null before the start and after the stop. */
  public io.logdrive.Client client() {
    Outlet open = outlet;
    return open == null ? null : open.client();
  }

  @Override
  public void start() {
    if (isStarted()) {
      return;
    }
    try {
      outlet = Outlet.open(url, options, stream);
    } catch (RuntimeException refused) {
      addError("appender '" + getName() + "' cannot log to '" + url + "': " + refused.getMessage(), refused);
      return;
    }
    outlet.client().failure().ifPresent(reason -> addError("appender '" + getName() + "' drops everything: " + reason));
    super.start();
  }

  @Override
  public void stop() {
    super.stop();
    Outlet open = outlet;
    if (open != null) {
      outlet = null;
      open.client().close();
    }
  }

  @Override
  protected void append(ILoggingEvent event) {
    Outlet open = outlet;
    Severity severity = severity(event.getLevel());
    if (open == null || !open.isEnabled(severity)) {
      return;
    }
    Code code =
        encoder == null
            ? open.log(severity, event.getFormattedMessage(), attributes(event))
            : open.log(severity, encoder.encode(event));
    if (open.isFirst(code)) {
      addWarn("appender '" + getName() + "' lost a record, and will not report this again: " + code.text());
    }
  }

  private static Severity severity(Level level) {
    switch (level.toInt()) {
      case Level.ERROR_INT:
        return Severity.ERROR;
      case Level.WARN_INT:
        return Severity.WARN;
      case Level.INFO_INT:
        return Severity.INFO;
      case Level.DEBUG_INT:
        return Severity.DEBUG;
      default:
        return Severity.TRACE;
    }
  }

  private static Attributes attributes(ILoggingEvent event) {
    Attributes attributes = Outlet.origin(event.getLoggerName(), event.getThreadName());
    Instant instant = event.getInstant();
    Outlet.time(attributes, instant == null ? Instant.ofEpochMilli(event.getTimeStamp()) : instant);
    for (Map.Entry<String, String> entry : event.getMDCPropertyMap().entrySet()) {
      attributes.put(entry.getKey(), entry.getValue());
    }
    List<KeyValuePair> pairs = event.getKeyValuePairs();
    if (pairs != null) {
      for (KeyValuePair pair : pairs) {
        attributes.put(pair.key, pair.value);
      }
    }
    List<Marker> markers = event.getMarkerList();
    if (markers != null && !markers.isEmpty()) {
      attributes.put("markers", markers.size() == 1 ? markers.get(0).toString() : markers.toString());
    }
    IThrowableProxy thrown = event.getThrowableProxy();
    if (thrown != null) {
      Outlet.exception(attributes, thrown.getClassName(), thrown.getMessage(), ThrowableProxyUtil.asString(thrown));
    }
    return attributes;
  }
}
