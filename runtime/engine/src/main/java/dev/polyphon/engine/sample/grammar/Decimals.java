package dev.polyphon.engine.sample.grammar;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;

/** Decimal numbers of a range, without exponents. */
final class Decimals {
    private static final Expr DIGIT = Expr.range('0', '9');
    private static final Expr DIGITS = JsonText.DIGITS;
    private static final Expr FRACTION = Expr.optional(Expr.seq(Expr.text("."), DIGIT, DIGITS));

    private Decimals() {}

    /**
     * @param min null for none
     * @param openLow whether the minimum itself is out of the range
     */
    static Expr between(BigDecimal min, boolean openLow, BigDecimal max, boolean openHigh) {
        var options = new ArrayList<Expr>();
        if (max == null || max.signum() >= 0) {
            boolean negative = min == null || min.signum() < 0;
            options.add(magnitudes(negative ? BigDecimal.ZERO : min, !negative && openLow, max, openHigh));
        }
        if (min == null || min.signum() <= 0) {
            boolean positive = max == null || max.signum() > 0;
            options.add(Expr.seq(Expr.text("-"),
                    magnitudes(positive ? BigDecimal.ZERO : max.negate(), !positive && openHigh, min == null ? null : min.negate(), openLow)));
        }
        return new Expr.Alt(options);
    }

    /** Numbers without a sign. */
    private static Expr magnitudes(BigDecimal min, boolean openLow, BigDecimal max, boolean openHigh) {
        BigInteger low = min.toBigInteger();
        String lowFraction = fraction(min);
        if (max == null) {
            return Expr.alt(Expr.seq(whole(low), atLeast(lowFraction, openLow)), Expr.seq(Integers.between(low.add(BigInteger.ONE), null), FRACTION));
        }
        BigInteger high = max.toBigInteger();
        String highFraction = fraction(max);
        if (min.compareTo(max) > 0) {
            return Expr.NEVER;
        }
        if (low.equals(high)) {
            return Expr.seq(whole(low), within(lowFraction, openLow, highFraction, openHigh));
        }
        return Expr.alt(Expr.seq(whole(low), atLeast(lowFraction, openLow)),
                Expr.seq(Integers.between(low.add(BigInteger.ONE), high.subtract(BigInteger.ONE)), FRACTION),
                Expr.seq(whole(high), atMost(highFraction, openHigh)));
    }

    private static Expr whole(BigInteger number) {
        return Expr.text(number.toString());
    }

    /** The digits behind the point, without zeros at the end. */
    private static String fraction(BigDecimal number) {
        BigDecimal rest = number.remainder(BigDecimal.ONE).stripTrailingZeros();
        return rest.signum() == 0 ? "" : rest.toPlainString().substring(2);
    }

    // A fraction is nothing, or a point and digits. A bound is compared digit by digit; behind its last digit stand zeros.

    private static Expr atLeast(String bound, boolean open) {
        Expr digits = digits(bound, open, null, false, true);
        return bound.isEmpty() && !open ? FRACTION : Expr.seq(Expr.text("."), digits);
    }

    private static Expr atMost(String bound, boolean open) {
        return fractions("", false, bound, open);
    }

    private static Expr within(String low, boolean openLow, String high, boolean openHigh) {
        return fractions(low, openLow, high, openHigh);
    }

    private static Expr fractions(String low, boolean openLow, String high, boolean openHigh) {
        var options = new ArrayList<Expr>();
        if (low.isEmpty() && !openLow && !(high.isEmpty() && openHigh)) {
            options.add(Expr.EMPTY);
        }
        options.add(Expr.seq(Expr.text("."), digits(low, openLow, high, openHigh, true)));
        return new Expr.Alt(options);
    }

    /**
     * Digits that make a fraction from one bound to another.
     *
     * @param low null once the digits before are above the lower bound
     * @param high null once they are below the upper bound
     * @param first whether at least one digit must follow
     */
    private static Expr digits(String low, boolean openLow, String high, boolean openHigh, boolean first) {
        if (low == null && high == null) {
            return first ? Expr.seq(DIGIT, DIGITS) : DIGITS;
        }
        boolean lowSpent = low != null && low.isEmpty();
        boolean highSpent = high != null && high.isEmpty();
        if (highSpent) {
            // Only zeros may follow, and they change nothing.
            boolean ends = !openHigh && (low == null || lowSpent && !openLow);
            return ends ? zeros(first) : Expr.NEVER;
        }
        if (lowSpent && high == null) {
            if (!openLow) {
                return first ? Expr.seq(DIGIT, DIGITS) : DIGITS;
            }
            return Expr.seq(Expr.any(Expr.text("0")), Expr.range('1', '9'), DIGITS);
        }
        var options = new ArrayList<Expr>();
        if (!first && (low == null || lowSpent && !openLow)) {
            // What has been said so far ends above the lower bound, or on it, and below the upper one.
            options.add(Expr.EMPTY);
        }
        int from = low == null || lowSpent ? 0 : low.charAt(0) - '0';
        int to = high == null ? 9 : high.charAt(0) - '0';
        for (int digit = from; digit <= to; digit++) {
            String lowRest = low == null || digit > from ? null : lowSpent ? "" : low.substring(1);
            String highRest = high == null || digit < to ? null : high.substring(1);
            Expr rest = digits(lowRest, openLow, highRest, openHigh, false);
            if (!rest.equals(Expr.NEVER)) {
                options.add(Expr.seq(Expr.text(String.valueOf(digit)), rest));
            }
        }
        return options.isEmpty() ? Expr.NEVER : new Expr.Alt(List.copyOf(options));
    }

    private static Expr zeros(boolean first) {
        return first ? Expr.some(Expr.text("0")) : Expr.any(Expr.text("0"));
    }
}
