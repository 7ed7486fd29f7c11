package dev.polyphon.engine.model;

import java.util.EnumMap;
import java.util.Map;

/**
 * An adapter ready to be applied: its forms by site. Immutable; whoever made it closes what it holds on the device.
 *
 * @param name for messages
 */
public final class AdapterWeights {
    private final String name;
    private final Map<Module, Form[]> forms = new EnumMap<>(Module.class);

    /** @param layers number of layers of the base */
    public AdapterWeights(String name, int layers, Map<Site, Form> forms) {
        this.name = name;
        forms.forEach((site, form) -> {
            Form[] ofModule = this.forms.computeIfAbsent(site.module(), m -> new Form[m.perLayer() ? layers : 1]);
            ofModule[Math.max(site.layer(), 0)] = form;
        });
    }

    public String name() {
        return name;
    }

    /** The form at a site, or null. */
    public Form at(int layer, Module module) {
        Form[] ofModule = forms.get(module);
        return ofModule == null ? null : ofModule[Math.max(layer, 0)];
    }

    @Override
    public String toString() {
        return name;
    }
}
