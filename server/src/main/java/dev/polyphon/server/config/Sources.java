package dev.polyphon.server.config;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;

/**
 * Where values come from. The command line goes before the environment, and that before the file.
 *
 * <p>A key {@code server.maxConnections} is {@code POLYPHON_SERVER_MAX_CONNECTIONS} in the environment and
 * {@code --set server.maxConnections=...} on the command line.
 */
public final class Sources {
    private static final YAMLMapper YAML =
            YAMLMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();
    private static final Pattern HUMP = Pattern.compile("(?<=[a-z0-9])(?=[A-Z])");

    /** A value and the words that say where it was found. */
    record Found(JsonNode value, String where) {}

    private final String fileName;
    private final ObjectNode file;
    private final Map<String, String> environment;
    private final Map<String, String> commandLine;
    private final Set<String> asked = new TreeSet<>();

    private Sources(String fileName, ObjectNode file, Map<String, String> environment, Map<String, String> commandLine) {
        this.fileName = fileName;
        this.file = file;
        this.environment = Map.copyOf(environment);
        this.commandLine = new LinkedHashMap<>(commandLine);
    }

    /**
     * @param path the file, or null for none
     * @param environment variables; those that do not begin with {@code POLYPHON_} are ignored
     * @param commandLine values by key, as {@link #assignment} reads them
     */
    public static Sources of(Path path, Map<String, String> environment, Map<String, String> commandLine) {
        ObjectNode file = JsonNodeFactory.instance.objectNode();
        if (path != null) {
            try {
                file = parse(path.toString(), Files.readString(path));
            } catch (IOException e) {
                throw new ConfigException("cannot read the configuration file " + path + ": " + e);
            }
        }
        return new Sources(path == null ? "" : path.toString(), file, environment, commandLine);
    }

    /** Reads {@code key=value}. */
    public static Map.Entry<String, String> assignment(String text) {
        int equals = text.indexOf('=');
        if (equals < 1) {
            throw new ConfigException("'" + text + "' is not of the form key=value, for example server.port=8000");
        }
        return Map.entry(text.substring(0, equals).strip(), text.substring(equals + 1).strip());
    }

    private static ObjectNode parse(String name, String text) {
        JsonNode root = yaml(name, text);
        if (root.isMissingNode() || root.isNull()) {
            return JsonNodeFactory.instance.objectNode();
        }
        if (root instanceof ObjectNode object) {
            return object;
        }
        throw new ConfigException(name + " must hold a mapping of sections, found " + Section.describe(root));
    }

    private static JsonNode yaml(String name, String text) {
        try {
            return YAML.readTree(text);
        } catch (JsonProcessingException e) {
            var at = e.getLocation();
            throw new ConfigException(name + " is not valid YAML"
                    + (at == null ? "" : ", line " + at.getLineNr() + ", column " + at.getColumnNr()) + ": " + e.getOriginalMessage());
        }
    }

    Section root() {
        return new Section(this, "", file);
    }

    /**
     * The value of a key outside of the file, if it has one there.
     *
     * @param literal whether it is a text as it stands; otherwise it is read as YAML
     */
    Optional<Found> override(String key, boolean literal) {
        asked.add(key);
        String variable = variable(key);
        if (commandLine.containsKey(key)) {
            return Optional.of(new Found(value(key, commandLine.get(key), literal), "on the command line"));
        }
        if (environment.containsKey(variable)) {
            return Optional.of(new Found(value(variable, environment.get(variable), literal), "in the environment (" + variable + ")"));
        }
        return Optional.empty();
    }

    private static JsonNode value(String name, String text, boolean literal) {
        return literal ? JsonNodeFactory.instance.textNode(text) : yaml("the value of " + name, text);
    }

    String inFile() {
        return "in " + fileName;
    }

    static String variable(String key) {
        return "POLYPHON_" + HUMP.matcher(key.replace('.', '_')).replaceAll("_").toUpperCase(Locale.ROOT);
    }

    /** All keys asked for. */
    Set<String> keys() {
        return asked;
    }

    /** Fails when a value was given for a key that nobody asked for. */
    void requireAllKnown() {
        for (String key : unknownInFile("", file)) {
            throw unknown("key '" + key + "' " + inFile(), key, asked, names());
        }
        for (String key : commandLine.keySet()) {
            if (!asked.contains(key)) {
                throw unknown("key '" + key + "' on the command line", key, asked, names());
            }
        }
        var variables = new HashMap<String, String>();
        asked.forEach(key -> variables.put(variable(key), key));
        var sections = asked.stream().filter(key -> key.contains(".")).map(key -> variable(key.substring(0, key.indexOf('.'))) + "_").distinct().toList();
        for (String name : new TreeSet<>(environment.keySet())) {
            if (!variables.containsKey(name) && sections.stream().anyMatch(name::startsWith)) {
                throw unknown("environment variable " + name, name, variables.keySet(), variables.keySet());
            }
        }
    }

    private List<String> unknownInFile(String path, ObjectNode node) {
        var unknown = new ArrayList<String>();
        node.properties().forEach(entry -> {
            String key = path + entry.getKey();
            if (asked.contains(key)) {
                return;
            }
            boolean section = asked.stream().anyMatch(known -> known.startsWith(key + "."));
            if (section && entry.getValue() instanceof ObjectNode below) {
                unknown.addAll(unknownInFile(key + ".", below));
            } else if (!section) {
                unknown.add(key);
            }
        });
        return unknown;
    }

    /** Keys and sections. */
    private Set<String> names() {
        var names = new TreeSet<>(asked);
        asked.stream().filter(key -> key.contains(".")).forEach(key -> names.add(key.substring(0, key.indexOf('.'))));
        return names;
    }

    private static ConfigException unknown(String what, String name, Set<String> known, Set<String> candidates) {
        return new ConfigException("unknown " + what + known.stream().filter(key -> key.endsWith("." + name)).findFirst()
                .or(() -> Nearest.to(name, candidates))
                .map(near -> ": did you mean '" + near + "'?")
                .orElse("; known are " + String.join(", ", new TreeSet<>(known))));
    }
}
