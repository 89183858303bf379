package io.logdrive;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;

/**
 * Finds and loads {@code liblogdrive_jni.so}, once per class loader, and never throws: an application must run
 * without its log library.
 *
 * <ol>
 *   <li>The file that the property {@code logdrive.library.path} names; then nothing else is tried.
 *   <li>{@code java.library.path}.
 *   <li>The library in the jar, copied to a fresh private directory below {@code logdrive.library.dir}, or else below
 *       {@code java.io.tmpdir}, {@code /dev/shm} or {@code /var/tmp}, whichever lets code be mapped first. The copy is
 *       deleted once it is loaded; its own name lets each class loader load one.
 * </ol>
 */
final class NativeLibrary {
  static final String PATH_PROPERTY = "logdrive.library.path";
  static final String DIR_PROPERTY = "logdrive.library.dir";

  private static final String NAME = "logdrive_jni";
  private static final String FILE = "lib" + NAME + ".so";
  private static final String VERSION_RESOURCE = "/META-INF/logdrive/version";

  /** Why there is no library; null where there is one. */
  private static final String FAILURE = load();

  private NativeLibrary() {}

  /** Why the library could not be loaded; null where it was. */
  static String failure() {
    return FAILURE;
  }

  private static String load() {
    String failure;
    try {
      failure = find();
      if (failure == null) {
        failure = versionMismatch();
      }
    } catch (Throwable cause) { // an UnsatisfiedLinkError is an Error, and nothing may reach the application
      failure = cause.toString();
    }
    if (failure != null) {
      System.err.println("logdrive: nothing will be logged: " + failure);
    }
    return failure;
  }

  private static String find() throws IOException {
    String path = System.getProperty(PATH_PROPERTY);
    if (path != null) {
      System.load(Paths.get(path).toAbsolutePath().toString());
      return null;
    }
    try {
      System.loadLibrary(NAME);
      return null;
    } catch (UnsatisfiedLinkError notInstalled) {
      return extract();
    }
  }

  private static String extract() throws IOException {
    String resource = "/META-INF/native/" + platform() + "/" + FILE;
    List<String> reasons = new ArrayList<>();
    for (Path dir : directories()) {
      try (InputStream library = NativeLibrary.class.getResourceAsStream(resource)) {
        if (library == null) {
          return "the jar has no " + resource + "; set -D" + PATH_PROPERTY;
        }
        loadCopy(library, dir);
        return null;
      } catch (IOException | UnsatisfiedLinkError refused) {
        reasons.add(dir + ": " + refused);
      }
    }
    return "no directory is writable and allows code (mounted noexec?); set -D" + DIR_PROPERTY + ": " + reasons;
  }

  private static List<Path> directories() {
    String configured = System.getProperty(DIR_PROPERTY);
    if (configured != null) {
      return Collections.singletonList(Paths.get(configured));
    }
    List<Path> dirs = new ArrayList<>();
    for (String dir : new String[] {System.getProperty("java.io.tmpdir"), "/dev/shm", "/var/tmp"}) {
      dirs.add(Paths.get(dir));
    }
    return dirs;
  }

  /** The directory is fresh and only ours (0700), so that nobody can put another file in the place of the copy. */
  private static void loadCopy(InputStream library, Path dir) throws IOException {
    Path own = Files.createTempDirectory(Files.createDirectories(dir), "logdrive-");
    Path copy = own.resolve(own.getFileName() + ".so");
    try {
      Files.copy(library, copy);
      System.load(copy.toAbsolutePath().toString());
    } finally {
      // The mapping keeps the file's bytes.
      Files.deleteIfExists(copy);
      Files.deleteIfExists(own);
    }
  }

  /** The name of the folder in the jar. A library for another libc can crash the JVM, so musl is looked for. */
  private static String platform() throws IOException {
    String system = System.getProperty("os.name").toLowerCase(Locale.ROOT);
    String processor = System.getProperty("os.arch");
    boolean isIntel = processor.equals("amd64") || processor.equals("x86_64");
    return system + (isMusl() ? "-musl-" : "-") + (isIntel ? "x86_64" : processor);
  }

  private static boolean isMusl() throws IOException {
    Path maps = Paths.get("/proc/self/maps");
    return Files.exists(maps)
        && new String(Files.readAllBytes(maps), StandardCharsets.ISO_8859_1).contains("ld-musl");
  }

  /** An older library on the path would misread what these classes pass. */
  private static String versionMismatch() throws IOException {
    String library = new String(Native.version(), StandardCharsets.UTF_8);
    String classes = version();
    return library.equals(classes)
        ? null
        : "the library has version " + library + ", the jar " + classes + ": " + FILE + " is of another release";
  }

  /** The version of the jar. */
  static String version() throws IOException {
    try (InputStream resource = NativeLibrary.class.getResourceAsStream(VERSION_RESOURCE)) {
      if (resource == null) {
        throw new IOException("the jar has no " + VERSION_RESOURCE);
      }
      return new BufferedReader(new InputStreamReader(resource, StandardCharsets.UTF_8)).readLine();
    }
  }
}
