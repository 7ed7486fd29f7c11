package dev.polyphon.server.openai;

import dev.polyphon.runtime.AdapterCatalog;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterWeight;
import java.util.List;
import java.util.Locale;

/** Says of a request what metrics and traces know it by. */
final class Subjects {
    private Subjects() {}

    static ApiObserver.Subject of(Generate request, AdapterCatalog adapters, String tenant) {
        Target target = request.target();
        return new ApiObserver.Subject(request.operation(), target.base().name(),
                target.adapter() == null ? "" : target.adapter(), adapterClass(target.adapters(), adapters, tenant), tenant);
    }

    private static String adapterClass(List<AdapterWeight> used, AdapterCatalog adapters, String tenant) {
        return switch (used.size()) {
            case 0 -> "none";
            case 1 -> adapters.find(tenant, used.getFirst().name()).map(AdapterInfo::kind).orElse("unknown").toLowerCase(Locale.ROOT);
            default -> "mix";
        };
    }
}
