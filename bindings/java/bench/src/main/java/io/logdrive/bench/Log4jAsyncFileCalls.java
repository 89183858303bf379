package io.logdrive.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.async.AsyncLoggerContext;
import org.apache.logging.log4j.core.config.Configurator;
import org.apache.logging.log4j.core.config.builder.api.ConfigurationBuilderFactory;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** The measure: the same call into Log4j's own asynchronous loggers in front of its fastest file appender. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = Bursts.WARMUP)
@Measurement(iterations = Bursts.MEASURED)
@Fork(
    value = 1,
    jvmArgsAppend = "-Dlog4j2.contextSelector=org.apache.logging.log4j.core.async.AsyncLoggerContextSelector")
public class Log4jAsyncFileCalls {
  private static final String PATTERN = "%d{ISO8601} %-5p [%t] %c - %m%n";

  private Path dir;
  private LoggerContext context;
  private org.apache.logging.log4j.Logger logger;
  private long capacity;

  @Setup
  public void open() throws IOException {
    dir = Files.createTempDirectory(Path.of("/dev/shm"), "log4j-bench-");
    var builder = ConfigurationBuilderFactory.newConfigurationBuilder();
    builder.add(
        builder.newAppender("file", "RandomAccessFile")
            .addAttribute("fileName", dir.resolve("bench.log"))
            .addAttribute("immediateFlush", false)
            .addAttribute("append", false)
            .add(builder.newLayout("PatternLayout").addAttribute("pattern", PATTERN)));
    builder.add(builder.newRootLogger(org.apache.logging.log4j.Level.INFO).add(builder.newAppenderRef("file")));
    context = Configurator.initialize(builder.build());
    if (!(context instanceof AsyncLoggerContext)) {
      throw new IllegalStateException("the loggers are not asynchronous");
    }
    logger = context.getLogger("io.logdrive.bench.Log4jAsyncFileCalls");
    capacity = ((AsyncLoggerContext) context).createRingBufferAdmin().getBufferSize();
  }

  @Setup(Level.Iteration)
  public void drain() {
    var queue = ((AsyncLoggerContext) context).createRingBufferAdmin();
    Bursts.await(() -> queue.getRemainingCapacity() == capacity);
  }

  @TearDown
  public void close() throws IOException {
    context.stop();
    try (Stream<Path> files = Files.walk(dir).sorted(java.util.Comparator.reverseOrder())) {
      for (Path file : (Iterable<Path>) files::iterator) {
        Files.delete(file);
      }
    }
  }

  @Benchmark
  @OperationsPerInvocation(Bursts.CALLS)
  public void log4jAsyncFile() {
    for (int call = 0; call < Bursts.CALLS; call++) {
      logger.info("{} of {}", Bursts.TEXT, call);
    }
  }
}
