package io.logdrive.jul;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.logdrive.support.Program;
import io.logdrive.support.Receiver;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.logging.ErrorManager;
import java.util.logging.Level;
import java.util.logging.LogManager;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class LogdriveHandlerTest {
  private Receiver receiver;
  private final Logger logger = Logger.getAnonymousLogger();
  private final List<String> errors = new ArrayList<>();

  @BeforeEach
  void open() throws Exception {
    receiver = new Receiver();
    logger.setUseParentHandlers(false);
    logger.setLevel(Level.ALL);
  }

  @AfterEach
  void close() throws Exception {
    receiver.close();
  }

  private LogdriveHandler handler(String stream) {
    LogdriveHandler handler = new LogdriveHandler(receiver.url(), Map.of("linger", "1ms"), stream);
    handler.setErrorManager(
        new ErrorManager() {
          @Override
          public void error(String message, Exception cause, int code) {
            errors.add(message + " " + cause);
          }
        });
    logger.addHandler(handler);
    return handler;
  }

  @Test
  void everythingOfARecordTravels() throws Exception {
    LogdriveHandler handler = handler("shop");
    LogRecord record = new LogRecord(Level.WARNING, "{0} of {1}");
    record.setParameters(new Object[] {"grüße", 2});
    record.setLoggerName("shop.Cart");
    record.setThrown(new IllegalStateException("on purpose"));
    logger.log(record);
    handler.close();
    String found = receiver.record("\"value\":\"grüße of 2\"");
    for (String part :
        List.of("\"topic\":\"shop\"", "\"severity\":\"WARN\"", "\"logger\":\"shop.Cart\"", "\"thread.id\":\"",
            "\"exception.type\":\"java.lang.IllegalStateException\"", "everythingOfARecordTravels")) {
      assertTrue(found.contains(part), part + " in " + found);
    }
    assertEquals(19, found.split("\"event.time_ns\":\"")[1].indexOf('"'), "nanoseconds since 1970");
    assertEquals(List.of(), errors);
  }

  @Test
  void levelsAreMapped() throws Exception {
    LogdriveHandler handler = handler(null);
    Map<Level, String> expected =
        Map.of(Level.SEVERE, "ERROR", Level.WARNING, "WARN", Level.INFO, "INFO", Level.CONFIG, "DEBUG",
            Level.FINE, "DEBUG", Level.FINER, "TRACE", Level.FINEST, "TRACE");
    expected.keySet().forEach(level -> logger.log(level, "at " + level.getName()));
    handler.close();
    for (Map.Entry<Level, String> entry : expected.entrySet()) {
      String found = receiver.record("\"at " + entry.getKey().getName() + "\"");
      assertTrue(found.contains("\"severity\":\"" + entry.getValue() + "\""), found);
    }
  }

  @Test
  void aFormatterMakesTheWholeRecord() throws Exception {
    LogdriveHandler handler = handler(null);
    handler.setFormatter(
        new SimpleFormatter() {
          @Override
          public String format(LogRecord record) {
            return record.getLevel() + ": " + formatMessage(record);
          }
        });
    logger.info("text");
    handler.close();
    assertEquals(List.of("INFO: text"), receiver.texts());
  }

  @Test
  void whatGoesWrongIsTheErrorManagersAndNeverThrown() {
    LogdriveHandler handler = handler(null);
    logger.info("x".repeat(300_000));
    logger.info("x".repeat(300_000));
    assertEquals(1, errors.size(), errors::toString);
    assertEquals(2, handler.client().stats().refused());
    handler.setFormatter(
        new SimpleFormatter() {
          @Override
          public String format(LogRecord record) {
            throw new IllegalStateException("on purpose");
          }
        });
    logger.info("text");
    assertEquals(2, errors.size(), errors::toString);
    handler.publish(null);
    handler.close();
  }

  /** T32: the log manager's hook may close before others have logged. */
  @Test
  void recordsBehindACloseAreDroppedQuietly() throws Exception {
    LogdriveHandler handler = handler(null);
    logger.info("before");
    handler.flush();
    handler.close();
    handler.close();
    handler.flush();
    logger.info("after");
    assertNull(handler.client());
    assertEquals(List.of("before"), receiver.texts());
    assertEquals(List.of(), errors);
  }

  @Test
  void theLogManagersPropertiesConfigureIt() throws Exception {
    String prefix = LogdriveHandler.class.getName();
    String file = "handlers=\n" + prefix + ".url=" + receiver.url() + "\n" + prefix + ".options=linger=1ms, codec=zstd\n"
        + prefix + ".stream=by-file\n" + prefix + ".level=WARNING\n";
    LogManager.getLogManager().readConfiguration(new ByteArrayInputStream(file.getBytes(StandardCharsets.UTF_8)));
    LogdriveHandler handler = new LogdriveHandler();
    logger.addHandler(handler);
    logger.warning("yes");
    logger.info("no");
    handler.close();
    assertTrue(receiver.record("yes").contains("\"topic\":\"by-file\""));
    LogManager.getLogManager().readConfiguration(new ByteArrayInputStream(new byte[0]));
    new LogdriveHandler().publish(new LogRecord(Level.INFO, "a handler without a URL drops"));
    assertEquals(1, receiver.verified());
  }

  /** The JVM's hook closes handlers while others log: whatever arrives, nothing fails. */
  @Test
  void theEndOfTheJvmIsQuiet() throws Exception {
    String output = Program.output(Program.java(List.of(), "jul", receiver.url()));
    assertEquals("", output.replaceAll("(?m)^logged$\\R?", ""));
    assertTrue(receiver.texts().contains("main"));
  }
}
