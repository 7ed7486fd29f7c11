package dev.polyphon.runtime;

import java.util.List;

/**
 * A part of a listing, in the order of names.
 *
 * @param next token for the next page, or null when this is the last. A page goes on after the last name of the one before, whatever was registered or
 *     removed meanwhile
 */
public record AdapterPage(List<AdapterInfo> adapters, String next) {
    public AdapterPage {
        adapters = List.copyOf(adapters);
    }
}
