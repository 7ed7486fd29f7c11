package dev.polyphon.engine.model;

/**
 * A module of one layer: where an adapter's form applies.
 *
 * @param layer counted from 0; -1 for modules that are not in a layer
 * @param expert which of a mixture's experts, counted from 0; -1 for modules that are in none
 */
public record Site(int layer, Module module, int expert) {
    public Site {
        if (module.perLayer() != (layer >= 0)) {
            throw new IllegalArgumentException(module + " cannot be in layer " + layer);
        }
        if (expert >= 0 && !module.perExpert()) {
            throw new IllegalArgumentException(module + " cannot be in expert " + expert);
        }
    }

    public Site(int layer, Module module) {
        this(layer, module, -1);
    }

    public static Site of(Module module) {
        return new Site(-1, module);
    }

    @Override
    public String toString() {
        String name = module.name().toLowerCase(java.util.Locale.ROOT);
        return (layer < 0 ? "" : "layers." + layer + ".") + (expert < 0 ? "" : "experts." + expert + ".") + name;
    }
}
