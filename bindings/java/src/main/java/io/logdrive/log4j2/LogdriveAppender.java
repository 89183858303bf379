package io.logdrive.log4j2;

import io.logdrive.Attributes;
import io.logdrive.Client;
import io.logdrive.Code;
import io.logdrive.Severity;
import io.logdrive.internal.Outlet;
import java.io.Serializable;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.Marker;
import org.apache.logging.log4j.core.Appender;
import org.apache.logging.log4j.core.Core;
import org.apache.logging.log4j.core.Filter;
import org.apache.logging.log4j.core.Layout;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.appender.AbstractAppender;
import org.apache.logging.log4j.core.appender.AppenderLoggingException;
import org.apache.logging.log4j.core.config.Property;
import org.apache.logging.log4j.core.config.plugins.Plugin;
import org.apache.logging.log4j.core.config.plugins.PluginBuilderFactory;
import org.apache.logging.log4j.core.config.plugins.PluginBuilderAttribute;
import org.apache.logging.log4j.core.config.plugins.validation.constraints.Required;
import org.apache.logging.log4j.core.time.Instant;
import org.apache.logging.log4j.message.MapMessage;

/**
 * Log4j 2 events into logdrive, in the thread that logs. Everything of the event is copied before {@code append}
 * returns, so events and messages that Log4j uses again are safe.
 *
 * <p>The text is the formatted message; logger, thread, time, context, markers and a throwable travel as attributes, and
 * the fields of a {@link MapMessage}. With a layout the record is what it makes, and has no attributes. Options of
 * docs/configuration.md are {@code <Property name="linger">5ms</Property>}. With {@code ignoreExceptions="false"} a
 * refused record throws; else the first of each reason is reported.
 */
@Plugin(name = "Logdrive", category = Core.CATEGORY_NAME, elementType = Appender.ELEMENT_TYPE, printObject = true)
public final class LogdriveAppender extends AbstractAppender {
  private final LogdriveManager manager;

  private LogdriveAppender(Builder<?> builder, LogdriveManager manager) {
    super(
        builder.getName(),
        builder.getFilter(),
        builder.getLayout(),
        builder.isIgnoreExceptions(),
        builder.getPropertyArray());
    this.manager = manager;
  }

  /** A builder for code and for the configuration. */
  @PluginBuilderFactory
  public static <B extends Builder<B>> B newBuilder() {
    return new Builder<B>().asBuilder();
  }

  /** What happens to records is told by the client's figures. */
  public Client client() {
    return manager.outlet.client();
  }

  @Override
  public void append(LogEvent event) {
    Outlet outlet = manager.outlet;
    Severity severity = severity(event.getLevel());
    if (!outlet.isEnabled(severity)) {
      return;
    }
    Layout<? extends Serializable> layout = getLayout();
    Code code =
        layout == null
            ? outlet.log(severity, event.getMessage().getFormattedMessage(), attributes(event))
            : outlet.log(severity, layout.toByteArray(event));
    if (code != Code.OK && !ignoreExceptions()) {
      throw new AppenderLoggingException("logdrive: " + code.text());
    }
    if (outlet.isFirst(code)) {
      error("appender '" + getName() + "' lost a record, and will not report this again: " + code.text());
    }
  }

  @Override
  public boolean stop(long timeout, TimeUnit unit) {
    setStopping();
    boolean isStopped = super.stop(timeout, unit, false);
    isStopped &= manager.stop(timeout, unit);
    setStopped();
    return isStopped;
  }

  private static Severity severity(Level level) {
    int number = level.intLevel();
    if (number <= Level.FATAL.intLevel()) {
      return Severity.FATAL;
    } else if (number <= Level.ERROR.intLevel()) {
      return Severity.ERROR;
    } else if (number <= Level.WARN.intLevel()) {
      return Severity.WARN;
    } else if (number <= Level.INFO.intLevel()) {
      return Severity.INFO;
    }
    return number <= Level.DEBUG.intLevel() ? Severity.DEBUG : Severity.TRACE;
  }

  private static Attributes attributes(LogEvent event) {
    Attributes attributes = Outlet.origin(event.getLoggerName(), event.getThreadName());
    Instant instant = event.getInstant();
    Outlet.time(attributes, instant.getEpochSecond(), instant.getNanoOfSecond());
    event.getContextData().forEach((name, value) -> attributes.put(name, value));
    if (event.getContextStack() != null && event.getContextStack().getDepth() > 0) {
      attributes.put("ndc", event.getContextStack().asList().toString());
    }
    if (event.getMessage() instanceof MapMessage) {
      ((MapMessage<?, ?>) event.getMessage()).forEach((name, value) -> attributes.put(name, value));
    }
    Marker marker = event.getMarker();
    if (marker != null) {
      attributes.put("markers", marker.hasParents() ? marker.toString() : marker.getName());
    }
    if (event.getThrown() != null) {
      Outlet.exception(attributes, event.getThrown());
    }
    return attributes;
  }

  /**
   * Builds the appender.
   *
   * @param <B> its own type
   */
  public static class Builder<B extends Builder<B>> extends AbstractAppender.Builder<B>
      implements org.apache.logging.log4j.core.util.Builder<LogdriveAppender> {
    @PluginBuilderAttribute
    @Required(message = "a Logdrive appender needs a url")
    private String url;

    @PluginBuilderAttribute private String stream;

    /** The client's URL; required. */
    public B setUrl(String url) {
      this.url = url;
      return asBuilder();
    }

    /** Another Kafka topic than that of the URL. */
    public B setStream(String stream) {
      this.stream = stream;
      return asBuilder();
    }

    /** Null, with the reason on the status logger, where the client cannot be opened. */
    @Override
    public LogdriveAppender build() {
      Map<String, String> options = new TreeMap<>();
      Property[] properties = getPropertyArray() == null ? Property.EMPTY_ARRAY : getPropertyArray();
      for (Property property : properties) {
        options.put(property.getName(), property.getValue());
      }
      try {
        LogdriveManager manager = LogdriveManager.of(url, options, stream);
        LogdriveAppender appender = new LogdriveAppender(this, manager);
        manager.outlet.client().failure().ifPresent(appender::reportFailure);
        return appender;
      } catch (RuntimeException refused) {
        LOGGER.error("appender '{}' cannot log to '{}': {}", getName(), url, refused.getMessage(), refused);
        return null;
      }
    }
  }

  private void reportFailure(String reason) {
    error("appender '" + getName() + "' drops everything: " + reason);
  }
}
