package io.logdrive;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.logdrive.support.Program;
import io.logdrive.support.Receiver;
import java.io.IOException;
import java.lang.ref.WeakReference;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
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
  void aLibraryOfAnotherReleaseIsRefused() throws Exception {
    String bytes = new String(Files.readAllBytes(library()), StandardCharsets.ISO_8859_1);
    Path other = dir.resolve("other.so");
    Files.write(other, bytes.replace(NativeLibrary.version(), "9.9.9").getBytes(StandardCharsets.ISO_8859_1));
    assertLogsNothing(say("-Dlogdrive.library.path=" + other), "the library has version 9.9.9");
  }

  @Test
  void theLibraryPathIsLookedAt() throws Exception {
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
    URL path = Native.class.getProtectionDomain().getCodeSource().getLocation();
    List<AutoCloseable> clients = new ArrayList<>();
    for (int number = 0; number < 3; number++) {
      AutoCloseable client = open(new URLClassLoader(new URL[] {path}, ClassLoader.getPlatformClassLoader()));
      assertEquals("OK", log(client, "loader " + number));
      clients.add(client);
    }
    for (AutoCloseable client : clients) {
      client.close();
    }
    assertEquals(Set.of("loader 0", "loader 1", "loader 2"), Set.copyOf(receiver.texts()));
    assertEquals(3, receiver.verified());
  }

  /** T6: a JVM unloads a library with its class loader, while threads hold thread-locals of ours. */
  @Test
  void threadsOutliveTheClassLoaderThatTheyLoggedWith() throws Exception {
    CountDownLatch isUnloaded = new CountDownLatch(1);
    List<WeakReference<ClassLoader>> loaders = Collections.synchronizedList(new ArrayList<>());
    List<Thread> threads = new ArrayList<>();
    for (int number = 0; number < 4; number++) {
      threads.add(
          new Thread(
              () -> {
                try {
                  loaders.add(logAndForget());
                  isUnloaded.await();
                } catch (Exception failed) {
                  throw new AssertionError(failed);
                }
              }));
    }
    threads.forEach(Thread::start);
    Program.await("every thread has logged", () -> loaders.size() == threads.size());
    Program.await(
        "the class loaders are gone",
        () -> {
          System.gc();
          return loaders.stream().allMatch(loader -> loader.get() == null);
        });
    isUnloaded.countDown();
    for (Thread thread : threads) {
      thread.join();
    }
    assertEquals(threads.size(), receiver.verified());
  }

  /** Nothing on the stack holds the loader when it returns. */
  private WeakReference<ClassLoader> logAndForget() throws Exception {
    URL path = Native.class.getProtectionDomain().getCodeSource().getLocation();
    ClassLoader own = new URLClassLoader(new URL[] {path}, ClassLoader.getPlatformClassLoader());
    try (AutoCloseable client = open(own)) {
      assertEquals("OK", log(client, "to be forgotten"));
    }
    return new WeakReference<>(own);
  }

  private AutoCloseable open(ClassLoader own) throws ReflectiveOperationException {
    Class<?> logdrive = own.loadClass("io.logdrive.Logdrive");
    assertNotSame(Logdrive.class, logdrive);
    return (AutoCloseable) logdrive.getMethod("open", String.class).invoke(null, receiver.url());
  }

  private static String log(AutoCloseable client, String text) throws ReflectiveOperationException {
    Object logger = client.getClass().getMethod("logger").invoke(client);
    return logger.getClass().getMethod("info", String.class).invoke(logger, text).toString();
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
