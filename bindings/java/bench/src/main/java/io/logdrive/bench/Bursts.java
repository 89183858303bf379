package io.logdrive.bench;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/** What the call benchmarks share: bursts shorter than any queue, each waiting until the one before was drained. */
final class Bursts {
  /** Calls per burst. Fewer than Log4j's asynchronous queue has slots, and 200 B each fit half of 64 MiB of rings. */
  static final int CALLS = 10_000;

  static final int WARMUP = 60;
  static final int MEASURED = 101;

  /** 200 bytes, as a message of a log line. */
  static final String TEXT = "GET /api/v1/orders/4711?expand=positions&page=3 answered 200 in 17 ms for tenant 42 "
      + "from 10.3.201.17 by worker 5, 1832 bytes, cache miss, upstream inventory-7 retried once after timeout, "
      + "trace 7fa9 ok";

  private Bursts() {}

  static void await(BooleanSupplier isDrained) {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (!isDrained.getAsBoolean()) {
      if (System.nanoTime() > end) {
        throw new IllegalStateException("the queue is not drained");
      }
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(1));
    }
  }

  /** A client without a receiver: records go as far as the spool, whose oldest give way. */
  static String url() {
    String dir = System.getProperty("bench.dir", "/dev/shm/logdrive-bench-" + ProcessHandle.current().pid());
    return "receivers://127.0.0.1:1/bench?ring.bytes_max=64MiB&close.deadline=0&ring.dir=" + dir
        + "&spool.dir=" + dir + "/spool&spool.bytes_max=64MiB";
  }
}
