package io.logdrive;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.logdrive.support.Receiver;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The API against a receiver: what was accepted is there, and nothing else. */
class ClientTest {
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private Receiver receiver;
  private Client client;

  @BeforeEach
  void open() throws Exception {
    receiver = new Receiver();
    client = Logdrive.open(receiver.url());
    assertEquals(null, NativeLibrary.failure());
    assertFalse(client.failure().isPresent());
  }

  @AfterEach
  void close() throws Exception {
    client.close();
    receiver.close();
  }

  @Test
  void everyWayToLogArrives() throws Exception {
    Logger logger = client.logger();
    byte[] bytes = "0123456789".getBytes(StandardCharsets.US_ASCII);
    assertEquals(Code.OK, logger.log(Severity.INFO, bytes));
    assertEquals(Code.OK, logger.log(Severity.INFO, bytes, 2, 3));
    assertEquals(Code.OK, logger.log(Severity.WARN, "grüße \uD83D\uDE80"));
    assertEquals(Code.OK, logger.trace("trace"));
    assertEquals(Code.OK, logger.debug("debug"));
    assertEquals(Code.OK, logger.info("info"));
    assertEquals(Code.OK, logger.warn("warn"));
    assertEquals(Code.OK, logger.error("error"));
    assertEquals(Code.OK, logger.fatal("fatal"));
    assertEquals(Code.OK, client.flush(PATIENCE));
    List<String> expected =
        List.of("0123456789", "234", "grüße \uD83D\uDE80", "trace", "debug", "info", "warn", "error", "fatal");
    assertEquals(expected, receiver.texts());
    for (Severity severity : Severity.values()) {
      String text = severity.name().toLowerCase();
      assertTrue(receiver.record("\"value\":\"" + text + "\"").contains("\"severity\":\"" + severity + "\""));
    }
    Stats stats = client.stats();
    assertEquals(9, stats.accepted());
    assertEquals(9, stats.delivered());
    assertEquals(0, stats.refused() + stats.dropped() + stats.stored());
    assertEquals(1, stats.value("receivers_connected"), stats.toString());
    assertTrue(stats.values().keySet().stream().anyMatch(name -> name.startsWith("receiver.127.0.0.1:")));
    assertEquals(9, receiver.verified("--expect", stats.instance() + ":9"));
    assertThrows(AssertionError.class, () -> receiver.verified("--expect", stats.instance() + ":10"));
  }

  @Test
  void attributesTravelWithTheirRecordAndMayBeUsedAgain() throws Exception {
    Attributes attributes = new Attributes().put("user", "ada").put("tries", 3).put("share", 0.5).put("ok", true);
    attributes.put("bytes", "raw".getBytes(StandardCharsets.US_ASCII)).put("nothing", (String) null);
    assertEquals(Code.OK, client.logger().log(Severity.INFO, "first", attributes));
    attributes.put("long", "ü".repeat(5_000));
    assertEquals(Code.OK, client.logger().log(Severity.INFO, "second", attributes));
    assertEquals(Code.OK, client.logger().log(Severity.INFO, "third", "path", "/cart", "status", 200, null, null));
    assertEquals(Code.OK, client.logger().log(Severity.INFO, "fourth", attributes.clear()));
    assertEquals(Code.OK, client.flush(PATIENCE));
    String shared =
        "\"attributes\":{\"user\":\"ada\",\"tries\":\"3\",\"share\":\"0.5\",\"ok\":\"true\","
            + "\"bytes\":\"raw\",\"nothing\":\"null\"";
    assertTrue(receiver.record("\"first\"").contains(shared + "}"), receiver.record("\"first\""));
    assertTrue(receiver.record("\"second\"").contains(shared + ",\"long\":\"" + "ü".repeat(5_000) + "\"}"));
    assertTrue(receiver.record("\"third\"").contains("{\"path\":\"/cart\",\"status\":\"200\",\"null\":\"null\"}"));
    assertTrue(receiver.record("\"fourth\"").contains("\"attributes\":{}"));
  }

  @Test
  void numbersOfEveryLengthAreWrittenAsTheJdkDoes() throws Exception {
    Attributes attributes = new Attributes();
    StringBuilder expected = new StringBuilder();
    long power = 1;
    for (int digits = 1; digits <= 19; digits++, power *= 10) {
      for (long number : new long[] {power - 1, power, -power}) {
        String name = "n" + digits + "." + number;
        attributes.put(name, number);
        expected.append(expected.length() > 0 ? "," : "").append(String.format("\"%s\":\"%d\"", name, number));
      }
    }
    attributes.put("max", Long.MAX_VALUE).put("min", Long.MIN_VALUE);
    expected.append(",\"max\":\"9223372036854775807\",\"min\":\"-9223372036854775808\"");
    assertEquals(Code.OK, client.logger().log(Severity.INFO, "numbers", attributes));
    assertEquals(Code.OK, client.flush(PATIENCE));
    assertTrue(receiver.record("\"numbers\"").contains("{" + expected + "}"), receiver.record("\"numbers\""));
  }

