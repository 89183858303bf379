package io.logdrive.logback;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.joran.JoranConfigurator;
import ch.qos.logback.core.joran.spi.JoranException;
import ch.qos.logback.core.status.Status;
import io.logdrive.support.Program;
import io.logdrive.support.Receiver;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.slf4j.MarkerFactory;

class LogdriveAppenderTest {
  private Receiver receiver;
  private final LoggerContext context = new LoggerContext();
  private final Logger logger = context.getLogger("shop.Cart");

  @BeforeEach
  void open() throws Exception {
    receiver = new Receiver();
    context.setMDCAdapter(new ch.qos.logback.classic.util.LogbackMDCAdapter());
  }

  @AfterEach
  void close() throws Exception {
    context.stop();
    receiver.close();
  }

  /** By the file that users write. */
  private LogdriveAppender configure(String url, String more) throws JoranException {
    String file =
        "<configuration><appender name='drive' class='io.logdrive.logback.LogdriveAppender'><url>"
            + url.replace("&", "&amp;") + "</url>" + more + "</appender>"
            + "<root level='TRACE'><appender-ref ref='drive'/></root></configuration>";
    JoranConfigurator configurator = new JoranConfigurator();
    configurator.setContext(context);
    configurator.doConfigure(new ByteArrayInputStream(file.getBytes(StandardCharsets.UTF_8)));
    return (LogdriveAppender) context.getLogger("ROOT").getAppender("drive");
  }

  private List<Status> statuses(int level) {
    return context.getStatusManager().getCopyOfStatusList().stream()
        .filter(status -> status.getLevel() == level)
        .toList();
  }

  @Test
  void everythingOfAnEventTravels() throws Exception {
    configure(receiver.url(), "<stream>shop</stream><option>linger=1ms</option>");
    context.getMDCAdapter().put("request", "r-1");
    logger.atWarn()
        .addMarker(MarkerFactory.getMarker("SLOW"))
        .addKeyValue("status", 503)
        .setCause(new IllegalStateException("outer", new RuntimeException("inner")))
        .log("{} of {}", "grüße", 2);
    context.getMDCAdapter().remove("request");
    context.stop();
    String record = receiver.record("\"value\":\"grüße of 2\"");
    for (String part :
        List.of("\"topic\":\"shop\"", "\"severity\":\"WARN\"", "\"logger\":\"shop.Cart\"", "\"request\":\"r-1\"",
            "\"thread\":\"" + Thread.currentThread().getName() + "\"", "\"markers\":\"SLOW\"", "\"status\":\"503\"",
            "\"exception.type\":\"java.lang.IllegalStateException\"", "\"exception.message\":\"outer\"",
            "Caused by: java.lang.RuntimeException: inner", "everythingOfAnEventTravels")) {
      assertTrue(record.contains(part), part + " in " + record);
    }
    assertEquals(19, record.split("\"event.time_ns\":\"")[1].indexOf('"'), "nanoseconds since 1970");
    assertEquals(List.of(), statuses(Status.ERROR));
  }

  @Test
  void levelsAreMapped() throws Exception {
    configure(receiver.url(), "");
    logger.trace("at TRACE");
    logger.debug("at DEBUG");
    logger.info("at INFO");
    logger.warn("at WARN");
    logger.error("at ERROR");
    context.stop();
    for (String level : List.of("TRACE", "DEBUG", "INFO", "WARN", "ERROR")) {
      assertTrue(receiver.record("\"at " + level + "\"").contains("\"severity\":\"" + level + "\""));
    }
  }

  @Test
  void anEncoderMakesTheWholeRecord() throws Exception {
    configure(receiver.url(), "<encoder><pattern>%level %logger %msg</pattern></encoder>");
    logger.info("text");
    context.stop();
    assertEquals(List.of("INFO shop.Cart text"), receiver.texts());
    assertTrue(receiver.record("text").contains("\"attributes\":{}"));
  }

  @Test
  void aRefusedRecordIsReportedOnceAndNeverThrown() throws Exception {
    LogdriveAppender appender = configure(receiver.url(), "");
    for (int number = 0; number < 3; number++) {
      logger.info("x".repeat(300_000));
    }
    logger.info("{}", new Object() {
      @Override
      public String toString() {
        throw new IllegalStateException("on purpose");
      }
    });
    assertEquals(3, appender.client().stats().value("refused.record_too_large"));
    List<Status> warnings = statuses(Status.WARN);
    assertEquals(1, warnings.size(), warnings::toString);
    assertTrue(warnings.get(0).getMessage().contains("record.bytes_max"), warnings::toString);
    context.stop();
    assertEquals(1, receiver.verified());
  }

  @Test
  void aWrongConfigurationIsAStatusAndTheApplicationRunsOn() throws Exception {
    LogdriveAppender appender = configure("receivers://h:1/t?codecc=lz4", "");
    assertFalse(appender.isStarted());
    logger.info("nowhere");
    assertTrue(statuses(Status.ERROR).get(0).getMessage().contains("codecc"), statuses(Status.ERROR)::toString);
    assertNull(appender.client());
    appender.stop();
  }

  @Test
  void eventsBehindAStopAreDroppedQuietly() throws Exception {
    LogdriveAppender appender = configure(receiver.url(), "");
    logger.info("before");
    appender.stop();
    appender.stop();
    logger.info("after");
    assertNull(appender.client());
    appender.start();
    logger.info("again");
    context.stop();
    assertEquals(List.of("before", "again"), receiver.texts());
  }

  /** T31: what the old appender accepted and what the new one accepts arrives. */
  @Test
  void aReconfigurationUnderLoadLosesNothingThatWasAccepted() throws Exception {
    LogdriveAppender first = configure(receiver.url(), "");
    AtomicBoolean isEnough = new AtomicBoolean();
    AtomicLong logged = new AtomicLong();
    Thread load =
        new Thread(
            () -> {
              while (!isEnough.get()) {
                logger.setLevel(Level.INFO);
                logger.info("record {}", logged.getAndIncrement());
              }
            });
    load.start();
    for (int round = 0; round < 3; round++) {
      long before = logged.get();
      Program.await("the load goes on", () -> logged.get() > before + 500);
      LogdriveAppender old = round == 0 ? first : (LogdriveAppender) context.getLogger("ROOT").getAppender("drive");
      context.reset();
      assertFalse(old.isStarted());
      configure(receiver.url(), "");
    }
    long before = logged.get();
    Program.await("the load goes on", () -> logged.get() > before + 500);
    isEnough.set(true);
    load.join();
    context.stop();
    receiver.verified();
    List<String> texts = receiver.texts();
    assertEquals(texts.size(), texts.stream().distinct().count());
    assertTrue(texts.size() > 2_000, texts.size() + " records");
    assertEquals(List.of(), statuses(Status.ERROR));
  }
}
