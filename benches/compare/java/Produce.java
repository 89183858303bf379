import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * One run of the Java producer.
 *
 * <pre>java -cp 'libs/*' Produce.java BOOTSTRAP TOPIC CORPUS BYTES RECORDS CODEC LINGER_MS PER_SECOND</pre>
 *
 * CORPUS holds records of BYTES bytes back to back; PER_SECOND 0 is as fast as it goes. Prints the line that the
 * bench reads: used SECONDS CPU_SECONDS P50_MS P99_MS.
 */
public final class Produce {
    public static void main(String[] arguments) throws Exception {
        String topic = arguments[1];
        byte[] corpus = Files.readAllBytes(Path.of(arguments[2]));
        int bytes = Integer.parseInt(arguments[3]);
        int count = Integer.parseInt(arguments[4]);
        double perSecond = Double.parseDouble(arguments[7]);
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("acks", "all");
        settings.put("enable.idempotence", "true");
        settings.put("compression.type", arguments[5]);
        settings.put("linger.ms", arguments[6]);
        settings.put("batch.size", "262144");
        settings.put("buffer.memory", "67108864");
        settings.put("key.serializer", ByteArraySerializer.class.getName());
        settings.put("value.serializer", ByteArraySerializer.class.getName());
        int lines = corpus.length / bytes;
        byte[][] records = new byte[lines][];
        for (int line = 0; line < lines; line++) {
            records[line] = Arrays.copyOfRange(corpus, line * bytes, (line + 1) * bytes);
        }
        long[] latencies = new long[count];
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
            // Connected and compiled, as far as a second's work does that, before the clock runs.
            int warm = perSecond > 0 ? 10_000 : Math.min(count, 200_000);
            for (int n = 0; n < warm; n++) {
                producer.send(new ProducerRecord<>(topic, records[n % lines]));
            }
            producer.flush();
            var self = (com.sun.management.OperatingSystemMXBean)
                java.lang.management.ManagementFactory.getOperatingSystemMXBean();
            long cpuBefore = self.getProcessCpuTime();
            long start = System.nanoTime();
            for (int n = 0; n < count; n++) {
                if (perSecond > 0) {
                    long due = start + (long) (n / perSecond * 1e9);
                    for (long left; (left = due - System.nanoTime()) > 0; ) {
                        LockSupport.parkNanos(left);
                    }
                }
                int number = n;
                long sent = System.nanoTime();
                producer.send(new ProducerRecord<>(topic, records[n % lines]), (metadata, error) -> {
                    if (error != null) {
                        throw new IllegalStateException(error);
                    }
                    latencies[number] = System.nanoTime() - sent;
                });
            }
            producer.flush();
            double seconds = (System.nanoTime() - start) / 1e9;
            double cpu = (self.getProcessCpuTime() - cpuBefore) / 1e9;
            for (long latency : latencies) {
                if (latency == 0) {
                    throw new IllegalStateException("a record was not acknowledged");
                }
            }
            Arrays.sort(latencies);
            System.out.printf("used %f %f %f %f%n", seconds, cpu,
                latencies[count / 2] / 1e6, latencies[(int) (count * 0.99)] / 1e6);
        }
    }
}
