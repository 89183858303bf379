package io.logdrive;

/**
 * The native methods, implemented in {@code bindings/java/native}. Only numbers and arrays cross; every
 * method gives a code or a handle and throws nothing. Must not be called before {@link NativeLibrary} has loaded it.
 */
final class Native {
  private Native() {}

  /** The version of the library, as UTF-8. */
  static native byte[] version();

  /** A client's handle, or a negated code; then {@code error} begins with the reason in UTF-8. */
  static native long open(byte[] options, byte[] error);

  /** A logger's handle, or a negated code; {@code name} null means the stream of the client's URL. */
  static native long stream(long client, byte[] name);

  /** {@code offset + attributesLength + textLength <= bytes.length} is not checked again. */
  static native int log(
      long logger, int severity, byte[] bytes, int offset, int attributesLength, int textLength);

  static native int flush(long client, long deadlineMillis);

  /** A negative deadline means the configured one. */
  static native int close(long client, long deadlineMillis);

  /** Lines of a name and a number, or null where the client is closed. */
  static native byte[] stats(long client);
}
