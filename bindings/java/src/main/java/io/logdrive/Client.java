package io.logdrive;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A running client; {@link Logdrive#open} makes one. Any thread may use it. It is also the way to the
 * {@link Logger} of the topic in its URL.
 *
 * <p>The end of the JVM flushes for {@code close.deadline}, two seconds at most over all clients, after all shutdown
 * hooks. What is not delivered by then, or after {@code kill -9}, is sent by the next process that opens the same
 * {@code name}. A client that is not closed lives on: it is not closed by the garbage collector.
 */
public final class Client implements AutoCloseable {
  /** Above every severity. */
  private static final int NOTHING = Integer.MAX_VALUE;

  /** Records below it are not logged. Volatile, so that other threads see a change; a read costs as a plain one. */
  volatile int level;

  /** What a log call gives for a record below the level. */
  final Code whenDisabled;

  private final long handle;
  private final String failure;
  private final Logger logger;
  private final Map<String, Logger> streams = new ConcurrentHashMap<>();

  Client(long handle) {
    this.handle = handle;
    failure = null;
    whenDisabled = Code.OK;
    logger = new Logger(this, opened(Native.stream(handle, null), ""));
  }

  /** A client that logs nothing, because there is no library. */
  Client(String failure) {
    this.failure = failure;
    handle = 0;
    whenDisabled = Code.UNAVAILABLE;
    level = NOTHING;
    logger = new Logger(this, 0);
  }

  /** Why this client logs nothing: its native library could not be loaded. Empty where it works. */
  public Optional<String> failure() {
    return Optional.ofNullable(failure);
  }

  /** The logger of the topic in the URL. */
  public Logger logger() {
    return logger;
  }

  /**
   * The logger of another stream, which is a Kafka topic; the same name gives the same logger. At most 64 streams per
   * client.
   *
   * @throws LogdriveException {@code INVALID_ARGUMENT} where Kafka would refuse the name, {@code TOO_MANY_STREAMS},
   *     {@code CLOSED}
   */
  public Logger stream(String name) {
    if (name == null) {
      throw new LogdriveException(Code.INVALID_ARGUMENT, "the stream's name is null");
    }
    if (failure != null) {
      return logger;
    }
    return streams.computeIfAbsent(name, this::newLogger);
  }

  private Logger newLogger(String name) {
    byte[] bytes = name.getBytes(StandardCharsets.UTF_8);
    return new Logger(this, opened(Native.stream(handle, bytes), "stream '" + name + "': "));
  }

  /** Records below this severity are not logged from now on, by all loggers of the client. */
  public void setLevel(Severity severity) {
    if (failure == null && severity != null) {
      level = severity.ordinal();
    }
  }

  /**
   * Waits until all that was accepted before the call is acknowledged or accounted for. Blocks its thread, and a
   * virtual thread's carrier, for at most {@code deadline}; other threads go on logging.
   *
   * @return {@code DEADLINE_EXCEEDED}: nothing is lost by it, the records are still stored
   */
  public Code flush(Duration deadline) {
    return failure == null ? Code.of(Native.flush(handle, millis(deadline))) : Code.UNAVAILABLE;
  }

  /** The figures as they are now. Takes a lock and allocates: not for the call path. */
  public Stats stats() {
    byte[] lines = failure == null ? Native.stats(handle) : null;
    return new Stats(lines == null ? new byte[0] : lines);
  }

  /** As {@link #close(Duration)}, with the configured {@code close.deadline}. */
  @Override
  public void close() {
    if (failure == null) {
      // What is not delivered stays stored; there is nobody to tell. Closed before: nothing to do.
      Native.close(handle, -1);
    }
  }

  /**
   * Refuses further records, flushes for at most {@code deadline}, ends the native threads.
   *
   * @return {@code DEADLINE_EXCEEDED}: the next process of this name sends the rest; {@code CLOSED} the second time
   */
  public Code close(Duration deadline) {
    return failure == null ? Code.of(Native.close(handle, millis(deadline))) : Code.UNAVAILABLE;
  }

  private static long millis(Duration deadline) {
    if (deadline == null || deadline.isNegative()) {
      return 0;
    }
    // What does not fit means "for ever", which the native half makes a day.
    return deadline.getSeconds() > Integer.MAX_VALUE ? Long.MAX_VALUE : deadline.toMillis();
  }

  private static long opened(long handle, String what) {
    if (handle > 0) {
      return handle;
    }
    Code code = Code.of(-handle);
    throw new LogdriveException(code, what + code.text());
  }
}
