package dev.polyphon.engine.sample.grammar;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;

/** Integers of a range in decimal digits, without leading zeros. */
final class Integers {
    private static final int MOST_DIGITS = 30;

    private Integers() {}

    /** @param min null for none
     * @param max null for none */
    static Expr between(BigInteger min, BigInteger max) {
        if (min != null && max != null && min.compareTo(max) > 0) {
            return Expr.NEVER;
        }
        var options = new ArrayList<Expr>();
        BigInteger zero = BigInteger.ZERO;
        if (max == null || max.signum() >= 0) {
            BigInteger low = min == null ? zero : min.max(zero);
            options.add(max == null ? atLeast(digits(low)) : naturals(digits(low), digits(max)));
        }
        if (min == null || min.signum() < 0) {
            BigInteger low = max == null || max.signum() >= 0 ? BigInteger.ONE : max.negate();
            Expr naturals = min == null ? atLeast(digits(low)) : naturals(digits(low), digits(min.negate()));
            options.add(Expr.seq(Expr.text("-"), naturals));
        }
        return Expr.alt(options.toArray(Expr[]::new));
    }

    private static String digits(BigInteger number) {
        String digits = number.toString();
        if (digits.length() > MOST_DIGITS) {
            throw new GrammarException("a bound of an integer has more than " + MOST_DIGITS + " digits");
        }
        return digits;
    }

    private static Expr atLeast(String low) {
        Expr longer = Expr.seq(Expr.range('1', '9'), Expr.times(digit(), low.length()), JsonText.DIGITS);
        return Expr.alt(naturals(low, "9".repeat(low.length())), longer);
    }

    /** From one number to another that is no less. */
    private static Expr naturals(String low, String high) {
        var options = new ArrayList<Expr>();
        for (int length = low.length(); length <= high.length(); length++) {
            String from = length == low.length() ? low : "1" + "0".repeat(length - 1);
            String to = length == high.length() ? high : "9".repeat(length);
            options.add(sameLength(from, to));
        }
        return Expr.alt(options.toArray(Expr[]::new));
    }

    private static Expr sameLength(String low, String high) {
        int length = low.length();
        if (length == 0) {
            return Expr.EMPTY;
        }
        if (low.equals("0".repeat(length)) && high.equals("9".repeat(length))) {
            return Expr.times(digit(), length);
        }
        char first = low.charAt(0);
        char last = high.charAt(0);
        String lowRest = low.substring(1);
        String highRest = high.substring(1);
        if (first == last) {
            return Expr.seq(Expr.text(String.valueOf(first)), sameLength(lowRest, highRest));
        }
        List<Expr> options = new ArrayList<>();
        options.add(Expr.seq(Expr.text(String.valueOf(first)), sameLength(lowRest, "9".repeat(length - 1))));
        if (last - first > 1) {
            options.add(Expr.seq(Expr.range(first + 1, last - 1), Expr.times(digit(), length - 1)));
        }
        options.add(Expr.seq(Expr.text(String.valueOf(last)), sameLength("0".repeat(length - 1), highRest)));
        return Expr.alt(options.toArray(Expr[]::new));
    }

    private static Expr digit() {
        return Expr.range('0', '9');
    }
}
