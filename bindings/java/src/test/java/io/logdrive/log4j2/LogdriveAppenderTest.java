package io.logdrive.log4j2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.logdrive.support.Program;
import io.logdrive.support.Receiver;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.MarkerManager;
import org.apache.logging.log4j.ThreadContext;
import org.apache.logging.log4j.core.Logger;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.appender.AppenderLoggingException;
import org.apache.logging.log4j.core.config.ConfigurationSource;
import org.apache.logging.log4j.core.config.xml.XmlConfiguration;
import org.apache.logging.log4j.core.impl.MutableLogEvent;
import org.apache.logging.log4j.message.ReusableMessageFactory;
import org.apache.logging.log4j.message.StringMapMessage;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class LogdriveAppenderTest {
  private Receiver receiver;
  private final LoggerContext context = new LoggerContext("test");
  private Logger logger;

  @BeforeEach
  void open() throws Exception {
    receiver = new Receiver();
    // The factory that Log4j uses by default: it makes messages that are used again.
    logger = context.getLogger("shop.Cart", ReusableMessageFactory.INSTANCE);
  }

  @AfterEach
  void close() throws Exception {
    ThreadContext.clearAll();
    context.stop();
    receiver.close();
  }

  /** By the file that users write; also shows that the plugin is found. */
  private LogdriveAppender configure(String url, String attributes, String inner) throws IOException {
    String file =
        "<Configuration status='OFF'><Appenders><Logdrive name='drive' url='" + url.replace("&", "&amp;") + "' "
            + attributes + ">" + inner + "</Logdrive></Appenders>"
            + "<Loggers><Root level='ALL'><AppenderRef ref='drive'/></Root></Loggers></Configuration>";
    ConfigurationSource source =
        new ConfigurationSource(new ByteArrayInputStream(file.getBytes(StandardCharsets.UTF_8)));
    context.start(new XmlConfiguration(context, source));
    return context.getConfiguration().getAppender("drive");
  }

  @Test
  void everythingOfAnEventTravels() throws Exception {
    configure(receiver.url(), "stream='shop'", "<Property name='linger'>1ms</Property>");
    ThreadContext.put("request", "r-1");
    ThreadContext.push("nested");
    logger.warn(
        MarkerManager.getMarker("SLOW").setParents(MarkerManager.getMarker("SQL")),
        "{} of {}", "grüße", 2, new IllegalStateException("outer", new RuntimeException("inner")));
    logger.info(new StringMapMessage().with("status", "503").with("path", "/cart"));
    context.stop();
    String record = receiver.record("\"value\":\"grüße of 2\"");
    for (String part :
        List.of("\"topic\":\"shop\"", "\"severity\":\"WARN\"", "\"logger\":\"shop.Cart\"", "\"request\":\"r-1\"",
            "\"thread\":\"" + Thread.currentThread().getName() + "\"", "\"ndc\":\"[nested]\"", "SLOW[ SQL ]",
            "\"exception.type\":\"java.lang.IllegalStateException\"", "\"exception.message\":\"outer\"",
            "Caused by: java.lang.RuntimeException: inner")) {
      assertTrue(record.contains(part), part + " in " + record);
    }
    assertEquals(19, record.split("\"event.time_ns\":\"")[1].indexOf('"'), "nanoseconds since 1970");
    String map = receiver.record("\"severity\":\"INFO\"");
    assertTrue(map.contains("\"path\":\"/cart\",\"status\":\"503\""), map);
  }

  @Test
  void levelsAreMappedAlsoThoseInBetween() throws Exception {
    configure(receiver.url(), "", "");
    for (String level : List.of("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")) {
      logger.log(Level.valueOf(level), "at " + level);
    }
    logger.log(Level.forName("NOTICE", 350), "at NOTICE");
    context.stop();
    for (String level : List.of("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")) {
      assertTrue(receiver.record("\"at " + level + "\"").contains("\"severity\":\"" + level + "\""));
    }
    assertTrue(receiver.record("\"at NOTICE\"").contains("\"severity\":\"INFO\""));
  }

  @Test
  void aLayoutMakesTheWholeRecord() throws Exception {
    configure(receiver.url(), "", "<PatternLayout pattern='%p %c %m'/>");
    logger.info("text");
    context.stop();
    assertEquals(List.of("INFO shop.Cart text"), receiver.texts());
    assertTrue(receiver.record("text").contains("\"attributes\":{}"));
  }

  /** T31: messages of the reusable factory, and one event that is filled again and again. */
  @Test
  void eventsThatAreUsedAgainAreCopied() throws Exception {
    LogdriveAppender appender = configure(receiver.url(), "", "");
    for (int number = 0; number < 100; number++) {
      logger.info("message {}", number);
    }
    MutableLogEvent event = new MutableLogEvent();
    for (int number = 0; number < 100; number++) {
      event.setLevel(Level.INFO);
      event.setLoggerName("shop.Cart");
      event.setMessage(ReusableMessageFactory.INSTANCE.newMessage("event {}", number));
      appender.append(event);
      event.clear();
    }
    context.stop();
    List<String> expected = IntStream.range(0, 200).mapToObj(n -> (n < 100 ? "message " : "event ") + n % 100).toList();
    assertEquals(expected, receiver.texts());
  }

  @Test
  void aRefusedRecordThrowsOnlyIfAskedTo() throws Exception {
    LogdriveAppender appender = configure(receiver.url(), "", "");
    logger.info("x".repeat(300_000));
    assertEquals(1, appender.client().stats().value("refused.record_too_large"));
    configure(receiver.url(), "ignoreExceptions='false'", "");
    assertThrows(AppenderLoggingException.class, () -> logger.info("x".repeat(300_000)));
  }

  @Test
  void aWrongConfigurationLeavesTheApplicationRunning() throws Exception {
    assertNull(configure("receivers://h:1/t?codecc=lz4", "", ""));
    logger.info("nowhere");
    assertNull(configure("", "", ""));
  }

  @Test
  void aReconfigurationUnderLoadLosesNothing() throws Exception {
    LogdriveAppender first = configure(receiver.url(), "", "");
    AtomicBoolean isEnough = new AtomicBoolean();
    AtomicLong logged = new AtomicLong();
    Thread load =
        new Thread(
            () -> {
              while (!isEnough.get()) {
                logger.info("record {}", logged.getAndIncrement());
                if (logged.get() % 100 == 0) {
                  Thread.yield();
                }
              }
            });
    load.start();
    for (int round = 0; round < 3; round++) {
      long before = logged.get();
      Program.await("the load goes on", () -> logged.get() > before + 500);
      assertSame(first.client(), configure(receiver.url(), "", "").client(), "the client outlives the appender");
    }
    long before = logged.get();
    Program.await("the load goes on", () -> logged.get() > before + 500);
    isEnough.set(true);
    load.join();
    long refused = first.client().stats().refused();
    context.stop();
    receiver.verified();
    List<String> texts = receiver.texts();
    assertEquals(logged.get() - refused, texts.size());
    assertEquals(texts.size(), texts.stream().distinct().count());
  }
}
