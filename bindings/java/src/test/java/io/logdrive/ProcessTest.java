package io.logdrive;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.logdrive.support.Program;
import io.logdrive.support.Receiver;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A JVM of its own, to its end. */
class ProcessTest {
  private Receiver receiver;

  @BeforeEach
  void open() throws Exception {
    receiver = new Receiver();
  }

  @AfterEach
  void close() throws Exception {
    receiver.close();
  }

  @Test
  void shutdownHooksMayLogWithoutAFlush() throws Exception {
    Program.output(Program.java(List.of(), "hook", receiver.url()));
    Set<String> expected = Set.of("main", "hook 0", "hook 1", "hook 2", "hook 3");
    assertEquals(expected, Set.copyOf(receiver.texts()));
    assertEquals(expected.size(), receiver.verified());
  }

  @Test
  void aHaltLosesNothing() throws Exception {
    assertEquals(3, Program.run(Program.java(List.of(), "halt", receiver.url())).status());
    // Whether the halt left time to send it or the next process of the name does.
    Program.output(Program.java(List.of(), "drain", receiver.url()));
    assertEquals(List.of("halted"), receiver.texts());
  }

  @Test
  void aChildProcessInheritsNothing() throws Exception {
    String output = Program.output(Program.java(List.of(), "child", receiver.url()));
    assertTrue(output.contains("flush OK"), output);
    assertFalse(output.contains("sockets here 0"), output);
    String child = output.substring(output.indexOf("child:"));
    assertTrue(child.contains("/proc/"), child);
    for (String ours : List.of("socket:", "arena", "/ring", "/spool", "eventpoll", "eventfd", ".seg")) {
      assertFalse(child.contains(ours), ours + " in " + child);
    }
  }

  @Test
  void theJvmFindsNoFaultInOurUseOfJni() throws Exception {
    String output = Program.output(Program.java(List.of("-Xcheck:jni"), "everything", receiver.url()));
    assertTrue(output.contains("refused CONFIGURATION"), output);
    assertTrue(output.contains("close OK"), output);
    assertFalse(output.contains("WARNING") || output.contains("FATAL"), output);
  }

  @Test
  void signalHandlersOfTheJvmStayAsTheyAre() throws Exception {
    String output = Program.output(Program.java(List.of(), "faults", receiver.url()));
    assertTrue(output.contains("caught 10000"), output);
    List<String> masks = output.lines().filter(line -> line.startsWith("Sig")).toList();
    assertEquals(6, masks.size(), output);
    assertEquals(masks.subList(0, 3), masks.subList(3, 6), "blocked, ignored and caught signals");
    assertEquals(20_000, receiver.verified());
  }
}
