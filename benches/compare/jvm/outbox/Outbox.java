import io.debezium.engine.DebeziumEngine;
import io.debezium.embedded.Connect;
import io.debezium.engine.RecordChangeEvent;
import io.debezium.engine.format.ChangeEventFormat;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.source.SourceRecord;

/** Debezium's engine with its outbox router; does what each line of its input asks. */
public final class Outbox {
    private static final int KEYS = 10_000;
    private static final int AT_ONCE = 500;
    private static final Pattern NUMBER = Pattern.compile("\\d+");

    private final URI database;
    private final String servers;
    private final Connection admin;
    private Connection held;
    private int topics;
    private Running following;

    private Outbox(String[] arguments) throws SQLException {
        database = URI.create(arguments[0]);
        servers = arguments[1];
        admin = connect();
        execute(
                admin,
                "CREATE TABLE raw (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id"
                        + " text, aggregatetype text, aggregateid text, type text, topic text, key"
                        + " bytea, headers bytea, payload bytea, created_at timestamptz DEFAULT"
                        + " clock_timestamp())");
        execute(admin, "CREATE PUBLICATION " + slot() + " FOR TABLE raw");
        execute(
                admin,
                "SELECT pg_create_logical_replication_slot('" + slot() + "', 'pgoutput')");
    }

