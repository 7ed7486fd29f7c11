package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import org.junit.jupiter.api.Test;

class DevicesTest {
    @Test
    void oneDeviceOrSeveralGpus() throws IOException {
        assertThat(Devices.each("auto")).containsExactly("auto");
        assertThat(Devices.each("cuda:1:f32")).containsExactly("cuda:1:f32");
        assertThat(Devices.each("cuda:0,cuda:2:bf16")).containsExactly("cuda:0", "cuda:2:bf16");
    }

    @Test
    void saysWhatIsWrongWithSeveral() {
        assertThatThrownBy(() -> Devices.each("cuda:0,cpu")).hasMessage("of several devices each is cuda:N (and :f32 or :bf16), found cpu in cuda:0,cpu");
        assertThatThrownBy(() -> Devices.each("cuda:0,")).hasMessageContaining("found nothing in cuda:0,");
        assertThatThrownBy(() -> Devices.each("cuda:1,cuda:1:f32")).hasMessage("device cuda:1:f32 is there twice in cuda:1,cuda:1:f32");
    }
}
