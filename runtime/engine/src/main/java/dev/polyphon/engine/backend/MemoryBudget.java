package dev.polyphon.engine.backend;

import java.util.ArrayList;
import java.util.List;

/**
 * Bytes where the model computes, shared by those who keep something there (one budget for adapters and the KV cache, as in S-LoRA, Sheng et al. 2024).
 * Each account is sure of so many bytes of its own, which the others never take. What is left is shared: whoever needs it first has it.
 *
 * <p>When it is all taken, who wants more asks the others for what they only keep in case it is wanted again: down to their own bytes where he has nothing
 * of that kind himself, else down to their part, which is their own bytes and as much of the shared ones as everyone's. While somebody below his part
 * waits, nobody takes more than his. So each gets his part in the end, whatever the others do, as long as they use nothing for ever; and everything when
 * they want nothing.
 *
 * <p>Thread-safe. Listeners are called by whoever causes it, maybe under his locks: they must not take any.
 */
public final class MemoryBudget {

    /** Hears what others do. */
    public interface Listener {
        Listener NONE = new Listener() {
            @Override
            public void pressed() {}

            @Override
            public void room() {}
        };

        /** Others want bytes: {@link Account#asked} says how many. */
        void pressed();

        /** Others gave bytes back, or wait for none any more. */
        void room();
    }

    private final long shared;
    private final List<Account> accounts = new ArrayList<>();

    /** @param shared bytes beyond those that accounts are sure of */
    public MemoryBudget(long shared) {
        this.shared = shared;
    }

    /** Opens an account; all are opened before any is used. */
    public synchronized Account account(long own) {
        Account account = new Account(own);
        accounts.add(account);
        return account;
    }

    /** What one of those who share has of the budget. */
    public final class Account {
        private final long own;
        private Listener listener = Listener.NONE;
        private long used;
        /** Of the used ones, on their way back. */
        private long leaving;
        /** Of the used ones, kept only in case it is wanted again. */
        private long idle;
        /** Wanted, and not to be had at the moment. */
        private long waits;
        /** What others wanted and had not, since this was last asked for. */
        private long pressure;

        private Account(long own) {
            this.own = own;
        }

        public void listen(Listener value) {
            listener = value;
        }

        /** The bytes that this is sure of. */
        public long own() {
            return own;
        }

        /** The most this can ever have. */
        public long most() {
            return own + shared;
        }

        /** Bytes that are not the others' at the moment: what this has, and what it could take. */
        public long reach() {
            synchronized (MemoryBudget.this) {
                return own + shared - othersShared();
            }
        }

        public long used() {
            synchronized (MemoryBudget.this) {
                return used;
            }
        }

        /** Takes bytes; false when there are not so many at the moment: then others are asked for theirs. */
        public boolean take(long bytes) {
            return exchange(0, bytes);
        }

        /** Takes bytes for others that it gives back, all or nothing. */
        public boolean exchange(long given, long taken) {
            synchronized (MemoryBudget.this) {
                long after = used - given + taken;
                if (allows(after)) {
                    used = after;
                    return true;
                }
            }
            press(taken);
            return false;
        }

        private boolean allows(long after) {
            boolean fits = after <= used || Math.max(0, after - own) + othersShared() <= shared;
            return fits && (after <= part() || !othersWaitBelowTheirPart());
        }

        private long othersShared() {
            long sum = 0;
            for (Account other : accounts) {
                sum += other == this ? 0 : Math.max(0, other.used - other.own);
            }
            return sum;
        }

        private long part() {
            return own + shared / accounts.size();
        }

        private boolean othersWaitBelowTheirPart() {
            for (Account other : accounts) {
                if (other != this && other.waits > 0 && other.used < other.part()) {
                    return true;
                }
            }
            return false;
        }

        private void press(long bytes) {
            List<Listener> pressed = new ArrayList<>();
            synchronized (MemoryBudget.this) {
                for (Account other : accounts) {
                    if (other != this) {
                        other.pressure = Math.max(other.pressure, Math.min(bytes, other.used - (idle > 0 ? other.part() : other.own)));
                        if (other.asked(other.pressure) > 0) {
                            pressed.add(other.listener);
                        }
                    }
                }
            }
            pressed.forEach(Listener::pressed);
        }

        /** How many bytes others want of this one; it should give so many back of what it only keeps. */
        public long asked() {
            synchronized (MemoryBudget.this) {
                long wanted = pressure;
                pressure = 0;
                return asked(wanted);
            }
        }

        private long asked(long pressing) {
            long wanted = pressing;
            for (Account other : accounts) {
                if (other != this) {
                    wanted = Math.max(wanted, other.waits);
                }
            }
            return Math.min(wanted, used - own) - leaving;
        }

        /**
         * Says how this stands.
         *
         * @param idleBytes kept only in case they are wanted again, so that they can be given back
         * @param waitsFor bytes wanted for use and not to be had, idle ones given up; 0 for none
         */
        public void stands(long idleBytes, long waitsFor) {
            boolean wants;
            List<Listener> free = List.of();
            synchronized (MemoryBudget.this) {
                idle = idleBytes;
                wants = waitsFor > waits;
                if (waits > 0 && waitsFor == 0) {
                    // While this waited, others were held to their part.
                    free = othersThatWait();
                }
                waits = waitsFor;
            }
            if (wants) {
                press(waitsFor);
            }
            free.forEach(Listener::room);
        }

        /** So many bytes are on their way back, and not to be asked for again. */
        public void leaves(long bytes) {
            synchronized (MemoryBudget.this) {
                leaving += bytes;
            }
        }

        /** Bytes that were on their way back have arrived. */
        public void left(long bytes) {
            synchronized (MemoryBudget.this) {
                leaving -= bytes;
            }
            give(bytes);
        }

        /** Gives bytes back. */
        public void give(long bytes) {
            List<Listener> others;
            synchronized (MemoryBudget.this) {
                used -= bytes;
                others = othersThatWait();
            }
            others.forEach(Listener::room);
        }

        private List<Listener> othersThatWait() {
            return accounts.stream().filter(other -> other != this && other.waits > 0).map(other -> other.listener).toList();
        }
    }
}
