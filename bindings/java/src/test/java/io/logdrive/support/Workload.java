package io.logdrive.support;

import io.logdrive.Client;
import io.logdrive.Code;
import io.logdrive.Logdrive;
import io.logdrive.Logger;
import io.logdrive.Severity;
import java.io.IOException;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** What tests run in a JVM of its own: {@code Workload NAME URL [ARGUMENT]}. */
public final class Workload {
  public static final int THREADS = 4;

  private Workload() {}

  public static void main(String[] arguments) throws Exception {
    String url = arguments[1];
    switch (arguments[0]) {
      case "say" -> say(url);
      case "hook" -> hook(url);
      case "halt" -> halt(url);
      case "forever" -> forever(url, Path.of(arguments[2]));
      case "drain" -> drain(url);
      case "child" -> child(url);
      case "everything" -> everything(url);
      case "jul" -> jul(url);
      case "faults" -> faults(url);
      default -> throw new IllegalArgumentException(arguments[0]);
    }
  }

  /** One record; prints what became of it, and why there is no library if there is none. */
  private static void say(String url) {
    Client client = Logdrive.open(url);
    Logdrive.open(url).close();
    System.out.println("code " + client.logger().info("said"));
    System.out.println("enabled " + client.logger().isEnabled(Severity.FATAL));
    System.out.println("stream " + client.stream("other").log(Severity.INFO, new byte[1]));
    System.out.println("flush " + client.flush(Duration.ofSeconds(30)));
    System.out.println("stats " + client.stats().values().size());
    System.out.println("close " + client.close(Duration.ofSeconds(30)));
    System.out.println("failure " + client.failure().orElse("none"));
  }

  /** Logs from shutdown hooks, which nobody orders, and closes nothing. */
  private static void hook(String url) {
    Client client = Logdrive.open(url);
    for (int number = 0; number < THREADS; number++) {
      String text = "hook " + number;
      Runtime.getRuntime().addShutdownHook(new Thread(() -> client.logger().info(text)));
    }
    client.logger().info("main");
    System.exit(0);
  }

  /** No hook runs. */
  private static void halt(String url) {
    Client client = Logdrive.open(url);
    client.logger().info("halted");
    Runtime.getRuntime().halt(3);
  }

  /** Four threads log numbered records for ever; each has in {@code file} how many were accepted. */
  private static void forever(String url, Path file) throws IOException {
    Client client = Logdrive.open(url);
    MappedByteBuffer accepted;
    try (FileChannel channel =
        FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE, StandardOpenOption.CREATE)) {
      accepted = channel.map(FileChannel.MapMode.READ_WRITE, 0, 8L * THREADS);
    }
    for (int thread = 0; thread < THREADS; thread++) {
      int number = thread;
      new Thread(() -> logNumbers(client.logger(), accepted, number)).start();
    }
  }

  private static void logNumbers(Logger logger, MappedByteBuffer accepted, int thread) {
    for (long next = 0; ; ) {
      if (logger.info("thread " + thread + " record " + next) == Code.OK) {
        next++;
        accepted.putLong(8 * thread, next);
      }
      if (next % 100 == 0) {
        Thread.yield();
      }
    }
  }

  /** Delivers what a killed process of the same name left. */
  private static void drain(String url) throws InterruptedException {
    Client client = Logdrive.open(url);
    long end = System.nanoTime() + Duration.ofSeconds(Program.PATIENCE_SECONDS).toNanos();
    while (client.stats().value("adoption_done") == 0 || client.stats().stored() > 0) {
      if (System.nanoTime() > end) {
        throw new IllegalStateException("not drained: " + client.stats());
      }
      Thread.sleep(5);
    }
    System.out.println("close " + client.close(Duration.ofSeconds(30)));
  }

  /** Logs through java.util.logging while its log manager closes the handlers. */
  private static void jul(String url) {
    java.util.logging.Logger root = java.util.logging.LogManager.getLogManager().getLogger("");
    root.addHandler(new io.logdrive.jul.LogdriveHandler(url, java.util.Map.of(), null));
    root.removeHandler(root.getHandlers()[0]);
    root.info("main");
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  for (int number = 0; number < 1_000; number++) {
                    root.info("hook " + number);
                  }
                  System.out.println("logged");
                }));
    System.exit(0);
  }

  /** A child process lists its descriptors while the client is connected. */
  private static void child(String url) throws Exception {
    Client client = Logdrive.open(url);
    client.logger().info("connected");
    System.out.println("flush " + client.flush(Duration.ofSeconds(30)));
    List<String> own = new ArrayList<>();
    try (Stream<Path> descriptors = Files.list(Path.of("/proc/self/fd"))) {
      descriptors.filter(Files::isSymbolicLink).forEach(path -> own.add(target(path)));
    }
    System.out.println("sockets here " + own.stream().filter(name -> name.startsWith("socket:")).count());
    Process process = new ProcessBuilder("ls", "-l", "/proc/self/fd").redirectErrorStream(true).start();
    System.out.println("child:\n" + new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8));
    client.close();
  }

  private static String target(Path link) {
    try {
      return Files.readSymbolicLink(link).toString();
    } catch (IOException closedMeanwhile) {
      return "";
    }
  }

  /** Every kind of native call, for {@code -Xcheck:jni}. */
  private static void everything(String url) {
    Client client = Logdrive.open(url);
    Logger logger = client.stream("everything");
    logger.log(Severity.INFO, new byte[0]);
    logger.log(Severity.INFO, new byte[10_000], 5_000, 5_000);
    logger.log(Severity.INFO, new byte[3_000_000]);
    logger.log(Severity.INFO, "pairs", "name", "value", "number", 7);
    client.setLevel(Severity.WARN);
    client.stats();
    try {
      Logdrive.open("nonsense");
    } catch (io.logdrive.LogdriveException expected) {
      System.out.println("refused " + expected.code());
    }
    client.flush(Duration.ofSeconds(30));
    System.out.println("close " + client.close(Duration.ofSeconds(30)));
    logger.log(Severity.ERROR, "after the close");
  }

  /** The JVM turns a fault in its own code into an exception: a handler that a library must leave alone. */
  private static void faults(String url) throws IOException {
    printSignals();
    Client client = Logdrive.open(url);
    int caught = 0;
    for (int round = 0; round < 20_000; round++) {
      client.logger().info("round " + round);
      try {
        // Compiled, this has no check for null: the fault is caught by the handler.
        caught += length(round % 2 == 0 ? null : "text") > 0 ? 0 : 1;
      } catch (NullPointerException fault) {
        caught++;
      }
    }
    System.out.println("caught " + caught);
    printSignals();
    client.close();
  }

  /** What this thread blocks, and what the process ignores and catches. */
  private static void printSignals() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/thread-self/status"))) {
      if (line.startsWith("SigBlk") || line.startsWith("SigIgn") || line.startsWith("SigCgt")) {
        System.out.println(line);
      }
    }
  }

  private static int length(String text) {
    return text.length();
  }
}
