package io.logdrive.bench;

import io.logdrive.Attributes;
import io.logdrive.Client;
import io.logdrive.Code;
import io.logdrive.Logdrive;
import io.logdrive.Logger;
import io.logdrive.Severity;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
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

/** The direct API; limit 50 ns for bytes. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = Bursts.WARMUP)
@Measurement(iterations = Bursts.MEASURED)
@Fork(1)
public class DirectCalls {
  private final byte[] bytes = Bursts.TEXT.getBytes(StandardCharsets.UTF_8);
  private Client client;
  private Logger logger;
  private long logged;

  @Setup
  public void open() {
    client = Logdrive.open(Bursts.url());
    logger = client.logger();
  }

  @Setup(Level.Iteration)
  public void drain() {
    Bursts.await(() -> client.stats().accepted() >= logged);
  }

  @TearDown
  public void close() {
    if (client.stats().refused() > 0) {
      throw new IllegalStateException("records were refused: " + client.stats());
    }
    client.close();
  }

  @Benchmark
  @OperationsPerInvocation(Bursts.CALLS)
  public int bytes() {
    int refused = 0;
    for (int call = 0; call < Bursts.CALLS; call++) {
      refused += logger.log(Severity.INFO, bytes) == Code.OK ? 0 : 1;
    }
    logged += Bursts.CALLS;
    return refused;
  }

  @Benchmark
  @OperationsPerInvocation(Bursts.CALLS)
  public int string() {
    int refused = 0;
    for (int call = 0; call < Bursts.CALLS; call++) {
      refused += logger.log(Severity.INFO, Bursts.TEXT) == Code.OK ? 0 : 1;
    }
    logged += Bursts.CALLS;
    return refused;
  }

  @Benchmark
  @OperationsPerInvocation(Bursts.CALLS)
  public int stringWithThreeAttributes() {
    int refused = 0;
    for (int call = 0; call < Bursts.CALLS; call++) {
      Attributes attributes = new Attributes().put("path", "/cart").put("status", 200).put("user", "ada");
      refused += logger.log(Severity.INFO, Bursts.TEXT, attributes) == Code.OK ? 0 : 1;
    }
    logged += Bursts.CALLS;
    return refused;
  }

  @Benchmark
  @OperationsPerInvocation(Bursts.CALLS)
  public int disabled() {
    client.setLevel(Severity.WARN);
    int refused = 0;
    for (int call = 0; call < Bursts.CALLS; call++) {
      refused += logger.log(Severity.INFO, bytes) == Code.OK ? 0 : 1;
    }
    return refused;
  }
}
