package shop;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.UUID;
import java.util.concurrent.Executors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.MDC;

/**
 * A small HTTP server of the JDK that logs its requests through SLF4J and Logback; that they go to logdrive is known to
 * logback.xml alone.
 *
 * <pre>
 *   mvn -f examples/java package
 *   java -Dshop.log=receivers://127.0.0.1:9092/shop -cp 'examples/java/target/classes:examples/java/target/libs/*' \
 *       shop.Server 8080
 * </pre>
 *
 * SIGTERM ends it; what it has logged until then is delivered before the process ends.
 */
public final class Server {
  private static final Logger LOG = LoggerFactory.getLogger(Server.class);
  private static final int THREADS = 8;

  private Server() {}

  public static void main(String[] arguments) throws IOException {
    int port = Integer.parseInt(arguments[0]);
    HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
    server.createContext("/", Server::serve);
    server.setExecutor(Executors.newFixedThreadPool(THREADS));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(server)));
    server.start();
    LOG.info("started");
    System.out.println("listening on 127.0.0.1:" + server.getAddress().getPort());
  }

  private static void serve(HttpExchange exchange) throws IOException {
    long start = System.nanoTime();
    String path = exchange.getRequestURI().getPath();
    int status = 500;
    // Everything that is logged on the way has it.
    MDC.put("request", UUID.randomUUID().toString());
    try (exchange) {
      status = answer(exchange, path);
    } catch (RuntimeException defect) {
      LOG.error("{} failed", path, defect);
    } finally {
      LOG.atInfo()
          .addKeyValue("method", exchange.getRequestMethod())
          .addKeyValue("status", status)
          .addKeyValue("microseconds", (System.nanoTime() - start) / 1_000)
          .log("request for {}", path);
      MDC.clear();
    }
  }

  private static int answer(HttpExchange exchange, String path) throws IOException {
    if (path.equals("/fail")) {
      throw new IllegalStateException("asked to fail");
    }
    if (!path.equals("/")) {
      LOG.warn("nobody knows {}", path);
      exchange.sendResponseHeaders(404, -1);
      return 404;
    }
    byte[] body = "hello\n".getBytes(StandardCharsets.UTF_8);
    exchange.sendResponseHeaders(200, body.length);
    exchange.getResponseBody().write(body);
    return 200;
  }

  private static void stop(HttpServer server) {
    server.stop(1);
    LOG.info("stopped");
  }
}
