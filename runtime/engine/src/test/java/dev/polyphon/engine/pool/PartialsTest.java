package dev.polyphon.engine.pool;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polyphon.engine.pool.DiskStore.Arrival;
import dev.polyphon.runtime.RuntimeFault;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PartialsTest {
    private static final String FROM = "hf://org/a";

    @TempDir
    Path store;

    private DiskStore open() throws IOException {
        return DiskStore.open(store, 100, hash -> false, hash -> true);
    }

    private static void write(Arrival arrival, String name, int bytes) throws IOException {
        arrival.take(bytes);
        Files.write(arrival.folder().resolve(name), new byte[bytes]);
    }

    private void breakOff() throws IOException {
        try (DiskStore disk = open(); Arrival arrival = disk.arrival(FROM)) {
            write(arrival, "x", 60);
        }
    }

    @Test
    void whatBrokeOffIsThereAfterARestartAndCounted() throws IOException {
        breakOff();
        try (DiskStore disk = open()) {
            assertThat(disk.usage().bytes()).isEqualTo(60);
            try (Arrival arrival = disk.arrival(FROM)) {
                assertThat(arrival.folder().resolve("x")).hasSize(60);
                try (Arrival other = disk.arrival(FROM)) {
                    assertThat(other.folder().resolve("x")).as("somebody else fills it").doesNotExist();
                }
                write(arrival, "y", 10);
                arrival.settle("hash", false).close();
            }
            assertThat(disk.usage().bytes()).isEqualTo(70);
            assertThat(disk.contains("hash")).isTrue();
            try (Arrival arrival = disk.arrival(FROM)) {
                assertThat(arrival.folder()).isEmptyDirectory();
                arrival.forget();
            }
            assertThat(disk.usage().bytes()).isEqualTo(70);
            assertThat(store.resolve("partial")).isEmptyDirectory();
        }
    }

    @Test
    void itGivesWayBeforeCopiesAndToNobodyWhoFillsIt() throws IOException {
        breakOff();
        try (DiskStore disk = open()) {
            try (Arrival arrival = disk.arrival(FROM); Arrival other = disk.arrival("s3://b/c")) {
                assertThatThrownBy(() -> other.take(50)).isInstanceOf(RuntimeFault.class);
                assertThat(arrival.folder().resolve("x")).exists();
            }
            try (Arrival other = disk.arrival()) {
                write(other, "z", 50);
                other.settle("z", false).close();
            }
            assertThat(disk.usage().bytes()).isEqualTo(50);
            try (Arrival arrival = disk.arrival(FROM)) {
                assertThat(arrival.folder()).isEmptyDirectory();
            }
        }
    }
}
