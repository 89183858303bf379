package io.logdrive;

import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What happened so far. Exact at rest, after a flush that gave {@link Code#OK}: {@code accepted + adopted =
 * delivered + unconfirmed + dropped + damaged + stored}, where adopted records are those of earlier runs.
 */
public final class Stats {
  private final String instance;
  private final Map<String, Long> values;

  /** The instance as the first line, then a name and a number on each. */
  Stats(byte[] text) {
    String[] lines = new String(text, StandardCharsets.UTF_8).split("\n");
    Map<String, Long> found = new LinkedHashMap<>();
    for (int at = 1; at < lines.length; at++) {
      int space = lines[at].lastIndexOf(' ');
      found.put(lines[at].substring(0, space), Long.parseUnsignedLong(lines[at].substring(space + 1)));
    }
    instance = lines[0];
    values = Collections.unmodifiableMap(found);
  }

  /**
   * Who logged the records, as {@code logdrive verify --expect} wants it: 32 hexadecimal digits. Empty for a client that is
   * closed or could not load its library.
   */
  public String instance() {
    return instance;
  }

  /** Records accepted, as far as they were read from the rings. */
  public long accepted() {
    return value("accepted");
  }

  /** Records refused at the call; {@code refused.<reason>} of {@link #values} says why. */
  public long refused() {
    return value("refused");
  }

  /** Records acknowledged by a receiver. */
  public long delivered() {
    return value("delivered");
  }

  /** Records given up after they were accepted; {@code dropped.<reason>} of {@link #values} says why. */
  public long dropped() {
    return value("dropped");
  }

  /** Records that wait to be acknowledged, those of adopted earlier runs included. */
  public long stored() {
    return value("stored");
  }

  /** A figure by its name; 0 where there is none of that name. */
  public long value(String name) {
    return values.getOrDefault(name, 0L);
  }

  /** Every figure by its name. Empty for a client that is closed or could not load its library. */
  public Map<String, Long> values() {
    return values;
  }

  @Override
  public String toString() {
    return instance + " " + values;
  }
}
