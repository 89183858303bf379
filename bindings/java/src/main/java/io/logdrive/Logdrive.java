package io.logdrive;

import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.Map;

/** The way in: {@code Logdrive.open("receivers://localhost:9092/app-logs")}. */
public final class Logdrive {
  private static final int ERROR_BYTES = 2048;

  private Logdrive() {}

  /**
   * Opens a client by URL, such as {@code receivers://host1:9092,host2:9092/app-logs?linger=5ms}, over the
   * environment's {@code LOGDRIVE_*} and the defaults. docs/configuration.md has every option.
   *
   * <p>Touches the disk, never the network: with unreachable receivers it succeeds and keeps records. Where the native
   * library cannot be loaded it gives a client that logs nothing, and says why once on the standard error.
   *
   * @throws LogdriveException naming option, value and allowed range; or what the system refused
   */
  public static Client open(String url) {
    return open(url, Collections.<String, String>emptyMap());
  }

  /** As {@link #open(String)}, with options by their names in docs/configuration.md, over all else. */
  public static Client open(String url, Map<String, String> options) {
    if (url == null || options == null) {
      throw new LogdriveException(Code.INVALID_ARGUMENT, "the URL or the options are null");
    }
    if (NativeLibrary.failure() != null) {
      return new Client(NativeLibrary.failure());
    }
    StringBuilder words = new StringBuilder();
    append(words, "url", url);
    for (Map.Entry<String, String> option : options.entrySet()) {
      append(words, option.getKey(), option.getValue());
    }
    byte[] error = new byte[ERROR_BYTES];
    long handle = Native.open(words.toString().getBytes(StandardCharsets.UTF_8), error);
    if (handle > 0) {
      return new Client(handle);
    }
    int length = 0;
    while (length < error.length && error[length] != 0) {
      length++;
    }
    throw new LogdriveException(Code.of(-handle), new String(error, 0, length, StandardCharsets.UTF_8));
  }

  private static void append(StringBuilder words, String name, String value) {
    for (String word : new String[] {name, value}) {
      if (word == null || word.indexOf('\0') >= 0) {
        String what = "option " + name + " is null, or has a NUL in its name or value";
        throw new LogdriveException(Code.INVALID_ARGUMENT, what.replace('\0', '?'));
      }
      words.append(word).append('\0');
    }
  }
}
