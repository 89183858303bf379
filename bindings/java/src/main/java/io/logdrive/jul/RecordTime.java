package io.logdrive.jul;

import io.logdrive.Attributes;
import io.logdrive.internal.Outlet;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.time.Instant;
import java.util.logging.LogRecord;

/** The time of a record: with nanoseconds since Java 9, whose method these classes for Java 8 cannot name. */
final class RecordTime {
  private static final MethodHandle INSTANT = find();

  private RecordTime() {}

  static void put(Attributes attributes, LogRecord record) {
    Outlet.time(attributes, of(record));
  }

  private static Instant of(LogRecord record) {
    if (INSTANT != null) {
      try {
        return (Instant) INSTANT.invokeExact(record);
      } catch (Throwable impossible) { // a plain getter; milliseconds are better than no record
        return Instant.ofEpochMilli(record.getMillis());
      }
    }
    return Instant.ofEpochMilli(record.getMillis());
  }

  private static MethodHandle find() {
    try {
      return MethodHandles.publicLookup().findVirtual(LogRecord.class, "getInstant", MethodType.methodType(Instant.class));
    } catch (ReflectiveOperationException java8) {
      return null;
    }
  }
}
