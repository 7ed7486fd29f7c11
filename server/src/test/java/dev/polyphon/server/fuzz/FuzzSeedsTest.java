package dev.polyphon.server.fuzz;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every target with good inputs, with damaged ones of a fixed seed, and with what a fuzzer once found. */
class FuzzSeedsTest {
    private static final int DAMAGED = 300;
    private static final Duration LONGEST = Duration.ofSeconds(10);
    private static final String[] PIECES = {"\"", "{", "}", "[", "]", "null", "-1", "1e999", "\\u0000", "\\ud800", "\r\n", "\u0000", "../", "9223372036854775808", "{{", "%}", "{%"};

    static Stream<String> targets() {
        return Targets.ALL.stream().map(Targets.Target::name);
    }

    @ParameterizedTest
    @MethodSource("targets")
    void refusesOrTakesAnything(String name) throws Exception {
        Targets.Target target = Targets.ALL.stream().filter(one -> one.name().equals(name)).findFirst().orElseThrow();
        List<byte[]> seeds = Seeds.of(name);
        List<byte[]> inputs = new ArrayList<>(seeds);
        inputs.addAll(Seeds.found(name));
        var random = new Random(7);
        for (int i = 0; i < DAMAGED; i++) {
            inputs.add(damaged(seeds.get(i % seeds.size()), random));
        }
        for (byte[] input : inputs) {
            long begin = System.nanoTime();
            try {
                target.reader().take(input);
            } catch (Exception | Error e) {
                throw new AssertionError(name + " failed on " + Arrays.toString(input) + ", as text: " + new String(input, StandardCharsets.UTF_8), e);
            }
            assertThat(Duration.ofNanos(System.nanoTime() - begin)).as(() -> new String(input, StandardCharsets.UTF_8)).isLessThan(LONGEST);
        }
    }

    /** A target whose good inputs come to nothing would find nothing. */
    @Test
    void callsGetThrough() throws IOException {
        for (byte[] seed : Seeds.of("Grpc")) {
            String method = Targets.Grpc.METHODS.get(seed[0]);
            String status = method.endsWith("Load") ? "3|5|7|9" : method.endsWith("Check") ? "5" : "0";
            assertThat(Targets.Grpc.call(method, Arrays.copyOfRange(seed, 1, seed.length))).as(method).containsPattern("(?i)grpc-status: (" + status + ")\r\n");
        }
    }

    /** Some bytes changed, cut out, doubled, or replaced by what parsers stumble over. */
    private static byte[] damaged(byte[] seed, Random random) {
        byte[] data = seed.clone();
        for (int i = random.nextInt(4); i >= 0 && data.length > 0; i--) {
            int at = random.nextInt(data.length);
            byte[] before = Arrays.copyOf(data, at);
            switch (random.nextInt(5)) {
                case 0 -> data[at] = (byte) random.nextInt();
                case 1 -> data = before;
                case 2 -> data = Seeds.joined(before, Arrays.copyOfRange(data, Math.max(0, at - random.nextInt(20)), data.length));
                case 3 -> data = Seeds.joined(before, Seeds.bytes(PIECES[random.nextInt(PIECES.length)]), Arrays.copyOfRange(data, at, data.length));
                default -> data[at] ^= (byte) (1 << random.nextInt(8));
            }
        }
        return data;
    }
}
