package io.logdrive.bench;

import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.util.LogbackMDCAdapter;
import io.logdrive.Client;
import java.util.concurrent.TimeUnit;
import org.apache.logging.log4j.core.config.builder.api.ConfigurationBuilder;
import org.apache.logging.log4j.core.config.builder.api.ConfigurationBuilderFactory;
import org.apache.logging.log4j.core.config.builder.impl.BuiltConfiguration;
import org.apache.logging.log4j.core.config.Configurator;
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

/** A call of each framework, two parameters in a text of about 200 B, through our appender; limit 1.3 x {@link Log4jAsyncFileCalls}. */
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = Bursts.WARMUP)
@Measurement(iterations = Bursts.MEASURED)
@Fork(1)
public class AppenderCalls {
  /** Logback with nothing but our appender. */
  @State(Scope.Benchmark)
  public static class Logback {
    private final LoggerContext context = new LoggerContext();
    private final io.logdrive.logback.LogdriveAppender appender = new io.logdrive.logback.LogdriveAppender();
    private org.slf4j.Logger logger;
    private long logged;

    @Setup
    public void open() {
      context.setMDCAdapter(new LogbackMDCAdapter());
      appender.setContext(context);
      appender.setUrl(Bursts.url());
      appender.start();
      ch.qos.logback.classic.Logger root = context.getLogger("ROOT");
      root.addAppender(appender);
      root.setLevel(ch.qos.logback.classic.Level.INFO);
      logger = context.getLogger("io.logdrive.bench.AppenderCalls");
    }

    @Setup(Level.Iteration)
    public void drain() {
      Bursts.await(() -> appender.client().stats().accepted() >= logged);
    }

    @TearDown
    public void close() {
      refuseRefusals(appender.client());
      context.stop();
    }
  }

  /** Log4j with nothing but our appender. */
  @State(Scope.Benchmark)
  public static class Log4j {
    private org.apache.logging.log4j.Logger logger;
    private Client client;
    private long logged;

    @Setup
    public void open() {
      ConfigurationBuilder<BuiltConfiguration> builder = ConfigurationBuilderFactory.newConfigurationBuilder();
      builder.add(builder.newAppender("drive", "Logdrive").addAttribute("url", Bursts.url()));
      builder.add(builder.newRootLogger(org.apache.logging.log4j.Level.INFO).add(builder.newAppenderRef("drive")));
      var context = Configurator.initialize(builder.build());
      io.logdrive.log4j2.LogdriveAppender appender = context.getConfiguration().getAppender("drive");
      client = appender.client();
      logger = context.getLogger("io.logdrive.bench.AppenderCalls");
    }

    @Setup(Level.Iteration)
    public void drain() {
      Bursts.await(() -> client.stats().accepted() >= logged);
    }

    @TearDown
    public void close() {
      refuseRefusals(client);
    }
  }

  @Benchmark
  @OperationsPerInvocation(Bursts.CALLS)
  public void logback(Logback state) {
    for (int call = 0; call < Bursts.CALLS; call++) {
      state.logger.info("{} of {}", Bursts.TEXT, call);
    }
    state.logged += Bursts.CALLS;
  }

  @Benchmark
  @OperationsPerInvocation(Bursts.CALLS)
  public void log4j(Log4j state) {
    for (int call = 0; call < Bursts.CALLS; call++) {
      state.logger.info("{} of {}", Bursts.TEXT, call);
    }
    state.logged += Bursts.CALLS;
  }

  private static void refuseRefusals(Client client) {
    if (client.stats().refused() > 0) {
      throw new IllegalStateException("records were refused: " + client.stats());
    }
  }
}
