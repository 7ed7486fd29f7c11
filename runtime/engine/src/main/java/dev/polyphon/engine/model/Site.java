package dev.polyphon.engine.model;

/**
 * A module of one layer: where an adapter's form applies.
 *
 * @param layer counted from 0; -1 for modules that are not in a layer
 */
public record Site(int layer, Module module) {
    public Site {
        if (module.perLayer() != (layer >= 0)) {
            throw new IllegalArgumentException(module + " cannot be in layer " + layer);
        }
    }

    public static Site of(Module module) {
        return new Site(-1, module);
    }

    @Override
    public String toString() {
        String name = module.name().toLowerCase(java.util.Locale.ROOT);
        return layer < 0 ? name : "layers." + layer + "." + name;
    }
}
