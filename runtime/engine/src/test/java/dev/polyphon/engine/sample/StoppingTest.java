package dev.polyphon.engine.sample;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.FinishReason;
import dev.polyphon.runtime.Sampling;
import java.util.Set;
import org.junit.jupiter.api.Test;

class StoppingTest {
    private static final Set<Integer> ENDS = Set.of(2, 3);

    @Test
    void endAndStopTokensEnd() {
        var stopping = new Stopping(Sampling.builder().stopTokens(Set.of(9)).maxTokens(10).build(), ENDS, 100);
        assertThat(stopping.after(2, 1)).contains(FinishReason.STOP);
        assertThat(stopping.after(3, 4)).contains(FinishReason.STOP);
        assertThat(stopping.after(9, 4)).contains(FinishReason.STOP);
        assertThat(stopping.after(4, 4)).isEmpty();
    }

    @Test
    void ignoreEosLeavesStopTokens() {
        var stopping = new Stopping(Sampling.builder().stopTokens(Set.of(9)).ignoreEos(true).build(), ENDS, 100);
        assertThat(stopping.after(2, 1)).isEmpty();
        assertThat(stopping.after(9, 1)).contains(FinishReason.STOP);
    }

    @Test
    void theLastTokenEndsByLengthUnlessItIsAnEnd() {
        var stopping = new Stopping(Sampling.builder().maxTokens(5).build(), ENDS, 100);
        assertThat(stopping.after(7, 4)).isEmpty();
        assertThat(stopping.after(7, 5)).contains(FinishReason.LENGTH);
        assertThat(stopping.after(2, 5)).contains(FinishReason.STOP);
    }

    @Test
    void theContextLimitsToo() {
        assertThat(new Stopping(Sampling.builder().build(), ENDS, 8).limit()).isEqualTo(8);
        assertThat(new Stopping(Sampling.builder().maxTokens(50).build(), ENDS, 8).limit()).isEqualTo(8);
        assertThat(new Stopping(Sampling.builder().maxTokens(5).build(), ENDS, 8).after(7, 5)).contains(FinishReason.LENGTH);
    }

    @Test
    void noEndBeforeMinTokens() {
        var stopping = new Stopping(Sampling.builder().minTokens(3).build(), ENDS, 100);
        assertThat(stopping.after(2, 3)).isEmpty();
        assertThat(stopping.after(2, 4)).contains(FinishReason.STOP);
    }
}
