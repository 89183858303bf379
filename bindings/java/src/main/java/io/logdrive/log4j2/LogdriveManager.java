package io.logdrive.log4j2;

import io.logdrive.internal.Outlet;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.logging.log4j.core.appender.AbstractManager;

/**
 * The client behind an appender, which survives a reconfiguration: the new appender of the same URL, options and stream
 * gets it before the old one lets go, so no record is refused in between.
 */
final class LogdriveManager extends AbstractManager {
  final Outlet outlet;

  private LogdriveManager(String name, Outlet outlet) {
    super(null, name);
    this.outlet = outlet;
  }

  /** Throws as {@code Logdrive.open}. */
  static LogdriveManager of(String url, Map<String, String> options, String stream) {
    String name = "logdrive " + url + " " + options + " " + stream;
    return getManager(
        name, (key, nothing) -> new LogdriveManager(key, Outlet.open(url, options, stream)), (Object) null);
  }

  @Override
  protected boolean releaseSub(long timeout, TimeUnit unit) {
    // close.deadline bounds it; what is not delivered by then stays stored.
    outlet.client().close();
    return true;
  }
}
