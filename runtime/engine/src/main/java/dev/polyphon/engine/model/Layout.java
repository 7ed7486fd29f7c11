package dev.polyphon.engine.model;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Where each module is in a family's Hugging Face checkpoints: its path (the tensors are {@code path.weight} and {@code path.bias}) and, for fused
 * modules, which of the rows. Adapters name modules by these paths whatever file the base comes from.
 */
public final class Layout {

    /**
     * @param path with {@code %d} for the layer and {@code %e} for the expert
     * @param rows rows of the stored matrix that belong to the module, in its order; null for all
     * @param transposed whether the matrix is stored [in, out] (GPT-2's Conv1D)
     */
    public record Place(String path, int[] rows, boolean transposed) {
        public String path(int layer) {
            return layer < 0 ? path : path.replace("%d", Integer.toString(layer));
        }

        public String path(Site site) {
            String ofLayer = path(site.layer());
            return site.expert() < 0 ? ofLayer : ofLayer.replace("%e", Integer.toString(site.expert()));
        }
    }

    /** A site with the rows of the stored matrix that belong to it (null for all of them). */
    public record Part(Site site, int[] rows) {}

    private final Map<Module, Place> places;
    private final Map<String, String> aliases;

    private Layout(Map<Module, Place> places, Map<String, String> aliases) {
        this.places = places;
        this.aliases = aliases;
    }

    public static Builder builder() {
        return new Builder();
    }

    /** Empty when the family has no such module. */
    public Optional<Place> place(Module module) {
        return Optional.ofNullable(places.get(module));
    }

    /** A path as the checkpoints have it, for one by a name that some versions of a library use. */
    public String canonical(String path) {
        String canonical = path;
        for (Map.Entry<String, String> alias : aliases.entrySet()) {
            canonical = canonical.replace(alias.getKey(), alias.getValue());
        }
        return canonical;
    }

    /** All module paths of a model, each with the sites stored there: several when the module is fused. */
    public Map<String, List<Part>> parts(ArchitectureSpec spec) {
        Map<String, List<Part>> parts = new HashMap<>();
        places.forEach((module, place) -> {
            for (Site site : sites(module, spec)) {
                parts.computeIfAbsent(place.path(site), k -> new ArrayList<>(1)).add(new Part(site, place.rows()));
            }
        });
        return parts;
    }

    /** Where a module is found in a model: once, in every layer, or in every expert of every layer. */
    public static List<Site> sites(Module module, ArchitectureSpec spec) {
        if (!module.perLayer()) {
            return List.of(Site.of(module));
        }
        List<Site> sites = new ArrayList<>();
        for (int layer = 0; layer < spec.layers().size(); layer++) {
            if (module.perExpert() && spec.experts() != null) {
                for (int expert = 0; expert < spec.expertCount(); expert++) {
                    sites.add(new Site(layer, module, expert));
                }
            } else {
                sites.add(new Site(layer, module));
            }
        }
        return sites;
    }

    /** Collects places. */
    public static final class Builder {
        private final Map<Module, Place> places = new EnumMap<>(Module.class);
        private final Map<String, String> aliases = new LinkedHashMap<>();

        private Builder() {}

        public Builder put(Module module, String path) {
            return put(module, path, null, false);
        }

        public Builder put(Module module, String path, int[] rows, boolean transposed) {
            places.put(module, new Place(path, rows, transposed));
            return this;
        }

        /** @param name a part of paths that stands for {@code canonical} */
        public Builder alias(String name, String canonical) {
            aliases.put(name, canonical);
            return this;
        }

        public Layout build() {
            return new Layout(new EnumMap<>(places), Map.copyOf(aliases));
        }
    }
}
