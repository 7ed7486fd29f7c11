package dev.polyphon.bench;

import java.util.Random;
import java.util.stream.Collectors;

/** Prompts of common words, so that a word is a token for nearly every tokenizer. Number {@code i} is the same in every run with the same seed. */
record Prompts(long seed) {
    private static final String[] WORDS = ("time year people way day man thing woman life child world school state family student group country problem "
            + "hand part place case week company system program question work government number night point home water room mother area money story "
            + "fact month lot right study book eye job word business issue side kind head house service friend father power hour game line end "
            + "member law car city").split(" ");

    String prompt(int i, int words) {
        var random = new Random(seed * 100_003 + i);
        return random.ints(words, 0, WORDS.length).mapToObj(w -> WORDS[w]).collect(Collectors.joining(" "));
    }
}
