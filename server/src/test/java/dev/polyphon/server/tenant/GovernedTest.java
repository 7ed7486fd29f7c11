package dev.polyphon.server.tenant;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterUpload;
import dev.polyphon.runtime.Runtime;
import io.github.bucket4j.TimeMeter;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.regex.Pattern;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Chars;
import net.jqwik.api.constraints.Size;
import net.jqwik.api.constraints.StringLength;
import org.junit.jupiter.api.Test;

class GovernedTest {
    /** What the SPI learns must not be lost behind a default method. */
    @Test
    void passesOnEveryMethodOfTheRuntime() {
        assertThat(inherited(GovernedRuntime.class, Runtime.class)).containsExactly("model");
        assertThat(inherited(GovernedCatalog.class, AdapterCatalog.class)).isEmpty();
        assertThat(inherited(AdapterUpload.class, AdapterUpload.class)).as("is seen").isNotEmpty();
    }

    private static Set<String> inherited(Class<?> type, Class<?> spi) {
        return Stream.of(spi.getMethods()).filter(method -> !Modifier.isStatic(method.getModifiers()))
                .filter(method -> type == spi || declares(type, method) == null).map(Method::getName).collect(Collectors.toSet());
    }

    private static Method declares(Class<?> type, Method method) {
        try {
            return type.getDeclaredMethod(method.getName(), method.getParameterTypes());
        } catch (NoSuchMethodException e) {
            return null;
        }
    }

    @Test
    void aStarStandsForAnything() {
        assertThat(new Globs(List.of("acme/*", "x")).matches("acme/a/b")).isTrue();
        assertThat(new Globs(List.of("acme/*", "x")).matches("x")).isTrue();
        assertThat(new Globs(List.of("acme/*", "x")).matches("xx")).isFalse();
        assertThat(new Globs(List.of()).matches("")).isFalse();
        assertThat(new Globs(List.of("*a*b")).matches("abab")).isTrue();
        assertThat(new Globs(List.of("*".repeat(100) + "b")).matches("a".repeat(5000))).as("in no time").isFalse();
    }

    @Property
    void readsKeysAsTheRegularExpressionDoes(@ForAll @IntRange(max = 60) int at, @ForAll char other, @ForAll @IntRange(max = 2) int longer) {
        String key = KeyText.fresh().text();
        Pattern form = Pattern.compile("pk_([a-z0-9]{12})_([A-Za-z0-9_-]{43})");
        String plain = "abcXYZ019_-. ";
        for (char c : new char[] {other, plain.charAt(other % plain.length())}) {
            String changed = at < key.length() ? key.substring(0, at) + c + key.substring(at + 1) : key.substring(0, key.length() - longer);
            var match = form.matcher(changed);
            assertThat(KeyText.parse(changed)).isEqualTo(match.matches() ? Optional.of(new KeyText(match.group(1), match.group(2))) : Optional.empty());
        }
    }

    @Property(tries = 500)
    void matchesAsTheRegularExpressionDoes(@ForAll @StringLength(max = 8) @Chars({'a', 'b', '*'}) String pattern,
            @ForAll @StringLength(max = 8) @Chars({'a', 'b'}) String name) {
        assertThat(new Globs(List.of(pattern)).matches(name)).isEqualTo(name.matches(pattern.replace("*", ".*")));
    }

    /** Two that take from a bucket together never take more than there is, and what is given back is there again. */
    @Property(tries = 50)
    void reservationsNeverExceedTheLimits(@ForAll @Size(max = 30) List<Integer> wanted) {
        var limits = new Limits(Limits.NONE, 1000, 3000, Limits.NONE, Limits.NONE, 0, Limits.NONE);
        var tenant = new Tenant("a", true, 1, limits, Globs.ALL, Globs.ALL, null, Instant.EPOCH);
        var account = new Account(tenant, InstantSource.fixed(Instant.parse("2026-01-01T00:00:00Z")), new Still(), 0);
        long taken = 0;
        for (int want : wanted) {
            long tokens = Math.abs((long) want) % 1200;
            try {
                var reservation = account.reserve(tokens);
                taken += Math.min(tokens, 1000);
                if (want < 0) {
                    reservation.settle(0);
                    reservation.settle(500);
                    taken -= Math.min(tokens, 1000);
                }
            } catch (Denied e) {
                assertThat(taken + Math.min(tokens, 1000)).isGreaterThan(1000);
            }
            assertThat(taken).isLessThanOrEqualTo(1000);
        }
    }

    /** A clock on which no time passes. */
    private static final class Still implements TimeMeter {
        @Override
        public long currentTimeNanos() {
            return 0;
        }

        @Override
        public boolean isWallClockBased() {
            return false;
        }
    }
}
