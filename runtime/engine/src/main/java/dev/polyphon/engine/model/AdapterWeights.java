package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.Tensor;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * An adapter ready to be applied: its forms by site, and what it puts before a sequence. Immutable; whoever made it closes what it holds on the
 * device.
 */
public final class AdapterWeights {

    /** What stands before the first token of a sequence: positions that no token has. */
    public sealed interface Prefix {
        int length();

        /** Embeddings [length, hidden] that run through the model like tokens (prompt tuning, Lester et al. 2021; p-tuning, Liu et al. 2021). */
        record Embeddings(Tensor rows) implements Prefix {
            @Override
            public int length() {
                return rows.rows();
            }
        }

        /** Keys and values [length, kv width] of each layer (prefix tuning, Li and Liang 2021). */
        record KeysValues(List<Tensor> keys, List<Tensor> values) implements Prefix {
            public KeysValues {
                keys = List.copyOf(keys);
                values = List.copyOf(values);
            }

            @Override
            public int length() {
                return keys.getFirst().rows();
            }
        }
    }

    /**
     * Where an adapter acts in a sequence.
     *
     * @param adapter its forms there
     * @param from first position, counted from the prompt's first token
     * @param to past the last position
     */
    public record Span(AdapterWeights adapter, int from, int to) {}

    private static final int[] ALWAYS = {};

    private final String name;
    private final int layers;
    private final Map<Module, List<Form>[]> forms = new EnumMap<>(Module.class);
    private final Prefix prefix;
    private final int[] invocation;
    private AdapterWeights onFirst;
    private AdapterWeights onLast;
    private int first;
    private int last;

    /** @param layers number of layers of the base */
    public AdapterWeights(String name, int layers, Map<Site, Form> forms) {
        this(name, layers, single(forms), null, ALWAYS);
    }

    /**
     * @param name for messages
     * @param layers number of layers of the base
     * @param prefix or null
     * @param invocation tokens from whose last occurrence in the prompt on the adapter is active (activated LoRA, Greenewald et al. 2025); empty for an
     *     adapter that always is
     */
    public AdapterWeights(String name, int layers, Map<Site, List<Form>> forms, Prefix prefix, int[] invocation) {
        this.name = name;
        this.layers = layers;
        this.prefix = prefix;
        this.invocation = invocation.clone();
        forms.forEach((site, list) -> {
            List<Form>[] ofModule = this.forms.computeIfAbsent(site.module(), m -> lists(slots(m, layers, forms.keySet())));
            List<Form> inOrder = new ArrayList<>(list);
            inOrder.sort(Comparator.comparing(Form::stage));
            ofModule[slot(site.layer(), site.expert(), layers)] = List.copyOf(inOrder);
        });
    }

    /**
     * An adapter that acts on a prompt's first and last positions alone (representation fine-tuning, Wu et al. 2024); where both meet, as on the last.
     *
     * @param onFirst forms for the {@code first} positions
     * @param onLast forms for the {@code last} positions; may be the same
     */
    public static AdapterWeights onPrompt(AdapterWeights onFirst, int first, AdapterWeights onLast, int last) {
        AdapterWeights weights = new AdapterWeights(onFirst.name, onFirst.layers, Map.of());
        weights.onFirst = onFirst;
        weights.onLast = onLast;
        weights.first = first;
        weights.last = last;
        return weights;
    }

    /** Experts follow each other, each with a slot for every layer. */
    private static int slot(int layer, int expert, int layers) {
        return Math.max(layer, 0) + Math.max(expert, 0) * layers;
    }

    private static int slots(Module module, int layers, Set<Site> sites) {
        int last = sites.stream().filter(s -> s.module() == module).mapToInt(Site::expert).max().orElse(-1);
        return module.perLayer() ? slot(layers - 1, last, layers) + 1 : 1;
    }

    /** The same adapter with other forms at some sites. */
    public AdapterWeights replacing(Map<Site, List<Form>> others) {
        if (others.isEmpty()) {
            return this;
        }
        Map<Site, List<Form>> all = new HashMap<>();
        sites().forEach(site -> all.put(site, at(site)));
        all.putAll(others);
        return new AdapterWeights(name, layers, all, prefix, invocation);
    }

    private static Map<Site, List<Form>> single(Map<Site, Form> forms) {
        Map<Site, List<Form>> lists = new HashMap<>();
        forms.forEach((site, form) -> lists.put(site, List.of(form)));
        return lists;
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static List<Form>[] lists(int count) {
        List<Form>[] lists = new List[count];
        java.util.Arrays.fill(lists, List.of());
        return lists;
    }

    public String name() {
        return name;
    }

    /** The forms at a site in the order in which they act; empty for none. */
    public List<Form> at(int layer, Module module) {
        return at(layer, module, -1);
    }

    /** The same for any site. */
    public List<Form> at(Site site) {
        return at(site.layer(), site.module(), site.expert());
    }

    /** The same for a module of an expert. */
    List<Form> at(int layer, Module module, int expert) {
        List<Form>[] ofModule = forms.get(module);
        int slot = slot(layer, expert, layers);
        return ofModule == null || slot >= ofModule.length ? List.of() : ofModule[slot];
    }

    /** The sites with forms, layer by layer; none for an adapter that acts on a prompt's ends alone. */
    public List<Site> sites() {
        List<Site> sites = new ArrayList<>();
        forms.forEach((module, ofModule) -> {
            for (int i = 0; i < ofModule.length; i++) {
                if (!ofModule[i].isEmpty()) {
                    sites.add(site(module, i, ofModule.length));
                }
            }
        });
        sites.sort(Comparator.comparingInt(Site::layer));
        return sites;
    }

    /** Slots beyond the layers' own are experts'; of a module with experts, so is the first. */
    private Site site(Module module, int slot, int slots) {
        if (!module.perLayer()) {
            return Site.of(module);
        }
        return new Site(slot % layers, module, slots > layers ? slot / layers : -1);
    }

    /** Whether it acts at some positions of a sequence only. */
    public boolean partial() {
        return invocation.length > 0 || onFirst != null;
    }

    /** Whether it has a form at this module in any layer. */
    public boolean touches(Module module) {
        return forms.containsKey(module);
    }

    /** What stands before the first token, or null. */
    public Prefix prefix() {
        return prefix;
    }

    /** Positions that the prefix takes. */
    public int prefixLength() {
        return prefix == null ? 0 : prefix.length();
    }

    /** Where it acts in a sequence that begins with a prompt, in order of positions. */
    public List<Span> spans(int[] prompt) {
        if (onFirst == null) {
            int from = activeFrom(prompt);
            return from == Integer.MAX_VALUE ? List.of() : List.of(new Span(this, from, Integer.MAX_VALUE));
        }
        int fromLast = Math.max(0, prompt.length - last);
        List<Span> spans = new ArrayList<>(2);
        if (Math.min(first, fromLast) > 0) {
            spans.add(new Span(onFirst, 0, Math.min(first, fromLast)));
        }
        if (fromLast < prompt.length) {
            spans.add(new Span(onLast, fromLast, prompt.length));
        }
        return spans;
    }

    /** The first position of a prompt whose row the adapter applies to; past every position when its invocation does not occur. */
    private int activeFrom(int[] prompt) {
        for (int start = prompt.length - invocation.length; start >= 0 && invocation.length > 0; start--) {
            if (java.util.Arrays.equals(prompt, start, start + invocation.length, invocation, 0, invocation.length)) {
                return start;
            }
        }
        return invocation.length == 0 ? 0 : Integer.MAX_VALUE;
    }

    @Override
    public String toString() {
        return name;
    }
}
