package io.logdrive.support;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** A {@code logdrive receive} process with a directory of its own, which also holds the clients' files. */
public final class Receiver implements AutoCloseable {
  private static final String TOOL = System.getProperty("logdrive.binary");
  private static final Pattern RECORDS = Pattern.compile("\"records\":(\\d+)");

  private final Path dir;
  private Process process;
  private String address = "127.0.0.1:0";

  public Receiver() throws IOException {
    dir = Files.createTempDirectory("logdrive-test-");
    start();
  }

  private void start() throws IOException {
    process =
        new ProcessBuilder(TOOL, "receive", "--listen", address, "--dir", dir.resolve("in").toString())
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    String line = process.inputReader().readLine();
    assertTrue(line != null && line.startsWith("listening on "), "the receiver said " + line);
    address = line.substring("listening on ".length());
  }

  /** Killed hard, so that answers under way are lost, and started again on the same port and directory. */
  public void restart() throws IOException, InterruptedException {
    process.destroyForcibly();
    assertTrue(process.waitFor(Program.PATIENCE_SECONDS, TimeUnit.SECONDS));
    start();
  }

  /** Apart from other tests' slots. */
  public String url() {
    return "receivers://" + address + "/java-tests?close.deadline=30s&ring.dir=" + dir + "/ring&spool.dir=" + dir + "/spool";
  }

  public Path dir() {
    return dir;
  }

  /** Nothing is damaged or missing (the tool fails else); how many records there are, duplicates included. */
  public long verified(String... arguments) throws IOException {
    List<String> command = new ArrayList<>(List.of(TOOL, "verify", "--json", dir.resolve("in").toString()));
    command.addAll(List.of(arguments));
    String json = Program.output(command);
    assertTrue(json.contains("\"complete\":true"), json);
    Matcher records = RECORDS.matcher(json);
    assertTrue(records.find(), json);
    return Long.parseLong(records.group(1));
  }

  /** The texts of all records, each once. */
  public List<String> texts() throws IOException {
    return lines("text");
  }

  /** All records as JSON, each once. */
  public List<String> json() throws IOException {
    return lines("json");
  }

  /** The JSON of the one record with this in it. */
  public String record(String part) throws IOException {
    List<String> found = json().stream().filter(line -> line.contains(part)).toList();
    assertTrue(found.size() == 1, () -> part + " is in " + found);
    return found.get(0);
  }

  private List<String> lines(String format) throws IOException {
    return Program.output(List.of(TOOL, "cat", "--format", format, dir.resolve("in").toString())).lines().toList();
  }

  @Override
  public void close() throws IOException {
    process.destroyForcibly();
    try (Stream<Path> files = Files.walk(dir)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(file);
      }
    }
  }
}
