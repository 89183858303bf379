package io.logdrive;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.logdrive.support.Program;
import io.logdrive.support.Receiver;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** How the library is found, and that an application lives on where it is not. */
class LoaderTest {
  private Receiver receiver;
  private Path dir;

  @BeforeEach
  void open() throws Exception {
    receiver = new Receiver();
    dir = Files.createDirectory(receiver.dir().resolve("loader"));
  }

  @AfterEach
  void close() throws Exception {
    receiver.close();
  }

  @Test
  void theLibraryOfTheJarIsCopiedLoadedAndDeleted() throws Exception {
    assertLogs(say("-Dlogdrive.library.dir=" + dir.resolve("made/for/it")));
    try (Stream<Path> left = Files.list(dir.resolve("made/for/it"))) {
      assertEquals(List.of(), left.toList());
    }
  }

  @Test
  void aPathIsTakenAsItIsAndNothingElseIsTried() throws Exception {
    assertLogs(say("-Dlogdrive.library.path=" + library()));
    assertLogsNothing(say("-Dlogdrive.library.path=" + dir.resolve("absent.so")), "absent.so");
    Path text = Files.writeString(dir.resolve("text.so"), "no library");
    assertLogsNothing(say("-Dlogdrive.library.path=" + text), "text.so");
  }

  @Test
  void theLibraryPathIsLookedAt() throws Exception {
    // A file that is found and is no library shows that it was looked at; then the one in the jar is taken.
    Files.copy(library(), dir.resolve("liblogdrive_jni.so"));
    assertLogs(say("-Djava.library.path=" + dir, "-Dlogdrive.library.dir=/proc/nowhere"));
  }

  @Test
  void aDirectoryWithoutCodeIsReportedOnce() throws Exception {
    Path noexec = Files.createDirectory(dir.resolve("noexec"));
    mount(noexec);
    try {
      Program.Outcome outcome = say("-Dlogdrive.library.dir=" + noexec);
      assertLogsNothing(outcome, "noexec");
      assertEquals(1, outcome.output().split("nothing will be logged", -1).length - 1, outcome.output());
      // Only the usual temporary directory is such: another one is found.
      assertLogs(say("-Djava.io.tmpdir=" + noexec));
    } finally {
      Program.output(List.of("umount", noexec.toString()));
    }
  }

  @Test
  void aDirectoryThatCannotBeWrittenIsReported() throws Exception {
    assertLogsNothing(say("-Dlogdrive.library.dir=/proc/nowhere"), "/proc/nowhere");
    Path file = Files.writeString(dir.resolve("file"), "");
    assertLogsNothing(say("-Dlogdrive.library.dir=" + file), "file");
    assertLogs(say("-Djava.io.tmpdir=/proc/nowhere"));
  }

  @Test
  @Tag("virtual-threads") // as new a JVM
  void aJvmThatForbidsNativeCodeRunsOn() throws Exception {
    assumeTrue(Runtime.version().feature() >= 24, "the option is of JDK 24");
    Program.Outcome outcome = say("--enable-native-access=java.base", "--illegal-native-access=deny");
    assertLogsNothing(outcome, "IllegalCallerException");
  }

  /** As two deployments in one server: each has classes, library and client of its own, under one name. */
  @Test
  void twoClassLoadersLogSideBySide() throws Exception {
    List<URL> path = new ArrayList<>();
    path.add(Native.class.getProtectionDomain().getCodeSource().getLocation());
    List<AutoCloseable> clients = new ArrayList<>();
    List<Class<?>> classes = new ArrayList<>();
    for (int number = 0; number < 3; number++) {
      ClassLoader own = new URLClassLoader(path.toArray(new URL[0]), ClassLoader.getPlatformClassLoader());
      Class<?> logdrive = own.loadClass("io.logdrive.Logdrive");
      AutoCloseable client = (AutoCloseable) logdrive.getMethod("open", String.class).invoke(null, receiver.url());
      Object logger = client.getClass().getMethod("logger").invoke(client);
      Object code = logger.getClass().getMethod("info", String.class).invoke(logger, "loader " + number);
      assertEquals("OK", code.toString());
      clients.add(client);
      classes.add(logdrive);
    }
    assertNotSame(classes.get(0), classes.get(1));
    for (AutoCloseable client : clients) {
      client.close();
    }
    assertEquals(Set.of("loader 0", "loader 1", "loader 2"), Set.copyOf(receiver.texts()));
    assertEquals(3, receiver.verified());
  }

  private Program.Outcome say(String... options) throws IOException {
    return Program.run(Program.java(List.of(options), "say", receiver.url()));
  }

  private static void assertLogs(Program.Outcome outcome) {
    assertEquals(0, outcome.status(), outcome.output());
    assertTrue(outcome.output().contains("code OK\n"), outcome.output());
    assertTrue(outcome.output().contains("failure none"), outcome.output());
  }

  private static void assertLogsNothing(Program.Outcome outcome, String reason) {
    String output = outcome.output();
    assertEquals(0, outcome.status(), output);
    assertTrue(output.contains("logdrive: nothing will be logged: "), output);
    assertTrue(output.substring(output.indexOf("failure ")).contains(reason), output);
    for (String what : List.of("code", "stream", "flush", "close")) {
      assertTrue(output.contains(what + " UNAVAILABLE\n"), what + " in " + output);
    }
    assertTrue(output.contains("enabled false\n"), output);
    assertFalse(output.contains("Exception in thread"), output);
  }

  private static Path library() throws Exception {
    Path classes = Path.of(Native.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    return classes.resolve("META-INF/native/linux-" + System.getProperty("os.arch").replace("amd64", "x86_64"))
        .resolve("liblogdrive_jni.so");
  }

  private static void mount(Path at) throws IOException {
    List<String> command = List.of("mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", at.toString());
    Program.Outcome outcome = Program.run(command);
    assumeTrue(outcome.status() == 0, () -> "no right to mount a file system: " + outcome.output());
  }
}
