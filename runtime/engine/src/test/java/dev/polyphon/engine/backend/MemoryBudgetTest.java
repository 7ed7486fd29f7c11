package dev.polyphon.engine.backend;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.backend.MemoryBudget.Account;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class MemoryBudgetTest {
    private static final int LONGEST_USE = 12;

    /** One that uses things for a while, keeps them afterwards, and gives back what it is asked for at its next turn. */
    private static final class Party {
        final Account account;
        final long part;
        final Random random;
        /** Of each thing in use, its bytes and when that ends. */
        final List<int[]> inUse = new ArrayList<>();
        long idle;
        int wanted;
        int waited;

        Party(Account account, long part, Random random) {
            this.account = account;
            this.part = part;
            this.random = random;
        }

        void turn(int now, boolean greedy) {
            long back = Math.min(idle, Math.max(0, account.asked()));
            idle -= back;
            account.leaves(back);
            account.left(back);
            for (int[] thing : List.copyOf(inUse)) {
                if (thing[1] <= now) {
                    inUse.remove(thing);
                    idle += thing[0];
                }
            }
            if (wanted == 0 && (greedy || random.nextInt(3) == 0)) {
                wanted = greedy ? 1 : 1 + random.nextInt((int) part);
            }
            // The greedy one takes whatever is left, byte for byte.
            while (wanted > 0 && start(now)) {
                wanted = greedy ? 1 : 0;
                waited = 0;
            }
            account.stands(idle, wanted);
        }

        private boolean start(int now) {
            boolean sure = account.used() - idle + wanted <= account.own();
            boolean started = account.take(wanted);
            for (long given = Math.min(1, idle); !started && given > 0 && given <= idle; given++) {
                started = account.exchange(given, wanted);
                idle -= started ? given : 0;
            }
            assertThat(started || !sure).as("each is sure of its own").isTrue();
            if (started) {
                inUse.add(new int[] {wanted, now + 1 + random.nextInt(LONGEST_USE)});
            }
            return started;
        }

        long used() {
            return idle + inUse.stream().mapToInt(thing -> thing[0]).sum();
        }
    }

    @Property(tries = 300)
    void nobodyStarves(@ForAll long seed, @ForAll @IntRange(min = 2, max = 3) int count, @ForAll @IntRange(min = 1, max = 30) int own,
            @ForAll @IntRange(max = 60) int shared) {
        Random random = new Random(seed);
        MemoryBudget budget = new MemoryBudget(shared);
        List<Party> parties = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            Account account = budget.account(1 + random.nextInt(own));
            parties.add(new Party(account, account.own() + shared / count, random));
        }
        for (int now = 0; now < 200; now++) {
            for (Party party : parties) {
                party.turn(now, party == parties.getFirst());
                long beyond = parties.stream().mapToLong(p -> Math.max(0, p.used() - p.account.own())).sum();
                assertThat(beyond).as("shared bytes").isLessThanOrEqualTo(shared);
                assertThat(party.account.used()).isEqualTo(party.used());
                boolean due = party.wanted > 0 && party.inUse.stream().mapToInt(thing -> thing[0]).sum() + party.wanted <= party.part;
                party.waited = due ? party.waited + 1 : 0;
                assertThat(party.waited).as("turns of waiting for what is one's part").isLessThanOrEqualTo(2 * LONGEST_USE);
            }
        }
    }

    @Test
    void whatBothOnlyKeepIsHalved() {
        MemoryBudget budget = new MemoryBudget(100);
        Account keys = budget.account(10);
        Account adapters = budget.account(10);
        assertThat(keys.take(110)).as("nobody else wants any").isTrue();
        keys.stands(110, 0);
        assertThat(keys.asked()).isZero();
        for (int i = 0; i < 200; i++) {
            if (!adapters.take(1)) {
                adapters.exchange(1, 1);
            }
            adapters.stands(adapters.used(), 0);
            long back = keys.asked();
            keys.give(back);
            keys.stands(keys.used(), 0);
        }
        assertThat(adapters.used()).isEqualTo(60);
        assertThat(keys.used()).isEqualTo(60);
        adapters.take(1);
        assertThat(keys.asked()).isZero();
    }

    @Test
    void whatIsUsedGoesBeforeWhatIsKept() {
        MemoryBudget budget = new MemoryBudget(100);
        Account keys = budget.account(10);
        Account adapters = budget.account(10);
        keys.take(110);
        keys.stands(110, 0);
        adapters.take(10);
        assertThat(adapters.take(90)).isFalse();
        adapters.stands(0, 90);
        assertThat(keys.asked()).isEqualTo(90);
        keys.leaves(90);
        assertThat(keys.asked()).as("not twice").isZero();
        keys.left(90);
        assertThat(adapters.take(90)).isTrue();
        assertThat(keys.reach()).isEqualTo(20);
        assertThat(keys.most()).isEqualTo(110);
    }

    @Test
    void whoIsHeldToHisPartHearsWhenNobodyWaitsForTheRest() {
        MemoryBudget budget = new MemoryBudget(100);
        Account keys = budget.account(10);
        Account adapters = budget.account(10);
        int[] room = new int[1];
        adapters.listen(new MemoryBudget.Listener() {
            @Override
            public void pressed() {}

            @Override
            public void room() {
                room[0]++;
            }
        });
        adapters.take(80);
        keys.take(10);
        keys.stands(0, 31);
        assertThat(adapters.take(1)).as("more than its part").isFalse();
        adapters.stands(0, 1);
        keys.stands(0, 30);
        assertThat(room[0]).isZero();
        keys.stands(0, 0);
        assertThat(room[0]).isOne();
        assertThat(adapters.take(1)).isTrue();
    }
}
