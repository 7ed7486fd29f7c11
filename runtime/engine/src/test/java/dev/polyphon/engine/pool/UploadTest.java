package dev.polyphon.engine.pool;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polyphon.engine.adapter.AdapterFault;
import dev.polyphon.engine.adapter.AdapterPart;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.backend.Owned;
import dev.polyphon.engine.model.AdapterWeights;
import dev.polyphon.runtime.AdapterId;
import dev.polyphon.runtime.AdapterInfo;
import dev.polyphon.runtime.AdapterRegistration;
import dev.polyphon.runtime.AdapterSource;
import dev.polyphon.runtime.AdapterTier;
import dev.polyphon.runtime.AdapterUpload;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.RuntimeObserver;
import dev.polyphon.runtime.Scheduling;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UploadTest {
    private static final int TENSOR_BYTES = 300_000;

    @TempDir
    Path store;

    private static byte[] config(String text) {
        return ("{\"peft_type\": \"LORA\", \"x\": \"" + text + "\"}").getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] tensors(int seed) {
        byte[] bytes = new byte[TENSOR_BYTES];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    private static LoadedAdapter load(List<AdapterPart> parts) throws IOException {
        String text = parts.getFirst().folder().config().path("x").asText();
        if (text.startsWith("bad")) {
            throw new AdapterFault("it does not fit");
        }
        return new LoadedAdapter(new AdapterWeights(text, 1, Map.of(), null, new int[0]), TENSOR_BYTES, new Owned());
    }

    private PoolOptions options() {
        return PoolOptions.of(10 << 20).withStore(store).withHostBytes(0);
    }

    private static AdapterPool open(PoolOptions options) throws IOException {
        return new AdapterPool("base", options, UploadTest::load, Runnable::run, new RuntimeObserver() {});
    }

    private static AdapterRegistration of(AdapterId id, String version, boolean replace) {
        return new AdapterRegistration(id, "base", new AdapterSource.Upload(), Map.of("by", "upload"), version, replace);
    }

    private static InputStream in(byte[] bytes) {
        return new ByteArrayInputStream(bytes);
    }

    private static AdapterInfo upload(AdapterPool pool, String name, boolean replace) throws IOException {
        try (AdapterUpload upload = pool.catalog().upload(of(AdapterId.shared(name), null, replace))) {
            upload.file("README.md", in("a card".getBytes(StandardCharsets.UTF_8)));
            upload.file("adapter_config.json", in(config(name)));
            upload.file("adapter_model.safetensors", in(tensors(name.hashCode())));
            return upload.commit();
        }
    }

    private static String text(AdapterPool pool, String name) {
        try (AdapterPool.Lease lease = pool.acquire("tenant", List.of(new AdapterWeight(name)), Scheduling.NO_LIMIT).join()) {
            return lease.weights().toString();
        }
    }

    private long files() throws IOException {
        try (Stream<Path> all = Stream.concat(Files.list(store.resolve("files")), Files.list(store.resolve("arriving")))) {
            return all.count();
        }
    }

    @Test
    void isThereForGood() throws IOException {
        String version;
        try (AdapterPool pool = open(options())) {
            AdapterInfo info = upload(pool, "mine", false);
            version = info.version();
            assertThat(info.tier()).isEqualTo(AdapterTier.LOADED);
            assertThat(info.kind()).isEqualTo("LORA");
            assertThat(info.labels()).containsEntry("by", "upload");
            assertThatThrownBy(() -> upload(pool, "mine", false)).hasMessageContaining("already registered");
            assertThat(upload(pool, "mine", true).version()).as("the same files").isEqualTo(version);
            assertThat(upload(pool, "other", false).version()).isNotEqualTo(version);
        }
        try (AdapterPool pool = open(options())) {
            AdapterInfo info = pool.catalog().find("tenant", "mine").orElseThrow();
            assertThat(info.version()).isEqualTo(version);
            assertThat(info.tier()).isEqualTo(AdapterTier.DISK);
            assertThat(text(pool, "mine@" + version.substring(0, 8))).isEqualTo("mine");
            assertThat(pool.tiers().disk().bytes()).isGreaterThan(2 * TENSOR_BYTES);
            Files.writeString(store.resolve("files").resolve(version).resolve("adapter_config.json"), "{\"peft_type\": \"IA3\"}");
            pool.catalog().unload(info.id());
            assertThatThrownBy(() -> text(pool, "mine")).hasMessageContaining("are damaged on the disk, and have to be uploaded again");
            assertThat(upload(pool, "mine", true).version()).as("the same files").isEqualTo(version);
            pool.catalog().unload(info.id());
            assertThat(text(pool, "mine")).as("read back").isEqualTo("mine");
        }
    }

    @Test
    void takesArchives() throws IOException {
        ByteArrayOutputStream zip = new ByteArrayOutputStream();
        try (ZipOutputStream out = new ZipOutputStream(zip)) {
            for (String name : List.of("z/README.md", "z/adapter_config.json", "z/adapter_model.safetensors")) {
                out.putNextEntry(new ZipEntry(name));
                out.write(name.endsWith("json") ? config("zipped") : tensors(1));
            }
        }
        ByteArrayOutputStream tar = new ByteArrayOutputStream();
        try (TarArchiveOutputStream out = new TarArchiveOutputStream(tar)) {
            for (String name : List.of("./adapter_model.safetensors", "./adapter_config.json")) {
                byte[] content = name.endsWith("json") ? config("tarred") : tensors(2);
                TarArchiveEntry entry = new TarArchiveEntry(name);
                entry.setSize(content.length);
                out.putArchiveEntry(entry);
                out.write(content);
                out.closeArchiveEntry();
            }
        }
        ByteArrayOutputStream gzip = new ByteArrayOutputStream();
        try (GZIPOutputStream out = new GZIPOutputStream(gzip)) {
            tar.writeTo(out);
        }
        try (AdapterPool pool = open(options())) {
            try (AdapterUpload upload = pool.catalog().upload(of(AdapterId.shared("z"), null, false))) {
                upload.zip(in(zip.toByteArray()));
                upload.commit();
            }
            try (AdapterUpload upload = pool.catalog().upload(of(AdapterId.shared("t"), null, false))) {
                upload.tar(in(tar.toByteArray()));
                upload.commit();
            }
            try (AdapterUpload upload = pool.catalog().upload(of(AdapterId.shared("g"), null, false))) {
                upload.tar(in(gzip.toByteArray()));
                upload.commit();
            }
            assertThat(List.of(text(pool, "z"), text(pool, "t"), text(pool, "g"))).containsExactly("zipped", "tarred", "tarred");
            assertThat(pool.tiers().disk().adapters()).as("the same content is there once").isEqualTo(2);
            for (byte[] damaged : List.of(new byte[0], new byte[100], java.util.Arrays.copyOf(zip.toByteArray(), 5000), tar.toByteArray())) {
                try (AdapterUpload upload = pool.catalog().upload(of(AdapterId.shared("bad"), null, false))) {
                    assertThatThrownBy(() -> upload.zip(in(damaged))).isInstanceOf(RuntimeFault.class).hasMessageContaining("zip");
                }
            }
            assertThat(files()).isEqualTo(2);
        }
    }

    @Test
    void leavesNothingOfWhatBreaksARule() throws IOException {
        try (AdapterPool pool = open(options().withUploadBytes(TENSOR_BYTES + 1000))) {
            AdapterRegistration registration = of(AdapterId.shared("x"), null, false);
            for (String path : List.of("../adapter_config.json", "/etc/adapter_config.json", "a/../../adapter_config.json", "a\\adapter_config.json", "")) {
                try (AdapterUpload upload = pool.catalog().upload(registration)) {
                    assertThatThrownBy(() -> upload.file(path, in(config("x")))).hasMessageContaining("no path inside");
                }
            }
            try (AdapterUpload upload = pool.catalog().upload(registration)) {
                upload.file("a/adapter_config.json", in(config("x")));
                assertThatThrownBy(() -> upload.file("a/adapter_config.json", in(config("x")))).hasMessageContaining("twice");
                assertThatThrownBy(() -> upload.file("b/adapter_model.bin", in(config("x")))).hasMessageContaining("one folder");
                assertThatThrownBy(() -> upload.file("big.txt", in(new byte[TENSOR_BYTES + 1000]))).hasMessageContaining("may have " + (TENSOR_BYTES + 1000));
            }
            try (AdapterUpload upload = pool.catalog().upload(registration)) {
                assertThatThrownBy(upload::commit).hasMessageContaining("no adapter_config.json");
            }
            try (AdapterUpload upload = pool.catalog().upload(registration)) {
                upload.file("adapter_config.json", in(config("bad")));
                assertThatThrownBy(upload::commit).isInstanceOf(RuntimeFault.class).hasMessageContaining("it does not fit");
            }
            try (AdapterUpload upload = pool.catalog().upload(of(AdapterId.shared("x"), "00".repeat(32), false))) {
                upload.file("adapter_config.json", in(config("x")));
                assertThatThrownBy(upload::commit).hasMessageContaining("not 0000");
            }
            assertThat(pool.catalog().size()).isZero();
            assertThat(files()).isZero();
            assertThat(pool.tiers().disk().bytes()).isZero();
            assertThat(pool.bytes()).as("room where the model computes").isZero();
        }
        try (AdapterPool pool = open(options().withDiskBytes(TENSOR_BYTES + 1000))) {
            upload(pool, "one", false);
            assertThatThrownBy(() -> upload(pool, "two", false)).isInstanceOfSatisfying(RuntimeFault.class,
                    fault -> assertThat(fault.kind()).isEqualTo(RuntimeFault.Kind.NO_SPACE));
            assertThat(text(pool, "one")).isEqualTo("one");
        }
    }

    @Test
    void purgesWhatWasUploadedAndNothingThatOthersHave() throws IOException {
        try (AdapterPool pool = open(options())) {
            upload(pool, "one", false);
            upload(pool, "two", false);
            assertThat(files()).isEqualTo(2);
            assertThatThrownBy(() -> pool.catalog().purge(AdapterId.shared("one"))).hasMessageContaining("not registered");
            pool.catalog().remove(AdapterId.shared("one"));
            assertThat(files()).isEqualTo(2);
            long before = pool.tiers().disk().bytes();
            pool.catalog().purge(AdapterId.shared("one"));
            assertThat(files()).isEqualTo(1);
            assertThat(pool.tiers().disk().bytes()).isLessThan(before);
            assertThatThrownBy(() -> pool.catalog().restore(AdapterId.shared("one"))).hasMessageContaining("not registered");
            assertThat(text(pool, "two")).isEqualTo("two");
            upload(pool, "one", false);
            assertThat(text(pool, "one")).isEqualTo("one");
        }
        try (AdapterPool pool = open(options())) {
            assertThat(pool.catalog().size()).isEqualTo(2);
            assertThat(pool.catalog().versions(AdapterId.shared("one"))).hasSize(1);
        }
    }

    /** Uploads in a process that is killed at any moment: what it had said was done is there, whole, and of what it was about nothing is, or all. */
    @Test
    void leavesNothingHalfWhenKilled() throws Exception {
        Random random = new Random(11);
        int done = -1;
        for (int round = 0; round < 3; round++) {
            Process process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "--enable-native-access=ALL-UNNAMED",
                    "--add-modules=jdk.incubator.vector", "-Xmx64m", "-cp", System.getProperty("java.class.path"), Writer.class.getName(), store.toString(),
                    Integer.toString(done + 1)).redirectError(ProcessBuilder.Redirect.DISCARD).start();
            try (BufferedReader out = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
                int steps = 2 + random.nextInt(8);
                for (String line = out.readLine(); line != null; line = out.readLine()) {
                    done = line.matches("\\d{7}") ? Integer.parseInt(line) : done;
                    if (--steps == 0) {
                        Thread.sleep(0, random.nextInt(1_000_000) * 9 / 10);
                        process.toHandle().destroyForcibly();
                    }
                }
                assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
            }
            try (AdapterPool pool = open(options())) {
                List<String> names = new ArrayList<>(pool.catalog().list(dev.polyphon.runtime.AdapterQuery.all(1000)).adapters().stream().map(AdapterInfo::name).toList());
                assertThat(names.size()).isBetween(done + 1, done + 2);
                done = names.size() - 1;
                for (int i = 0; i <= done; i++) {
                    assertThat(text(pool, "a" + i)).isEqualTo("a" + i);
                }
                assertThat(files()).as("folders of what is not registered").isEqualTo(done + 1);
            }
        }
        assertThat(done).isGreaterThan(4);
    }

    /** Uploads one adapter after the other and says so. */
    static final class Writer {
        public static void main(String[] args) throws IOException {
            try (AdapterPool pool = open(PoolOptions.of(1 << 30).withStore(Path.of(args[0])).withHostBytes(0))) {
                for (int i = Integer.parseInt(args[1]);; i++) {
                    upload(pool, "a" + i, false);
                    System.out.println("%07d".formatted(i));
                }
            }
        }
    }
}
