package io.logdrive;

/** A client or a stream could not be opened; the message names option, value and what is allowed. */
public final class LogdriveException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final Code code;

  LogdriveException(Code code, String message) {
    super(message.isEmpty() ? code.text() : message);
    this.code = code;
  }

  /** What kind of failure it is. */
  public Code code() {
    return code;
  }
}
