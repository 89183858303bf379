package io.logdrive;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Names and values that travel with a record, packed as they are put: {@code new Attributes().put("user", "ada")}.
 *
 * <p>Names that are empty or begin with {@code logdrive.}, which is reserved, get an underscore in front; null is the
 * text {@code null}. The most attributes of one record are 64; what is beyond is left out, and the last one,
 * {@code attributes.omitted}, says how many. UTF-16 that is no text (a lone surrogate) becomes {@code ?}.
 *
 * <p>May be used for several records. Not for several threads at once.
 */
public final class Attributes {
  /** As in the native half; the last place is for the number of those left out. */
  private static final int COUNT_MAX = 64;

  private static final int NAME_BYTES_MAX = 0xffff;
  private static final int HEAD_BYTES = 6;
  /** For most records. With 512 a Logback call took 50 ns more: HotSpot clears larger arrays in a slower way. */
  private static final int ROOM_BYTES = 448;
  /** Above every record; nothing is gathered beyond it. */
  private static final int BYTES_MAX = 1 << 20;

  private static final int SHORT_CHARS = 24;
  /** Of {@link Long#MAX_VALUE}. */
  private static final int DIGITS_MAX = 19;
  private static final String RESERVED = "logdrive.";
  private static final byte[] OMITTED = "attributes.omitted".getBytes(StandardCharsets.US_ASCII);

  private byte[] bytes = new byte[ROOM_BYTES];
  private int length;
  private int count;
  private int omitted;
  private boolean isTooLarge;

  /** Adds an attribute with a text. */
  public Attributes put(String name, String value) {
    if (begin()) {
      int head = head();
      name(head, name);
      text(head, value == null ? "null" : value);
    }
    return this;
  }

  /** Adds an attribute with a number. */
  public Attributes put(String name, long value) {
    if (value < 0) {
      return put(name, Long.toString(value));
    }
    if (begin()) {
      int head = head();
      name(head, name);
      digits(value);
      end(head);
    }
    return this;
  }

  /** Adds an attribute with a number. */
  public Attributes put(String name, double value) {
    return put(name, Double.toString(value));
  }

  /** Adds an attribute with a truth value. */
  public Attributes put(String name, boolean value) {
    return put(name, value ? "true" : "false");
  }

  /** Adds an attribute with bytes, which are copied. */
  public Attributes put(String name, byte[] value) {
    if (value == null) {
      return put(name, "null");
    }
    if (begin()) {
      int head = head();
      name(head, name);
      copy(value, value.length);
      end(head);
    }
    return this;
  }

  /** Adds an attribute with the text of an object; an object that throws is named by its class. */
  public Attributes put(String name, Object value) {
    return value instanceof byte[] ? put(name, (byte[]) value) : put(name, textOf(value));
  }

  /** Forgets all attributes. */
  public Attributes clear() {
    length = 0;
    count = 0;
    omitted = 0;
    isTooLarge = false;
    return this;
  }

  /** Lays the text behind the attributes and logs both in one call. Leaves the attributes as they were. */
  Code log(Logger logger, Severity severity, String text) {
    int before = length;
    boolean wasTooLarge = isTooLarge;
    if (omitted > 0) {
      int head = head();
      copy(OMITTED, OMITTED.length);
      nameLength(head, OMITTED.length);
      text(head, Integer.toString(omitted));
    }
    int attributesLength = length;
    append(text);
    int textLength = length - attributesLength;
    boolean isRefused = isTooLarge;
    length = before;
    isTooLarge = wasTooLarge;
    return isRefused
        ? logger.refuseTooLarge(severity)
        : logger.logPacked(severity, bytes, attributesLength, textLength);
  }

  private boolean begin() {
    if (count == COUNT_MAX - 1) {
      omitted++;
      return false;
    }
    count++;
    return true;
  }

  /** Room for the head of an attribute; where it begins. */
  private int head() {
    int head = length;
    // There is always room for a head: see `reserve`.
    length = head + HEAD_BYTES;
    return head;
  }

  private void name(int head, String given) {
    String name = given == null ? "null" : given;
    if (name.isEmpty() || name.startsWith(RESERVED)) {
      name = "_" + name;
    }
    append(name);
    int nameLength = length - head - HEAD_BYTES;
    if (nameLength > NAME_BYTES_MAX) {
      nameLength = NAME_BYTES_MAX;
      // Not in the middle of a character.
      while ((bytes[head + HEAD_BYTES + nameLength] & 0xc0) == 0x80) {
        nameLength--;
      }
      length = head + HEAD_BYTES + nameLength;
    }
    nameLength(head, nameLength);
  }

  private void nameLength(int head, int nameLength) {
    bytes[head] = (byte) nameLength;
    bytes[head + 1] = (byte) (nameLength >> 8);
  }

  private void text(int head, String value) {
    append(value);
    end(head);
  }

  /** All that lies behind the name is the value. */
  private void end(int head) {
    int nameLength = (bytes[head] & 0xff) | (bytes[head + 1] & 0xff) << 8;
    int valueLength = length - head - HEAD_BYTES - nameLength;
    for (int at = 0; at < 4; at++) {
      bytes[head + 2 + at] = (byte) (valueLength >> (8 * at));
    }
  }

  /** Short texts byte by byte, which saves an allocation; long ones by the JDK's fast encoder. */
  private void append(String text) {
    int chars = text.length();
    if (!reserve(chars)) {
      return;
    }
    if (chars <= SHORT_CHARS) {
      byte[] to = bytes;
      int at = length;
      int read = 0;
      for (char next; read < chars && (next = text.charAt(read)) < 0x80; read++) {
        to[at + read] = (byte) next;
      }
      if (read == chars) {
        length = at + chars;
        return;
      }
    }
    byte[] encoded = text.getBytes(StandardCharsets.UTF_8);
    copy(encoded, encoded.length);
  }

  /** The digits of what is not negative, without a text in between: every event has its time, which fills the room. */
  private void digits(long value) {
    if (!reserve(DIGITS_MAX)) {
      return;
    }
    byte[] to = bytes;
    int end = length + DIGITS_MAX;
    int at = end;
    long rest = value;
    for (; rest >= 10; rest /= 100) {
      int pair = (int) (rest % 100);
      to[--at] = (byte) ('0' + pair % 10);
      to[--at] = (byte) ('0' + pair / 10);
    }
    if (rest > 0 || value == 0) {
      to[--at] = (byte) ('0' + rest);
    }
    int size = end - at;
    if (at > length) {
      System.arraycopy(to, at, to, length, size);
    }
    length += size;
  }

  private void copy(byte[] from, int size) {
    if (!reserve(size)) {
      return;
    }
    System.arraycopy(from, 0, bytes, length, size);
    length += size;
  }

  /** False where the record gets too large for any receiver; else there is room, and for one more head. */
  private boolean reserve(int more) {
    if (more > BYTES_MAX - length) {
      isTooLarge = true;
      return false;
    }
    int needed = length + more + HEAD_BYTES;
    if (bytes.length < needed) {
      bytes = Arrays.copyOf(bytes, Math.max(needed, 2 * bytes.length));
    }
    return true;
  }

  private static String textOf(Object value) {
    try {
      return String.valueOf(value);
    } catch (RuntimeException thrown) {
      return "(" + value.getClass().getName() + " threw " + thrown.getClass().getName() + ")";
    }
  }
}
