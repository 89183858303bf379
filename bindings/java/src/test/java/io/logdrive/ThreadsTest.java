package io.logdrive;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.logdrive.support.Program;
import io.logdrive.support.Receiver;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Conservation: what was accepted arrives, exactly once, whatever happens in between. */
class ThreadsTest {
  private static final int THREADS = 4;
  private static final int RECORDS = 20_000;
  private static final Duration PATIENCE = Duration.ofSeconds(Program.PATIENCE_SECONDS);

  @Test
  void fourThreadsAndARestartOfTheReceiverLoseNothing() throws Exception {
    try (Receiver receiver = new Receiver();
        Client client = Logdrive.open(receiver.url())) {
      AtomicLong accepted = new AtomicLong();
      List<Thread> threads = new ArrayList<>();
      for (int number = 0; number < THREADS; number++) {
        String prefix = "thread " + number + " record ";
        threads.add(new Thread(() -> logAll(client.logger(), prefix, RECORDS, accepted)));
      }
      threads.forEach(Thread::start);
      Program.await("half is accepted", () -> accepted.get() > THREADS * RECORDS / 2);
      receiver.restart();
      for (Thread thread : threads) {
        thread.join();
      }
      assertEquals(Code.OK, client.flush(PATIENCE), client.stats()::toString);
      assertEquals(THREADS * RECORDS, client.stats().accepted());
      receiver.verified();
      List<String> texts = receiver.texts();
      assertEquals(THREADS * RECORDS, texts.size());
      assertEquals(THREADS * RECORDS, new HashSet<>(texts).size());
    }
  }

  @Test
  void whatWasAcceptedBeforeAKillArrives() throws Exception {
    try (Receiver receiver = new Receiver()) {
      Path counts = receiver.dir().resolve("counts");
      Process process =
          new ProcessBuilder(Program.java(List.of(), "forever", receiver.url(), counts.toString()))
              .inheritIO()
              .start();
      Program.await("all threads log", () -> accepted(counts).stream().allMatch(count -> count > 5_000));
      receiver.restart();
      long before = accepted(counts).get(0);
      Program.await("all threads log on", () -> accepted(counts).get(0) > before);
      process.destroyForcibly();
      assertTrue(process.waitFor(Program.PATIENCE_SECONDS, TimeUnit.SECONDS));
      assertEquals(128 + 9, process.exitValue());
      assertTrue(Program.output(Program.java(List.of(), "drain", receiver.url())).contains("close OK"));
      receiver.verified();
      Set<String> texts = new HashSet<>(receiver.texts());
      List<Long> accepted = accepted(counts);
      long total = 0;
      for (int thread = 0; thread < accepted.size(); thread++) {
        long count = accepted.get(thread);
        // The one that was accepted, and not counted any more.
        count += texts.contains("thread " + thread + " record " + count) ? 1 : 0;
        total += count;
        for (long record = 0; record < count; record++) {
          String text = "thread " + thread + " record " + record;
          assertTrue(texts.contains(text), () -> text + " is missing");
        }
      }
      assertEquals(total, receiver.texts().size(), "records that nobody logged, or twice");
    }
  }

  /** Each carrier has a ring; a virtual thread may log from many. By reflection, as these tests are for Java 17. */
  @Test
  @Tag("virtual-threads")
  void tenThousandVirtualThreadsLoseNothing() throws Exception {
    int threads = 10_000;
    int each = 10;
    try (Receiver receiver = new Receiver();
        Client client = Logdrive.open(receiver.url())) {
      ExecutorService executor =
          (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
      AtomicLong accepted = new AtomicLong();
      for (int number = 0; number < threads; number++) {
        String prefix = "virtual " + number + " record ";
        executor.submit(
            () -> {
              for (int record = 0; record < each; record++) {
                logOne(client.logger(), prefix + record, accepted);
                Thread.sleep(1);
              }
              return null;
            });
      }
      executor.shutdown();
      assertTrue(executor.awaitTermination(Program.PATIENCE_SECONDS, TimeUnit.SECONDS));
      assertEquals(Code.OK, client.flush(PATIENCE));
      assertEquals((long) threads * each, accepted.get());
      receiver.verified();
      List<String> texts = receiver.texts();
      assertEquals(threads * each, texts.size());
      assertEquals(threads * each, new HashSet<>(texts).size());
    }
  }

  private static void logAll(Logger logger, String prefix, int count, AtomicLong accepted) {
    for (int record = 0; record < count; record++) {
      logOne(logger, prefix + record, accepted);
    }
  }

  /** Until it is accepted: the rings may be full for a moment. */
  private static void logOne(Logger logger, String text, AtomicLong accepted) {
    Code code;
    while ((code = logger.info(text)) == Code.RING_FULL) {
      Thread.yield();
    }
    assertEquals(Code.OK, code);
    accepted.incrementAndGet();
  }

  private static List<Long> accepted(Path counts) {
    List<Long> found = new ArrayList<>();
    try {
      byte[] bytes = Files.exists(counts) ? Files.readAllBytes(counts) : new byte[0];
      for (int thread = 0; thread < THREADS; thread++) {
        found.add(bytes.length < 8 * THREADS ? 0 : ByteBuffer.wrap(bytes).getLong(8 * thread));
      }
    } catch (java.io.IOException unreadable) {
      throw new AssertionError(unreadable);
    }
    return found;
  }
}
