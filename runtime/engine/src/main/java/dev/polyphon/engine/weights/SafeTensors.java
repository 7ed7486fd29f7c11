package dev.polyphon.engine.weights;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.util.ByteBufferBackedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Tensors in the safetensors format (<a href="https://github.com/huggingface/safetensors#format">specification</a>), one file or the shards of an
 * index. As in the reference implementation the data section must be covered by tensors without gap or overlap, and a header has at most
 * 100,000,000 bytes.
 */
public final class SafeTensors implements TensorFile {

    private static final List<String> SINGLE_FILES = List.of("model.safetensors", "adapter_model.safetensors");
    private static final String INDEX = "model.safetensors.index.json";

    /** Names are as many and as long as the file's author likes: none is kept beyond the file. */
    private static final JsonFactory JSON = JsonFactory.builder()
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .build();

    private record Entry(DType dtype, long[] shape, long[] offsets) {}

    private final Mapping mapping;
    private final Map<String, TensorView> tensors = new LinkedHashMap<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();

    /**
     * Maps a file, or what a folder has: {@code model.safetensors}, the shards in {@code model.safetensors.index.json}, or
     * {@code adapter_model.safetensors}. The path of an index file works as well.
     *
     * @throws MalformedFileException if a header, an index or a shard is not as it should be
     * @throws NoSuchFileException if there is nothing of the kind
     * @throws IOException if it cannot be read
     */
    public static SafeTensors open(Path path) throws IOException {
        Path file = Files.isDirectory(path) ? inFolder(path) : path;
        SafeTensors opened = new SafeTensors(new Mapping());
        try {
            if (file.getFileName().toString().endsWith(".index.json")) {
                opened.readIndex(file);
            } else {
                opened.readFile(file);
            }
            return opened;
        } catch (Throwable t) {
            opened.close();
            throw t;
        }
    }

    /**
     * Reads what stands in memory, which has to stay while this is used.
     *
     * @param file names it in messages
     */
    public static SafeTensors of(Path file, MemorySegment bytes) throws IOException {
        SafeTensors read = new SafeTensors(new Mapping());
        try {
            read.readFile(file, bytes);
            return read;
        } catch (Throwable t) {
            read.close();
            throw t;
        }
    }

    private static Path inFolder(Path folder) throws NoSuchFileException {
        List<String> names = List.of(SINGLE_FILES.get(0), INDEX, SINGLE_FILES.get(1));
        for (String name : names) {
            if (Files.isRegularFile(folder.resolve(name))) {
                return folder.resolve(name);
            }
        }
        throw new NoSuchFileException(folder.toString(), null, "the folder has none of " + String.join(", ", names));
    }

    private SafeTensors(Mapping mapping) {
        this.mapping = mapping;
    }

