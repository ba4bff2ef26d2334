import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Consumes a topic once for each group that it reads from its input, and says what that took. */
public final class Consumer {
    private final String servers;
    private final String topic;
    private final String mode;
    private final int atOnce;
    private final long workMillis;
    private final int records;
    private final int keys;

    private Consumer(String[] arguments) {
        mode = arguments[0];
        atOnce = Integer.parseInt(arguments[1]);
        servers = arguments[2];
        topic = arguments[3];
        workMillis = Long.parseLong(arguments[4]);
        records = Integer.parseInt(arguments[5]);
        keys = Integer.parseInt(arguments[6]);
    }

    public static void main(String[] arguments) throws Exception {
        Consumer main = new Consumer(arguments);
        BufferedReader groups =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String group = groups.readLine(); group != null; group = groups.readLine()) {
            Book book = new Book(main.records, main.keys);
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
}
