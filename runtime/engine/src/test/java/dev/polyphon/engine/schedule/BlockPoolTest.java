package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class BlockPoolTest {
    @Test
    void handsOutEveryBlockOnceAndTakesItBackFromTheLastHolder() {
        BlockPool pool = new BlockPool(2);
        int first = pool.take();
        int second = pool.take();
        assertThat(new int[] {first, second}).containsExactlyInAnyOrder(0, 1);
        assertThat(pool.take()).isEqualTo(-1);

        pool.share(first);
        pool.release(first);
        assertThat(pool.free()).isZero();
        pool.release(first);
        assertThat(pool.free()).isEqualTo(1);
        assertThat(pool.take()).isEqualTo(first);
    }

    @Test
    void refusesToReleaseWhatNobodyHolds() {
        BlockPool pool = new BlockPool(1);
        assertThatThrownBy(() -> pool.release(0)).isInstanceOf(IllegalStateException.class);
        int block = pool.take();
        pool.release(block);
        assertThatThrownBy(() -> pool.share(block)).isInstanceOf(IllegalStateException.class);
    }
}