    private void readIndex(Path index) throws IOException {
        if (Files.size(index) > Limits.HEADER_BYTES) {
            throw new MalformedFileException(index, "an index of %d bytes, at most %d are allowed".formatted(Files.size(index), Limits.HEADER_BYTES));
        }
        Map<String, String> shardOf = null;
        try (JsonParser json = parser(Files.newInputStream(index))) {
            expect(index, json.nextToken(), JsonToken.START_OBJECT, "the index");
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String field = json.currentName();
                JsonToken value = json.nextToken();
                if (field.equals("weight_map")) {
                    shardOf = readStrings(index, json, field, Limits.TENSORS);
                } else if (value.isStructStart()) {
                    json.skipChildren();
                }
            }
        } catch (JsonProcessingException | CharacterCodingException e) {
            throw notJson(index, "the index", e);
        }
        if (shardOf == null) {
            throw new MalformedFileException(index, "the index has no weight_map");
        }
        for (String shard : new LinkedHashSet<>(shardOf.values())) {
            readFile(shardFile(index, shard));
        }
        for (Map.Entry<String, String> entry : shardOf.entrySet()) {
            if (!tensors.containsKey(entry.getKey())) {
                throw new MalformedFileException(index, "tensor '%s' is not in its shard %s".formatted(entry.getKey(), entry.getValue()));
            }
        }
    }

    /** Decodes strictly as UTF-8: left alone, the parser guesses among five encodings. */
    private static JsonParser parser(InputStream utf8) throws IOException {
        return JSON.createParser(new InputStreamReader(utf8, StandardCharsets.UTF_8.newDecoder()));
    }

    private static MalformedFileException notJson(Path file, String what, IOException cause) {
        String problem = cause instanceof JsonProcessingException json ? json.getOriginalMessage() : "invalid UTF-8";
        return new MalformedFileException(file, what + " is not valid JSON: " + problem, cause);
    }

    /** A shard stands beside its index: a name that leads elsewhere is an attempt to read other files. */
    private static Path shardFile(Path index, String shard) throws MalformedFileException {
        boolean plain = !shard.isEmpty() && !shard.startsWith(".") && shard.chars().noneMatch(c -> c == '/' || c == '\\' || c == ':' || c < ' ');
        if (!plain) {
            throw new MalformedFileException(index, "the shard name '%s' is not a plain file name".formatted(shard));
        }
        try {
            Path file = index.resolveSibling(shard);
            if (Files.isRegularFile(file)) {
                return file;
            }
        } catch (InvalidPathException e) {
            throw new MalformedFileException(index, "the shard name '%s' is not a file name here".formatted(shard), e);
        }
        throw new MalformedFileException(index, "the shard %s is missing".formatted(shard));
    }

    private void readFile(Path file) throws IOException {
        readFile(file, mapping.map(file));
    }

    private void readFile(Path file, MemorySegment bytes) throws IOException {
        Cursor cursor = new Cursor(file, bytes, 0);
        long headerSize = cursor.int64("the header size");
        if (headerSize < 0 || headerSize > Limits.HEADER_BYTES) {
            throw cursor.malformed("the header size is %s, at most %d are allowed".formatted(Long.toUnsignedString(headerSize), Limits.HEADER_BYTES));
        }
        MemorySegment header = bytes.asSlice(cursor.skip(headerSize, "the header"), headerSize);
        if (headerSize == 0 || header.get(ValueLayout.JAVA_BYTE, 0) != '{') {
            throw cursor.malformed("the header does not start with '{'");
        }
        Map<String, Entry> entries = readHeader(file, header);
        place(file, entries, bytes.asSlice(cursor.position()));
    }

    private Map<String, Entry> readHeader(Path file, MemorySegment header) throws IOException {
        Map<String, Entry> entries = new LinkedHashMap<>();
        try (JsonParser json = parser(new ByteBufferBackedInputStream(header.asByteBuffer()))) {
            expect(file, json.nextToken(), JsonToken.START_OBJECT, "the header");
            while (json.nextToken() == JsonToken.FIELD_NAME) {
                String name = json.currentName();
                json.nextToken();
                if (name.equals("__metadata__")) {
                    metadata.putAll(readStrings(file, json, name, Limits.METADATA));
                } else if (entries.put(name, readEntry(file, json, name)) != null) {
                    throw new MalformedFileException(file, "tensor '%s' appears twice".formatted(name));
                }
                checkCount(file, tensors.size() + entries.size(), Limits.TENSORS, "tensors");
            }
            expect(file, json.nextToken(), null, "the end of the header");
        } catch (JsonProcessingException | CharacterCodingException e) {
            throw notJson(file, "the header", e);
        }
        return entries;
    }

    private static Entry readEntry(Path file, JsonParser json, String tensor) throws IOException {
        String what = "tensor '" + tensor + "'";
        expect(file, json.currentToken(), JsonToken.START_OBJECT, what);
        DType dtype = null;
        long[] shape = null;
        long[] offsets = null;
        while (json.nextToken() == JsonToken.FIELD_NAME) {
            String field = json.currentName();
            JsonToken value = json.nextToken();
            switch (field) {
                case "dtype" -> {
                    expect(file, value, JsonToken.VALUE_STRING, what + " dtype");
                    dtype = dtype(file, tensor, json.getText());
                }
                case "shape" -> shape = readLongs(file, json, what + " shape");
                case "data_offsets" -> offsets = readLongs(file, json, what + " data_offsets");
                default -> json.skipChildren();
            }
        }
        if (dtype == null || shape == null || offsets == null || offsets.length != 2) {
            throw new MalformedFileException(file, what + " needs dtype, shape and data_offsets [begin, end]");
        }
        return new Entry(dtype, shape, offsets);
    }

    private static DType dtype(Path file, String tensor, String name) throws MalformedFileException {
        return switch (name) {
            case "F64" -> DType.F64;
            case "F32" -> DType.F32;
            case "F16" -> DType.F16;
            case "BF16" -> DType.BF16;
            case "I64" -> DType.I64;
            case "I32" -> DType.I32;
            case "I16" -> DType.I16;
            case "I8" -> DType.I8;
            case "U8" -> DType.U8;
            case "BOOL" -> DType.BOOL;
            default -> throw new MalformedFileException(file,
                    "tensor '%s' has dtype %s, expected one of F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL".formatted(tensor, name));
        };
    }

    private void place(Path file, Map<String, Entry> entries, MemorySegment data) throws MalformedFileException {
        List<Extent> extents = new ArrayList<>();
        for (Map.Entry<String, Entry> named : entries.entrySet()) {
            String tensor = named.getKey();
            Entry entry = named.getValue();
            long begin = entry.offsets[0];
            long end = entry.offsets[1];
            if (begin < 0 || begin > end || end > data.byteSize()) {
                throw new MalformedFileException(file, "tensor '%s' has data_offsets %s, but the file has %d bytes of data"
                        .formatted(tensor, Arrays.toString(entry.offsets), data.byteSize()));
            }
            long needed = Extent.bytes(file, tensor, entry.dtype, entry.shape);
            if (end - begin != needed) {
                throw new MalformedFileException(file, "tensor '%s' is %s%s and needs %d bytes, but its data_offsets %s give %d"
                        .formatted(tensor, entry.dtype, Arrays.toString(entry.shape), needed, Arrays.toString(entry.offsets), end - begin));
            }
            extents.add(new Extent(tensor, begin, end));
            TensorView view = new TensorView(tensor, entry.dtype, entry.shape, data.asSlice(begin, needed));
            if (tensors.putIfAbsent(tensor, view) != null) {
                throw new MalformedFileException(file, "tensor '%s' is in another shard as well".formatted(tensor));
            }
        }
        long covered = 0;
        for (Extent extent : Extent.apart(file, extents)) {
            if (extent.start() != covered) {
                throw new MalformedFileException(file, "bytes %d to %d of the data, before tensor '%s', belong to no tensor"
                        .formatted(covered, extent.start(), extent.tensor()));
            }
            covered = extent.end();
        }
        if (covered != data.byteSize()) {
            throw new MalformedFileException(file, "the tensors end at byte %d of the data, which has %d bytes".formatted(covered, data.byteSize()));
        }
    }

    /** Reads an object of strings at whose start the parser stands. */
    private static Map<String, String> readStrings(Path file, JsonParser json, String what, int most) throws IOException {
        expect(file, json.currentToken(), JsonToken.START_OBJECT, what);
        Map<String, String> strings = new LinkedHashMap<>();
        while (json.nextToken() == JsonToken.FIELD_NAME) {
            String key = json.currentName();
            expect(file, json.nextToken(), JsonToken.VALUE_STRING, what + " '" + key + "'");
            if (strings.put(key, json.getText()) != null) {
                throw new MalformedFileException(file, "%s '%s' appears twice".formatted(what, key));
            }
            checkCount(file, strings.size(), most, "entries in " + what);
        }
        return strings;
    }

    /** Reads an array of integers at whose start the parser stands. */
    private static long[] readLongs(Path file, JsonParser json, String what) throws IOException {
        expect(file, json.currentToken(), JsonToken.START_ARRAY, what);
        long[] values = new long[4];
        int count = 0;
        while (json.nextToken() != JsonToken.END_ARRAY) {
            expect(file, json.currentToken(), JsonToken.VALUE_NUMBER_INT, what);
            checkCount(file, count + 1, Limits.DIMENSIONS, "numbers in " + what);
            if (count == values.length) {
                values = Arrays.copyOf(values, 2 * count);
            }
            values[count++] = json.getLongValue();
        }
        return Arrays.copyOf(values, count);
    }

    private static void checkCount(Path file, int count, int most, String what) throws MalformedFileException {
        if (count > most) {
            throw new MalformedFileException(file, "more than %d %s".formatted(most, what));
        }
    }

    private static void expect(Path file, JsonToken found, JsonToken expected, String what) throws MalformedFileException {
        if (found != expected) {
            throw new MalformedFileException(file, "%s: expected %s, found %s".formatted(what, describe(expected), describe(found)));
        }
    }

    private static String describe(JsonToken token) {
        return switch (token) {
            case null -> "the end";
            case START_OBJECT -> "an object";
            case START_ARRAY -> "an array";
            case VALUE_STRING -> "a string";
            case VALUE_NUMBER_INT -> "an integer";
            case VALUE_NUMBER_FLOAT -> "a fraction";
            default -> token.toString();
        };
    }

    @Override
    public Collection<TensorView> tensors() {
        return Collections.unmodifiableCollection(tensors.values());
    }

    @Override
    public Optional<TensorView> find(String name) {
        return Optional.ofNullable(tensors.get(name));
    }

    /** The strings of the header's {@code __metadata__}; of shards, all together. */
    public Map<String, String> metadata() {
        return Collections.unmodifiableMap(metadata);
    }

    @Override
    public void close() {
        mapping.close();
    }
}