  @Test
  void awkwardAttributesAreRenamedOrCountedInTheRecord() throws Exception {
    Attributes many = new Attributes();
    for (int number = 0; number < 100; number++) {
      many.put("name" + number, number);
    }
    assertEquals(Code.OK, client.logger().log(Severity.INFO, "many", many));
    Attributes odd = new Attributes().put("", "empty").put("logdrive.id", "reserved").put("n".repeat(70_000), "name");
    odd.put("half \uD800", "value \uDC00").put("throws", new Thrower()).put("nul\0", "\0");
    assertEquals(Code.OK, client.logger().log(Severity.INFO, "odd", odd));
    assertEquals(Code.OK, client.flush(PATIENCE));
    String found = receiver.record("\"many\"");
    assertTrue(found.contains("\"name62\":\"62\",\"attributes.omitted\":\"37\"}"), found);
    found = receiver.record("\"odd\"");
    for (String expected :
        List.of("\"_\":\"empty\"", "\"_logdrive.id\":\"reserved\"", "\"half ?\":\"value ?\"", "Thrower threw",
            "\"" + "n".repeat(65_535) + "\":\"name\"", "\"nul\\u0000\":\"\\u0000\"")) {
      assertTrue(found.contains(expected), expected + " in " + found);
    }
  }

  @Test
  void textsOfEveryKindAreKeptExactly() throws Exception {
    Logger logger = client.logger();
    assertEquals(Code.OK, logger.log(Severity.INFO, ""));
    assertEquals(Code.OK, logger.log(Severity.INFO, new byte[0]));
    assertEquals(Code.OK, logger.log(Severity.INFO, "a\0b"));
    assertEquals(Code.OK, logger.log(Severity.INFO, "lone \uD83D surrogate"));
    assertEquals(Code.OK, logger.log(Severity.INFO, "x".repeat(4_096)));
    assertEquals(Code.OK, logger.log(Severity.INFO, "y".repeat(200_000)));
    assertEquals(Code.OK, client.flush(PATIENCE));
    List<String> expected =
        List.of("", "", "a\0b", "lone ? surrogate", "x".repeat(4_096), "y".repeat(200_000));
    assertEquals(expected, receiver.texts());
  }

  @Test
  void whatIsTooLargeIsRefusedAndCounted() {
    Logger logger = client.logger();
    assertEquals(Code.RECORD_TOO_LARGE, logger.log(Severity.INFO, "x".repeat(300_000)));
    assertEquals(Code.RECORD_TOO_LARGE, logger.log(Severity.INFO, "x".repeat(3_000_000)));
    assertEquals(Code.RECORD_TOO_LARGE, logger.log(Severity.INFO, new byte[20_000_000]));
    Attributes large = new Attributes().put("large", "x".repeat(3_000_000));
    assertEquals(Code.RECORD_TOO_LARGE, logger.log(Severity.INFO, "text", large));
    assertEquals(Code.RECORD_TOO_LARGE, logger.log(Severity.INFO, "text", large));
    assertEquals(Code.OK, logger.log(Severity.INFO, "text", large.clear()));
    assertEquals(Code.OK, client.flush(PATIENCE));
    assertEquals(5, client.stats().value("refused.record_too_large"));
    assertEquals(1, client.stats().accepted());
  }

  @Test
  void badArgumentsGiveACode() {
    Logger logger = client.logger();
    byte[] bytes = new byte[10];
    assertEquals(Code.INVALID_ARGUMENT, logger.log(null, bytes));
    assertEquals(Code.INVALID_ARGUMENT, logger.log(Severity.INFO, (byte[]) null));
    assertEquals(Code.INVALID_ARGUMENT, logger.log(Severity.INFO, (String) null));
    assertEquals(Code.INVALID_ARGUMENT, logger.log(Severity.INFO, "text", (Attributes) null));
    assertEquals(Code.INVALID_ARGUMENT, logger.log(Severity.INFO, "text", (Object[]) null));
    assertEquals(Code.INVALID_ARGUMENT, logger.log(Severity.INFO, "text", "name without value"));
    int[][] ranges = {{-1, 1}, {0, -1}, {0, 11}, {10, 1}, {11, 0}, {5, Integer.MAX_VALUE}, {Integer.MAX_VALUE, 1}};
    for (int[] range : ranges) {
      assertEquals(Code.INVALID_ARGUMENT, logger.log(Severity.INFO, bytes, range[0], range[1]));
    }
    assertEquals(Code.OK, logger.log(Severity.INFO, bytes, 10, 0));
    assertFalse(logger.isEnabled(null));
    client.setLevel(null);
    assertEquals(Code.OK, client.flush(PATIENCE));
    assertEquals(1, client.stats().accepted());
  }

