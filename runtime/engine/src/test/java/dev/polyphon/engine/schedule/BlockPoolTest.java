package dev.polyphon.engine.schedule;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
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
        assertThat(pool.used()).isEqualTo(2);
        pool.release(first);
        assertThat(pool.used()).isEqualTo(1);
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

    @Test
    void keepsContentUntilABlockIsWantedTheLeastRecentlyUsedFirst() {
        BlockPool pool = new BlockPool(3);
        List<Integer> reused = new ArrayList<>();
        pool.onReuse(reused::add);
        int a = pool.take();
        int b = pool.take();
        int c = pool.take();
        pool.keep(a);
        pool.keep(b);
        pool.release(a);
        pool.release(b);
        pool.release(c);
        assertThat(pool.used()).isZero();
        assertThat(pool.idle()).isEqualTo(2);
        pool.share(a);
        pool.release(a);
        assertThat(pool.take()).as("what has no content goes first").isEqualTo(c);
        assertThat(pool.take()).isEqualTo(b);
        assertThat(reused).containsExactly(b);
        pool.share(a);
        assertThat(pool.take()).isEqualTo(-1);
        pool.release(a);
        pool.drop(a);
        assertThat(pool.idle()).isZero();
        assertThat(pool.take()).isEqualTo(a);
        assertThat(reused).as("dropped, not reused").containsExactly(b);
    }
}
