package dev.polyphon.engine.model;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Where each module is in a family's Hugging Face checkpoints: its path (the tensors are {@code path.weight} and {@code path.bias}) and, for fused
 * modules, which of the rows. Adapters name modules by these paths whatever file the base comes from.
 */
public final class Layout {

    /**
     * @param path with {@code %d} for the layer
     * @param rows rows of the stored matrix that belong to the module, in its order; null for all
     * @param transposed whether the matrix is stored [in, out] (GPT-2's Conv1D)
     */
    public record Place(String path, int[] rows, boolean transposed) {
        public String path(int layer) {
            return layer < 0 ? path : path.replace("%d", Integer.toString(layer));
        }
    }

    /** A site with the rows of the stored matrix that belong to it (null for all of them). */
    public record Part(Site site, int[] rows) {}

    private final Map<Module, Place> places;

    private Layout(Map<Module, Place> places) {
        this.places = places;
    }

    public static Builder builder() {
        return new Builder();
    }

    /** Empty when the family has no such module. */
    public Optional<Place> place(Module module) {
        return Optional.ofNullable(places.get(module));
    }

    /** All module paths of a model with so many layers, each with the sites stored there: several when the module is fused. */
    public Map<String, List<Part>> parts(int layers) {
        Map<String, List<Part>> parts = new HashMap<>();
        places.forEach((module, place) -> {
            int count = module.perLayer() ? layers : 1;
            for (int i = 0; i < count; i++) {
                int layer = module.perLayer() ? i : -1;
                parts.computeIfAbsent(place.path(layer), k -> new ArrayList<>(1)).add(new Part(new Site(layer, module), place.rows()));
            }
        });
        return parts;
    }

    /** Collects places. */
    public static final class Builder {
        private final Map<Module, Place> places = new EnumMap<>(Module.class);

        private Builder() {}

        public Builder put(Module module, String path) {
            return put(module, path, null, false);
        }

        public Builder put(Module module, String path, int[] rows, boolean transposed) {
            places.put(module, new Place(path, rows, transposed));
            return this;
        }

        public Layout build() {
            return new Layout(new EnumMap<>(places));
        }
    }
}