  @Test
  void badConfigurationNamesWhatIsWrong() {
    Map<String, List<String>> expected =
        Map.of(
            "nonsense", List.of("scheme"),
            "receivers://h:1/t?codecc=lz4", List.of("codecc", "codec"),
            "receivers://h:1/t?linger=often", List.of("linger", "often"),
            "receivers://h:1/t\0", List.of("NUL"),
            "", List.of("scheme"));
    expected.forEach(
        (url, parts) -> {
          LogdriveException refused = assertThrows(LogdriveException.class, () -> Logdrive.open(url));
          parts.forEach(part -> assertTrue(refused.getMessage().contains(part), refused.getMessage()));
        });
    assertThrows(LogdriveException.class, () -> Logdrive.open(null));
    assertThrows(LogdriveException.class, () -> Logdrive.open("receivers://h:1/t", null));
    for (String name : new String[] {null, "", "unknown", "linger\0"}) {
      Map<String, String> options = Collections.singletonMap(name, "1");
      assertThrows(LogdriveException.class, () -> Logdrive.open("receivers://h:1/t", options), name);
    }
    Map<String, String> nothing = Collections.singletonMap("linger", null);
    assertThrows(LogdriveException.class, () -> Logdrive.open("receivers://h:1/t", nothing));
  }

  @Test
  void levelsAreOfTheClientAndADisabledRecordIsNoError() throws Exception {
    Logger stream = client.stream("other");
    assertTrue(stream.isEnabled(Severity.TRACE));
    client.setLevel(Severity.WARN);
    assertFalse(stream.isEnabled(Severity.INFO));
    assertEquals(Code.OK, stream.info("no"));
    assertEquals(Code.OK, stream.log(Severity.INFO, "no", new Attributes()));
    assertEquals(Code.OK, stream.log(Severity.INFO, "no", "a", 1));
    assertEquals(Code.OK, stream.warn("yes"));
    assertEquals(Code.OK, client.flush(PATIENCE));
    assertEquals(List.of("yes"), receiver.texts());
  }

  @Test
  void streamsAreTopics() throws Exception {
    Logger stream = client.stream("other");
    assertSame(stream, client.stream("other"));
    stream.info("there");
    client.logger().info("here");
    assertEquals(Code.OK, client.flush(PATIENCE));
    assertTrue(receiver.record("\"there\"").contains("\"topic\":\"other\""));
    assertTrue(receiver.record("\"here\"").contains("\"topic\":\"java-tests\""));
    for (String name : new String[] {null, "", "..", "with space", "ü", "x".repeat(250), "a\0b"}) {
      LogdriveException refused = assertThrows(LogdriveException.class, () -> client.stream(name));
      assertEquals(Code.INVALID_ARGUMENT, refused.code());
    }
    for (int number = 2; number < 64; number++) {
      client.stream("stream" + number);
    }
    LogdriveException refused = assertThrows(LogdriveException.class, () -> client.stream("one-too-many"));
    assertEquals(Code.TOO_MANY_STREAMS, refused.code());
  }

  @Test
  void aClosedClientGivesACode() throws Exception {
    Logger logger = client.logger();
    Logger other = client.stream("other");
    assertEquals(Code.OK, logger.info("before"));
    assertEquals(Code.OK, client.close(PATIENCE));
    assertEquals(Code.CLOSED, logger.info("after"));
    assertEquals(Code.CLOSED, other.info("after"));
    assertEquals(Code.CLOSED, client.close(PATIENCE));
    assertEquals(Code.CLOSED, client.flush(PATIENCE));
    assertTrue(client.stats().values().isEmpty());
    assertEquals("", client.stats().instance());
    assertThrows(LogdriveException.class, () -> client.stream("another"));
    client.close();
    assertEquals(List.of("before"), receiver.texts());
  }

  @Test
  void wrongHandlesGiveACode() {
    byte[] bytes = new byte[8];
    for (long handle : new long[] {0, -1, 1L << 40, Long.MIN_VALUE, Long.MAX_VALUE}) {
      assertEquals(Code.INVALID_ARGUMENT, Code.of(Native.log(handle, 2, bytes, 0, 0, 8)));
      assertEquals(Code.INVALID_ARGUMENT, Code.of(-Native.stream(handle, null)));
      assertEquals(Code.INVALID_ARGUMENT, Code.of(Native.flush(handle, 1)));
      assertEquals(Code.INVALID_ARGUMENT, Code.of(Native.close(handle, 1)));
      assertEquals(null, Native.stats(handle));
    }
  }

  @Test
  void aDeadlineThatPassesLosesNothing() throws Exception {
    try (Receiver unreachable = new Receiver()) {
      String url = unreachable.url().replaceFirst("127.0.0.1:\\d+", "127.0.0.1:1");
      Client waiting = Logdrive.open(url);
      assertEquals(Code.OK, waiting.logger().info("stored"));
      assertEquals(Code.DEADLINE_EXCEEDED, waiting.flush(Duration.ofMillis(50)));
      assertEquals(Code.DEADLINE_EXCEEDED, waiting.flush(null));
      assertEquals(Code.DEADLINE_EXCEEDED, waiting.close(Duration.ofMillis(-5)));
    }
  }

  private static final class Thrower {
    @Override
    public String toString() {
      throw new IllegalStateException("on purpose");
    }
  }
}
