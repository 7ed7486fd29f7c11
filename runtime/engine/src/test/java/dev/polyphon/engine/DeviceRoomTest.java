package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polyphon.engine.pool.PoolOptions;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class DeviceRoomTest {
    private static final EngineOptions OPTIONS = EngineOptions.of("a", Path.of("a")).withSharedBytes(7).withAdapters(PoolOptions.of(1000));

    @Test
    void theHostsMemoryIsSharedAsTheOptionsSay() throws IOException {
        assertThat(DeviceRoom.of(OPTIONS, 1 << 20, 5, Long.MAX_VALUE)).isEqualTo(new DeviceRoom(1000, 7));
    }

    @Test
    void aDevicesIsSharedAsFarAsThereIsSome() throws IOException {
        assertThat(DeviceRoom.of(OPTIONS, 4000, 500, 16_000)).as("a sixteenth is for steps").isEqualTo(new DeviceRoom(1000, 16_000 - 1000 - 4000 - 1000 - 500));
        assertThat(DeviceRoom.of(OPTIONS, 14_500, 500, 16_000)).isEqualTo(new DeviceRoom(500, 0));
    }

    @Test
    void keysAndValuesThatDoNotFitAreRefusedWithTheirSetting() {
        assertThatThrownBy(() -> DeviceRoom.of(OPTIONS, 15_001, 0, 16_000)).isInstanceOf(IOException.class)
                .hasMessage("engine.kvBytes asks for 15001 bytes of keys and values, and the device has 16000 left beside the model, of which steps need 1000");
    }
}
