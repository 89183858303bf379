package io.logdrive;

/** How serious a record is; the order is the order of the constants. */
public enum Severity {
  /** Finest detail. */
  TRACE,
  /** For debugging. */
  DEBUG,
  /** Normal operation. */
  INFO,
  /** Something that may need attention; from here on a reserve of the rings is kept. */
  WARN,
  /** Something failed. */
  ERROR,
  /** The program cannot go on. logdrive does not end it. */
  FATAL
}
