package dev.polyphon.server.cli.adapter;

import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeFault;
import java.util.List;

/** Adapters with their weights, each written {@code ADAPTER=WEIGHT}, or {@code ADAPTER} for 1. */
final class Weighted {
    private Weighted() {}

    static List<AdapterWeight> of(List<String> texts, String task) {
        return texts.stream().map(text -> of(text, task)).toList();
    }

    private static AdapterWeight of(String text, String task) {
        int equals = text.lastIndexOf('=');
        try {
            return new AdapterWeight(equals < 0 ? text : text.substring(0, equals), equals < 0 ? 1 : Float.parseFloat(text.substring(equals + 1)), task);
        } catch (NumberFormatException e) {
            throw RuntimeFault.invalid("weight", "a weight must be a number, found " + text.substring(equals + 1));
        }
    }
}
