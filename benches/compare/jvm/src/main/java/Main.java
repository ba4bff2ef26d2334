import com.sun.management.OperatingSystemMXBean;
import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Consumes a topic once for each group that it reads from its input, and says what that took. */
public final class Main {
    private static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private final String servers;
    private final String topic;
    private final String mode;
    private final int atOnce;
    private final long workMillis;
    private final int records;
    private final int keys;

    private Main(String[] arguments) {
        mode = arguments[0];
        atOnce = Integer.parseInt(arguments[1]);
        servers = arguments[2];
        topic = arguments[3];
        workMillis = Long.parseLong(arguments[4]);
        records = Integer.parseInt(arguments[5]);
        keys = Integer.parseInt(arguments[6]);
    }

    public static void main(String[] arguments) throws Exception {
        Main main = new Main(arguments);
        BufferedReader groups =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String group = groups.readLine(); group != null; group = groups.readLine()) {
            Book book = new Book(main.records, main.keys);
            // Forgets the peak of what was resident.
            Files.writeString(Path.of("/proc/self/clear_refs"), "5");
            if (main.mode.equals("LOOP")) {
                main.loop(group, book);
            } else {
                main.parallel(group, book);
            }
            System.out.println(book.answer());
        }
    }

    private void loop(String group, Book book) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(group)) {
            consumer.subscribe(List.of(topic));
            while (book.ended.getCount() > 0) {
                for (ConsumerRecord<byte[], byte[]> one : consumer.poll(Duration.ofSeconds(1))) {
                    book.begin();
                    book.done(one.key(), one.value());
                }
            }
            consumer.commitSync();
        }
    }

    private void parallel(String group, Book book) throws Exception {
        var options =
                ParallelConsumerOptions.<byte[], byte[]>builder()
                        .consumer(consumer(group))
                        .ordering(ProcessingOrder.valueOf(mode))
                        .maxConcurrency(atOnce)
                        .build();
        var processor = ParallelStreamProcessor.createEosStreamProcessor(options);
        processor.subscribe(List.of(topic));
        processor.poll(
                context -> {
                    book.begin();
                    if (workMillis > 0) {
                        pause();
                    }
                    ConsumerRecord<byte[], byte[]> one = context.getSingleConsumerRecord();
                    book.done(one.key(), one.value());
                });
        if (!book.ended.await(170, TimeUnit.SECONDS)) {
            throw new IllegalStateException("stuck");
        }
        processor.closeDrainFirst();
    }

    private void pause() {
        try {
            Thread.sleep(workMillis);
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group) {
        Properties properties = new Properties();
        properties.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, servers);
        properties.put(ConsumerConfig.GROUP_ID_CONFIG, group);
        properties.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        // The other one commits by itself.
        properties.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, mode.equals("LOOP"));
        var bytes = new ByteArrayDeserializer();
        return new KafkaConsumer<>(properties, bytes, new ByteArrayDeserializer());
    }

    /** What has been handled in a run. */
    private static final class Book {
        final CountDownLatch ended;
        private final int records;
        private final AtomicIntegerArray keys;
        private final AtomicInteger incomplete;
        private final AtomicInteger disorder = new AtomicInteger();
        private volatile boolean begun;
        private long beganAt;
        private long beganCpu;
        private long endedAt;
        private long endedCpu;

        Book(int records, int keys) {
            this.records = records;
            this.keys = new AtomicIntegerArray(keys);
            incomplete = new AtomicInteger(keys);
            ended = new CountDownLatch(1);
        }

        void begin() {
            if (!begun) {
                beginFirst();
            }
        }

        private synchronized void beginFirst() {
            if (!begun) {
                beganAt = System.nanoTime();
                beganCpu = SYSTEM.getProcessCpuTime();
                begun = true;
            }
        }

        void done(byte[] key, byte[] value) {
            int number = value[0] & 255 | (value[1] & 255) << 8 | (value[2] & 255) << 16;
            int index = Integer.parseInt(new String(key, StandardCharsets.US_ASCII));
            int before = keys.getAndIncrement(index);
            if (number / keys.length() != before) {
                disorder.incrementAndGet();
            }
            if (before + 1 == records / keys.length() && incomplete.decrementAndGet() == 0) {
                endedAt = System.nanoTime();
                endedCpu = SYSTEM.getProcessCpuTime();
                ended.countDown();
            }
        }

        String answer() throws Exception {
            String peak =
                    Files.readAllLines(Path.of("/proc/self/status")).stream()
                            .filter(line -> line.startsWith("VmHWM:"))
                            .findFirst()
                            .orElseThrow()
                            .replaceAll("\\D", "");
            return String.format(
                    "{\"records\": %d, \"disorder\": %d, \"seconds\": %s, \"cpu_seconds\": %s,"
                            + " \"peak_kib\": %s}",
                    records,
                    disorder.get(),
                    (endedAt - beganAt) / 1e9,
                    (endedCpu - beganCpu) / 1e9,
                    peak);
        }
    }
}
