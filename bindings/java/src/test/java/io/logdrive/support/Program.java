package io.logdrive.support;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** Other processes: JVMs that run a part of {@link Workload}, and tools. */
public final class Program {
  /** How long any wait may take: the machine may be busy with other things. */
  public static final long PATIENCE_SECONDS = 60;

  private Program() {}

  /** What a finished process left. */
  public record Outcome(int status, String output) {}

  /** A JVM as the one that runs the tests, with its class path. */
  public static List<String> java(List<String> options, String... arguments) {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add("-Xmx128m");
    boolean isSaid = options.stream().anyMatch(option -> option.startsWith("--enable-native-access"));
    if (Runtime.version().feature() >= 24 && !isSaid) {
      command.add("--enable-native-access=ALL-UNNAMED");
    }
    command.addAll(options);
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), Workload.class.getName()));
    command.addAll(List.of(arguments));
    return command;
  }

  /** Runs a command to its end, and kills it where it hangs; both of its outputs together. */
  public static Outcome run(List<String> command) throws IOException {
    Path file = Files.createTempFile("logdrive-output-", ".txt");
    try {
      Process process =
          new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(file.toFile()).start();
      boolean isFinished = process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS);
      process.destroyForcibly();
      String output = Files.readString(file);
      assertTrue(isFinished, () -> command + " does not end: " + output);
      return new Outcome(process.exitValue(), output);
    } catch (InterruptedException interrupted) {
      throw new IOException(interrupted);
    } finally {
      Files.delete(file);
    }
  }

  /** The output of a command that has to succeed. */
  public static String output(List<String> command) throws IOException {
    Outcome outcome = run(command);
    assertEquals(0, outcome.status, () -> command + ": " + outcome.output);
    return outcome.output;
  }

  /** Waits for a condition. */
  public static void await(String what, BooleanSupplier condition) {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() < end, () -> "waited in vain: " + what);
      try {
        Thread.sleep(5);
      } catch (InterruptedException interrupted) {
        throw new AssertionError(interrupted);
      }
    }
  }
}
