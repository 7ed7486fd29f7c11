package dev.polyphon.engine.schedule.merge;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.MergeInfo.Cause;
import dev.polyphon.runtime.MergeInfo.State;
import dev.polyphon.runtime.MergeMode;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;

class MergeTableTest {

    /** Between taking an entry and saying so, the merging thread has to fetch the adapter: no copy is left in service for what was dropped meanwhile. */
    @Test
    void whatIsDroppedWhenItsMakerHasItInHandIsNotPublished() throws InterruptedException {
        MergeTable table = new MergeTable(new MergeMode.Never(), 1000);
        table.add(new MergeTarget("", List.of(new AdapterWeight("a"))), Cause.OPERATOR);
        MergeEntry inHand = table.await(Duration.ZERO);
        table.drop(inHand);
        assertThat(table.entries()).isEmpty();
        table.reserve(inHand, 10, 100);
        table.enter(inHand, State.MERGING);
        assertThat(table.publish(inHand, null)).isFalse();
        table.remove(inHand);
        assertThat(table.status().bytes()).isZero();
    }

    @Test
    void soManyFailuresAreRemembered() {
        MergeTable table = new MergeTable(new MergeMode.Never(), 1000);
        for (int i = 0; i < 3 * MergeTable.MOST_FAILED; i++) {
            table.fail(table.add(new MergeTarget("", List.of(new AdapterWeight("a" + i))), Cause.OPERATOR), "no reason");
        }
        assertThat(table.entries()).hasSize(MergeTable.MOST_FAILED).extracting(entry -> entry.target.adapters().getFirst().name())
                .startsWith("a" + 2 * MergeTable.MOST_FAILED).endsWith("a" + (3 * MergeTable.MOST_FAILED - 1));
        assertThat(table.status().failed()).isEqualTo(3 * MergeTable.MOST_FAILED);
    }
}
