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
  private final Map<String, Long> values;

  Stats(byte[] lines) {
    Map<String, Long> found = new LinkedHashMap<>();
    for (String line : new String(lines, StandardCharsets.UTF_8).split("\n")) {
      int space = line.lastIndexOf(' ');
      if (space > 0) {
        found.put(line.substring(0, space), Long.parseUnsignedLong(line.substring(space + 1)));
      }
    }
    values = Collections.unmodifiableMap(found);
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
    return values.toString();
  }
}
