package io.logdrive.bench;

import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.util.LogbackMDCAdapter;
import ch.qos.logback.core.Appender;
import ch.qos.logback.core.helpers.NOPAppender;
import io.logdrive.logback.LogdriveAppender;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.LockSupport;
import net.logstash.logback.appender.LogstashTcpSocketAppender;
import net.logstash.logback.appender.listener.TcpAppenderListener;
import net.logstash.logback.encoder.LogstashEncoder;
import org.HdrHistogram.Histogram;

/**
 * The distribution of a Logback call under a steady load: {@code logdrive URL}, {@code logstash} or {@code nothing} (an
 * appender that does nothing: what the machine, the JVM and Logback cost), then calls per second over all threads,
 * threads, seconds. Each side runs in a JVM of its own, with a receiver on the same machine.
 */
public final class Latency {
  private static final LongAdder LOGSTASH_DROPPED = new LongAdder();
  private static final double WARMUP_SECONDS = 3;

  private Latency() {}

  public static void main(String[] arguments) throws Exception {
    int at = 0;
    String side = arguments[at++];
    LoggerContext context = new LoggerContext();
    Appender<ILoggingEvent> appender = appender(side, context, side.equals("logdrive") ? arguments[at++] : null);
    double rate = Double.parseDouble(arguments[at++]);
    int threads = Integer.parseInt(arguments[at++]);
    double seconds = Double.parseDouble(arguments[at]);
    context.setMDCAdapter(new LogbackMDCAdapter());
    appender.start();
    ch.qos.logback.classic.Logger root = context.getLogger("ROOT");
    root.addAppender(appender);
    root.setLevel(ch.qos.logback.classic.Level.INFO);
    run(context, threads, rate, WARMUP_SECONDS);
    Histogram found = run(context, threads, rate, seconds);
    System.out.printf(
        "%-8s %8.0f/s x %2.0f s, %d threads: p50 %6d  p99 %7d  p99.9 %9d  p99.99 %9d  max %10d ns%n",
        side, found.getTotalCount() / seconds, seconds, threads, found.getValueAtPercentile(50),
        found.getValueAtPercentile(99), found.getValueAtPercentile(99.9), found.getValueAtPercentile(99.99),
        found.getMaxValue());
    if (appender instanceof LogdriveAppender) {
      var stats = ((LogdriveAppender) appender).client().stats();
      System.out.println("logdrive refused " + stats.refused() + " of " + (stats.accepted() + stats.refused()));
    }
    if (LOGSTASH_DROPPED.sum() > 0) {
      System.out.println("logstash dropped " + LOGSTASH_DROPPED.sum() + ", those of the warm-up included");
    }
    context.stop();
    System.exit(0);
  }

  private static Appender<ILoggingEvent> appender(String side, LoggerContext context, String url) throws Exception {
    switch (side) {
      case "logdrive":
        return logdrive(context, url);
      case "logstash":
        return logstash(context);
      default:
        return new NOPAppender<>();
    }
  }

  private static Appender<ILoggingEvent> logdrive(LoggerContext context, String url) {
    LogdriveAppender appender = new LogdriveAppender();
    appender.setContext(context);
    appender.setUrl(url);
    return appender;
  }

  /** As its documentation sets it up, in front of a socket whose other end reads everything and does nothing. */
  private static Appender<ILoggingEvent> logstash(LoggerContext context) throws Exception {
    ServerSocket server = new ServerSocket(0);
    Thread reader = new Thread(() -> readAll(server), "sink");
    reader.setDaemon(true);
    reader.start();
    LogstashEncoder encoder = new LogstashEncoder();
    encoder.setContext(context);
    encoder.start();
    LogstashTcpSocketAppender appender = new LogstashTcpSocketAppender();
    appender.setContext(context);
    appender.addDestinations(new InetSocketAddress("127.0.0.1", server.getLocalPort()));
    appender.setEncoder(encoder);
    // Counted here instead of printed again and again.
    appender.setAddDefaultStatusListener(false);
    appender.addListener(
        new TcpAppenderListener<>() {
          @Override
          public void eventAppendFailed(Appender<ILoggingEvent> from, ILoggingEvent event, Throwable reason) {
            LOGSTASH_DROPPED.increment();
          }
        });
    return appender;
  }

  private static void readAll(ServerSocket server) {
    byte[] buffer = new byte[1 << 16];
    try (Socket socket = server.accept(); InputStream stream = socket.getInputStream()) {
      while (stream.read(buffer) >= 0) {
        // Only read.
      }
    } catch (java.io.IOException gone) {
      System.err.println("the sink ended: " + gone);
    }
  }

  private static Histogram run(LoggerContext context, int threads, double rate, double seconds)
      throws InterruptedException {
    List<Histogram> found = new ArrayList<>();
    List<Thread> running = new ArrayList<>();
    for (int number = 0; number < threads; number++) {
      Histogram histogram = new Histogram(TimeUnit.SECONDS.toNanos(10), 3);
      Thread thread = new Thread(() -> log(context, histogram, rate / threads, seconds), "load-" + number);
      found.add(histogram);
      running.add(thread);
      thread.start();
    }
    Histogram all = new Histogram(TimeUnit.SECONDS.toNanos(10), 3);
    for (int number = 0; number < threads; number++) {
      running.get(number).join();
      all.add(found.get(number));
    }
    return all;
  }

  /** Every millisecond as many calls as are due, each timed by itself. */
  private static void log(LoggerContext context, Histogram histogram, double rate, double seconds) {
    var logger = context.getLogger("io.logdrive.bench.Latency");
    long start = System.nanoTime();
    long total = (long) (rate * seconds);
    for (long done = 0; done < total; ) {
      long due = Math.min(total, (long) ((System.nanoTime() - start) / 1e9 * rate));
      for (; done < due; done++) {
        long before = System.nanoTime();
        logger.info("{} of {}", Bursts.TEXT, done);
        histogram.recordValue(Math.min(System.nanoTime() - before, TimeUnit.SECONDS.toNanos(9)));
      }
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(1));
    }
  }
}
