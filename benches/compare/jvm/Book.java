import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;

/** What has been handled in a run. */
final class Book {
    static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

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

    Book(int records, int keys) throws IOException {
        // Forgets the peak of what was resident.
        Files.writeString(Path.of("/proc/self/clear_refs"), "5");
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
        int number = number(value);
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

    /** The number of the record with this value. */
    static int number(byte[] value) {
        return value[0] & 255 | (value[1] & 255) << 8 | (value[2] & 255) << 16;
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
