package io.logdrive;

/** What became of a call. Up to {@link #SPOOL_FULL} the numbers are those of the C ABI, which never change. */
public enum Code {
  /** Success. Of a log call: the record was accepted and survives a crash, or is below the level. */
  OK("success"),
  /** The rings have no room left for this severity ({@code ring.full=refuse}). */
  RING_FULL("the rings are full: raise ring.bytes_max, log less, or set ring.full=block"),
  /** The record is larger than {@code record.bytes_max}. */
  RECORD_TOO_LARGE("the record is larger than record.bytes_max"),
  /** The client was closed. */
  CLOSED("the client is closed"),
  /** Logged from inside a log call of the same thread. */
  REENTRANT("logged from inside a log call of the same thread"),
  /** An argument is null, malformed or out of range. */
  INVALID_ARGUMENT("an argument is null, malformed or out of range"),
  /** A configuration name, value or combination is wrong. */
  CONFIGURATION("the configuration is wrong"),
  /** The deadline passed; nothing is lost by it, the records are still stored. */
  DEADLINE_EXCEEDED("the deadline passed; the records are still stored"),
  /** The operating system refused something. */
  IO("an operating system call failed"),
  /** More than 64 streams of one client. */
  TOO_MANY_STREAMS("too many streams: the limit is 64 per client"),
  /** More threads log than {@code ring.threads_max}. */
  TOO_MANY_THREADS("too many threads log at once: raise ring.threads_max"),
  /** A defect of logdrive was caught and counted. */
  INTERNAL("an internal error was caught; please report it"),
  /** A file is damaged, foreign or of another version; it was set aside. */
  DAMAGED("a file is damaged, foreign or of another version"),
  /** A forked process has no rings of its own yet. */
  STARTING("the rings of a forked process are being made; the record was refused"),
  /** More than 90 % of the spool is in use and the record is below WARN ({@code spool.full}). */
  SPOOL_FULL("the spool is nearly full and the record is below WARN: raise spool.bytes_max"),
  /** The native library could not be loaded: nothing is logged. {@link Client#failure} says why. */
  UNAVAILABLE("the native library could not be loaded: nothing is logged");

  private static final Code[] BY_NUMBER = values();

  private final String text;

  Code(String text) {
    this.text = text;
  }

  /** One English sentence: what happened and what to do. */
  public String text() {
    return text;
  }

  static Code of(long number) {
    return number >= 0 && number < UNAVAILABLE.ordinal() ? BY_NUMBER[(int) number] : INTERNAL;
  }
}
