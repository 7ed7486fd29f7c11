package dev.polyphon.server.models;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.exc.InvalidTypeIdException;
import com.fasterxml.jackson.databind.exc.UnrecognizedPropertyException;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * The file {@code models.yaml}.
 *
 * @param defaultModel the name of the model that is served when none is asked for
 * @param endpoint of the hub
 * @param connectTimeout seconds until a connection stands and until the header of an answer is there
 * @param stallTimeout seconds without a byte after which a transfer is given up
 * @param models by name, in the file's order
 */
record ModelCatalog(
        @JsonProperty("default") String defaultModel, URI endpoint, int connectTimeout, int stallTimeout, Map<String, PinnedModel> models) {
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]*");
    private static final ObjectReader READER = YAMLMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build()
            .readerFor(ModelCatalog.class);

    ModelCatalog {
        require(models != null && !models.isEmpty(), "models is empty");
        models = Collections.unmodifiableMap(new LinkedHashMap<>(models));
        for (var model : models.entrySet()) {
            require(NAME.matcher(model.getKey()).matches(), "a model cannot be named '" + model.getKey() + "'");
            require(model.getValue() != null, "the model " + model.getKey() + " is empty");
        }
        require(defaultModel != null && models.containsKey(defaultModel), "default names " + defaultModel + ", which is not in models");
        endpoint = endpoint == null ? URI.create("https://huggingface.co") : endpoint;
        requireWebAddress(endpoint, "endpoint");
        connectTimeout = connectTimeout == 0 ? 5 : connectTimeout;
        stallTimeout = stallTimeout == 0 ? 30 : stallTimeout;
        require(connectTimeout > 0, "connect_timeout is negative");
        require(stallTimeout > 0, "stall_timeout is negative");
    }

    static ModelCatalog read(Path file) throws ModelStoreException {
        try {
            return READER.readValue(Files.readAllBytes(file));
        } catch (UnrecognizedPropertyException e) {
            throw new ModelStoreException(
                    file + ": " + place(e) + "there is no key '" + e.getPropertyName() + "' here; known are " + e.getKnownPropertyIds(), e);
        } catch (InvalidTypeIdException e) {
            throw new ModelStoreException(file + ": " + place(e) + "a source is {path}, {hub, revision, file} or {pip, file, download_bytes}", e);
        } catch (JsonMappingException e) {
            var why = e.getCause() instanceof IllegalArgumentException cause ? cause.getMessage() : e.getOriginalMessage();
            throw new ModelStoreException(file + ": " + place(e) + why, e);
        } catch (JsonProcessingException e) {
            var line = e.getLocation() == null ? "" : "line " + e.getLocation().getLineNr() + ": ";
            throw new ModelStoreException(file + ": " + line + e.getOriginalMessage(), e);
        } catch (IOException e) {
            throw new ModelStoreException(file + ": " + Reasons.of(e), e);
        }
    }

    Duration connectLimit() {
        return Duration.ofSeconds(connectTimeout);
    }

    Duration stallLimit() {
        return Duration.ofSeconds(stallTimeout);
    }

    /** @throws IllegalArgumentException unless it is an absolute http or https address without a query */
    static void requireWebAddress(URI address, String name) {
        var http = "http".equals(address.getScheme()) || "https".equals(address.getScheme());
        require(http && address.getHost() != null && address.getRawQuery() == null && address.getRawFragment() == null,
                name + " must be like https://host, not " + address);
    }

    private static String place(JsonMappingException e) {
        var place = new StringBuilder();
        for (var step : e.getPath()) {
            place.append(place.isEmpty() || step.getFieldName() == null ? "" : ".");
            place.append(step.getFieldName() == null ? "[" + step.getIndex() + "]" : step.getFieldName());
        }
        return place.isEmpty() ? "" : place + ": ";
    }

    /** The catalogue's one kind of check: what is wrong reaches the reader of the file with its place. */
    static void require(boolean condition, String message) {
        if (!condition) {
            throw new IllegalArgumentException(message);
        }
    }
}
