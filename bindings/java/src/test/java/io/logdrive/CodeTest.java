package io.logdrive;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** The codes are those of the C header, each under its number. */
class CodeTest {
  @Test
  void everyCodeOfTheHeaderHasItsName() throws Exception {
    String header = Files.readString(Path.of("../../include/logdrive.h"));
    // The codes stand in front of the severities.
    String codes = header.substring(0, header.indexOf("#define LOGDRIVE_SEVERITY_TRACE"));
    var found = Pattern.compile("#define LOGDRIVE_(\\w+) (\\d+)").matcher(codes);
    List<String> expected = new ArrayList<>();
    List<String> actual = new ArrayList<>();
    while (found.find()) {
      if (!found.group(1).equals("ABI_VERSION")) {
        expected.add(found.group(1) + " " + found.group(2));
        actual.add(Code.of(Long.parseLong(found.group(2))) + " " + found.group(2));
      }
    }
    assertEquals(expected, actual);
    assertEquals(Code.values().length - 1, actual.size());
    assertEquals(Code.INTERNAL, Code.of(actual.size()));
  }
}
