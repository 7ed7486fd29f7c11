package dev.polyphon.server.tenant;

import dev.polyphon.server.tenant.Denied.Reason;
import io.github.bucket4j.TimeMeter;
import java.time.Duration;
import java.time.InstantSource;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BiConsumer;

/** What a tenant has taken of its limits. May be used from any thread. */
public final class Account {
    private final TimeMeter time;
    private final DayBudget day;
    private final AtomicLong running = new AtomicLong();
    private final AtomicLong connections = new AtomicLong();
    private volatile State state;

    /** The tenant and its rates, which belong together: a change of the limits fills them anew. */
    private record State(Tenant tenant, Rate requests, Rate tokens) {}

    Account(Tenant tenant, InstantSource clock, TimeMeter time, long tokensToday) {
        this.time = time;
        this.day = new DayBudget(clock, tokensToday);
        this.state = state(tenant, null);
    }

    private State state(Tenant tenant, State before) {
        Limits limits = tenant.limits();
        return new State(tenant,
                before != null && before.requests.perMinute() == limits.requestsPerMinute() ? before.requests : new Rate(limits.requestsPerMinute(), time),
                before != null && before.tokens.perMinute() == limits.tokensPerMinute() ? before.tokens : new Rate(limits.tokensPerMinute(), time));
    }

    public Tenant tenant() {
        return state.tenant;
    }

    void tenant(Tenant changed) {
        state = state(changed, state);
    }

    public long running() {
        return running.get();
    }

    public long connections() {
        return connections.get();
    }

    public long tokensToday() {
        return day.used();
    }

    /** Lets one request in, or throws; {@link #leave} must follow. */
    void enter() {
        State now = state;
        long most = now.tenant.limits().concurrentRequests();
        if (running.incrementAndGet() > most && most != Limits.NONE) {
            running.decrementAndGet();
            throw new Denied(Reason.CONCURRENT_REQUESTS, "Concurrency limit reached for " + now.tenant.name() + ": " + most + " requests may be under way at once.",
                    Duration.ofSeconds(1));
        }
        Duration wait = now.requests.take(1);
        if (wait != null) {
            running.decrementAndGet();
            throw new Denied(Reason.REQUESTS_PER_MINUTE, "Rate limit reached for " + now.tenant.name() + " on requests per min (RPM): Limit "
                    + now.requests.perMinute() + ", Requested 1. Please try again in " + text(wait) + ".", wait);
        }
    }

    /** Takes a connection for the tenant's, or throws; {@link #disconnect} must follow. */
    void connect() {
        Tenant who = state.tenant;
        long most = who.limits().connections();
        if (connections.incrementAndGet() > most && most != Limits.NONE) {
            connections.decrementAndGet();
            throw new Denied(Reason.CONNECTIONS, "Connection limit reached for " + who.name() + ": " + most + " connections may be open at once.", Duration.ofSeconds(1));
        }
    }

    void disconnect() {
        connections.decrementAndGet();
    }

    void leave() {
        running.decrementAndGet();
    }

    /** Sets tokens aside for a generation, or throws. */
    Reservation reserve(long tokens) {
        State now = state;
        long daily = now.tenant.limits().tokensPerDay();
        if (!day.take(tokens, daily)) {
            throw new Denied(Reason.TOKENS_PER_DAY, "Rate limit reached for " + now.tenant.name() + " on tokens per day (TPD): Limit " + daily + ", Used "
                    + day.used() + ", Requested " + tokens + ". The next day begins in " + text(day.untilTomorrow()) + ".", day.untilTomorrow());
        }
        Duration wait = now.tokens.take(tokens);
        if (wait != null) {
            day.correct(-tokens);
            throw new Denied(Reason.TOKENS_PER_MINUTE, "Rate limit reached for " + now.tenant.name() + " on tokens per min (TPM): Limit " + now.tokens.perMinute()
                    + ", Remaining " + Math.max(0, now.tokens.balance()) + ", Requested " + tokens + ". Please try again in " + text(wait) + ".", wait);
        }
        return new Reservation(now.tokens, tokens);
    }

    /** Tokens set aside for a generation, until it is known how many it took. */
    final class Reservation {
        private final Rate rate;
        private final long tokens;
        private boolean settled;

        private Reservation(Rate rate, long tokens) {
            this.rate = rate;
            this.tokens = tokens;
        }

        /** Puts what was really taken in the place of what was set aside; once, later calls do nothing. */
        synchronized void settle(long taken) {
            if (!settled) {
                settled = true;
                rate.correct(taken - rate.capped(tokens));
                day.correct(taken - tokens);
            }
        }
    }

    /** Tells the headers that OpenAI's clients read, of the limits there are. */
    void headers(BiConsumer<String, String> to) {
        State now = state;
        if (now.requests.limited()) {
            long left = now.requests.balance();
            to.accept("x-ratelimit-limit-requests", Long.toString(now.requests.perMinute()));
            to.accept("x-ratelimit-remaining-requests", Long.toString(Math.max(0, left)));
            to.accept("x-ratelimit-reset-requests", text(now.requests.untilFull(left)));
        }
        if (now.tokens.limited()) {
            long left = now.tokens.balance();
            to.accept("x-ratelimit-limit-tokens", Long.toString(now.tokens.perMinute()));
            to.accept("x-ratelimit-remaining-tokens", Long.toString(Math.max(0, left)));
            to.accept("x-ratelimit-reset-tokens", text(now.tokens.untilFull(left)));
        }
    }

    /** As OpenAI writes times: {@code 120ms}, {@code 1.5s}, {@code 6m0s}, {@code 2h3m4s}. */
    static String text(Duration time) {
        long millis = Math.max(0, time.plusNanos(999_999).toMillis());
        if (millis < 1000) {
            return millis + "ms";
        }
        if (millis < 60_000) {
            return millis % 1000 == 0 ? millis / 1000 + "s" : millis / 1000 + "." + Long.toString(1000 + millis % 1000).substring(1) + "s";
        }
        long seconds = (millis + 999) / 1000;
        return (seconds >= 3600 ? seconds / 3600 + "h" : "") + seconds / 60 % 60 + "m" + seconds % 60 + "s";
    }
}