    public static void main(String[] arguments) throws Exception {
        Outbox outbox = new Outbox(arguments);
        BufferedReader questions =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = questions.readLine(); line != null; line = questions.readLine()) {
            System.out.println(outbox.answer(line));
        }
    }

    private String answer(String question) throws Exception {
        Matcher found = NUMBER.matcher(question);
        int number = found.find() ? Integer.parseInt(found.group()) : 0;
        if (question.contains("Drain")) {
            fill(number);
            Running running = new Running(number, question.contains("true"));
            running.end();
            return running.book.answer();
        }
        if (question.contains("Hold")) {
            held = connect();
            held.setAutoCommit(false);
            held.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            execute(held, "SELECT pg_current_xact_id()");
        } else if (question.contains("LetGo")) {
            held.rollback();
            held.close();
        } else if (question.contains("Follow")) {
            following = new Running(number, true);
        } else if (question.contains("Share")) {
            long began = System.nanoTime();
            long before = Book.SYSTEM.getProcessCpuTime();
            Thread.sleep(number * 1_000L);
            double used = Book.SYSTEM.getProcessCpuTime() - before;
            return Double.toString(used / (System.nanoTime() - began));
        } else if (question.contains("Acks")) {
            following.end();
            List<String> acks = new ArrayList<>();
            for (int event = 0; event < following.acks.length(); event++) {
                acks.add(Long.toString(following.acks.get(event)));
            }
            return acks.toString();
        } else {
            throw new IllegalArgumentException(question);
        }
        return "null";
    }

    private void fill(int events) throws SQLException {
        String noise = "5a".repeat(200);
        String payload = "decode('" + noise + "', 'hex')";
        for (int place = 0; place < 4; place++) {
            payload = "set_byte(" + payload + ", " + place + ", (n >> " + 8 * place + ") & 255)";
        }
        execute(
                admin,
                "DO $$ BEGIN FOR i IN 0.." + (events / AT_ONCE - 1) + " LOOP INSERT INTO raw"
                        + " (event_id, aggregatetype, aggregateid, type, topic, key, headers,"
                        + " payload) SELECT gen_random_uuid()::text, 'task', (n % " + KEYS
                        + ")::text, 'task.created', 'events', convert_to((n % " + KEYS
                        + ")::text, 'UTF8'), decode('" + "68".repeat(180) + "', 'hex'), " + payload
                        + " FROM generate_series(i * " + AT_ONCE + ", i * " + AT_ONCE + " + "
                        + (AT_ONCE - 1) + ") n; COMMIT; END LOOP; END $$");
        execute(admin, "CHECKPOINT");
    }

    private Connection connect() throws SQLException {
        String url = "jdbc:postgresql://" + database.getHost() + ":" + database.getPort();
        return DriverManager.getConnection(url + database.getPath(), user(), "");
    }

    private static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private String user() {
        return database.getUserInfo();
    }

    private String slot() {
        return database.getPath().substring(1);
    }

    /** An engine that runs until all events are published. */
    private final class Running {
        final Book book;
        final AtomicLongArray acks;
        private final KafkaProducer<byte[], byte[]> producer;
        private final DebeziumEngine<RecordChangeEvent<SourceRecord>> engine;
        private final ExecutorService thread = Executors.newSingleThreadExecutor();

        Running(int events, boolean toKafka) throws Exception {
            book = new Book(events, Math.min(KEYS, events));
            acks = new AtomicLongArray(events);
            String topic = "debezium-" + ProcessHandle.current().pid() + "-" + ++topics;
            producer = toKafka ? producer() : null;
            if (toKafka) {
                create(topic);
            }
            book.begin();
            engine =
                    DebeziumEngine.create(ChangeEventFormat.of(Connect.class))
                            .using(properties(topic))
                            .using(this::ended)
                            .notifying(this::handle)
                            .build();
            thread.execute(engine);
        }

        void end() throws Exception {
            if (!book.ended.await(170, TimeUnit.SECONDS)) {
                throw new IllegalStateException("stuck");
            }
            engine.close();
            thread.shutdown();
            if (producer != null) {
                producer.close();
            }
        }

        private void ended(boolean success, String message, Throwable error) {
            if (!success) {
                error.printStackTrace();
                System.exit(1);
            }
        }

        private void handle(
                List<RecordChangeEvent<SourceRecord>> batch,
                DebeziumEngine.RecordCommitter<RecordChangeEvent<SourceRecord>> committer)
                throws InterruptedException {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (RecordChangeEvent<SourceRecord> event : batch) {
                SourceRecord one = event.record();
                byte[] key = one.key().toString().getBytes(StandardCharsets.US_ASCII);
                byte[] value = ((ByteBuffer) one.value()).array();
                if (producer == null) {
                    book.done(key, value);
                } else {
                    var record = new ProducerRecord<>(one.topic(), key, value);
                    sent.add(producer.send(record, (metadata, error) -> acknowledged(key, value)));
                }
            }
            for (Future<RecordMetadata> one : sent) {
                try {
                    one.get();
                } catch (java.util.concurrent.ExecutionException error) {
                    throw new IllegalStateException(error);
                }
            }
            for (RecordChangeEvent<SourceRecord> event : batch) {
                committer.markProcessed(event);
            }
            committer.markBatchFinished();
        }

        private void acknowledged(byte[] key, byte[] value) {
            var now = java.time.Instant.now();
            long micros = now.getEpochSecond() * 1_000_000 + now.getNano() / 1_000;
            acks.set(Book.number(value), micros);
            book.done(key, value);
        }

        private void create(String topic) throws Exception {
            Properties properties = new Properties();
            properties.put("bootstrap.servers", servers);
            try (Admin topics = Admin.create(properties)) {
                topics.createTopics(List.of(new NewTopic(topic, 6, (short) 1))).all().get();
            }
        }

        private KafkaProducer<byte[], byte[]> producer() {
            Properties properties = new Properties();
            properties.put("bootstrap.servers", servers);
            properties.put("acks", "all");
            properties.put("linger.ms", "0");
            return new KafkaProducer<>(
                    properties, new ByteArraySerializer(), new ByteArraySerializer());
        }

        private Properties properties(String topic) {
            Properties properties = new Properties();
            properties.put("name", slot());
            properties.put("topic.prefix", slot());
            properties.put("connector.class", "io.debezium.connector.postgresql.PostgresConnector");
            properties.put(
                    "offset.storage", "org.apache.kafka.connect.storage.MemoryOffsetBackingStore");
            properties.put("offset.flush.interval.ms", "1000");
            properties.put("database.hostname", database.getHost());
            properties.put("database.port", Integer.toString(database.getPort()));
            properties.put("database.dbname", slot());
            properties.put("database.user", user());
            properties.put("database.password", "none");
            properties.put("plugin.name", "pgoutput");
            properties.put("slot.name", slot());
            properties.put("publication.name", slot());
            properties.put("publication.autocreate.mode", "disabled");
            properties.put("table.include.list", "public.raw");
            properties.put("snapshot.mode", "no_data");
            properties.put("tombstones.on.delete", "false");
            properties.put("poll.interval.ms", "1");
            properties.put("transforms", "outbox");
            properties.put(
                    "transforms.outbox.type", "io.debezium.transforms.outbox.EventRouter");
            properties.put("transforms.outbox.route.topic.replacement", topic);
            return properties;
        }
    }
}
