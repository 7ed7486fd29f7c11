package dev.polyphon.server.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ModelCatalogTest {
    private static final Path BUNDLED = Path.of("../configs/models.yaml");
    private static final String SMALL = """
            default: tiny
            models:
              tiny:
                file: tiny.gguf
                bytes: 5
                sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
                sources:
                  - {hub: owner/repo, file: tiny.gguf}
            """;

    @TempDir
    Path dir;

    @Test
    void theBundledCatalogueServesSmolLm2() throws Exception {
        var catalog = ModelCatalog.read(BUNDLED);
        var model = catalog.models().get(catalog.defaultModel());
        assertThat(catalog.defaultModel()).isEqualTo("smollm2-135m-instruct");
        assertThat(model.bytes()).isEqualTo(98_362_432);
        assertThat(model.sha256()).isEqualTo("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
        assertThat(model.sources()).hasExactlyElementsOfTypes(ModelSource.LocalFile.class, ModelSource.HubFile.class, ModelSource.PythonPackage.class);
        assertThat(((ModelSource.HubFile) model.sources().get(1)).at(catalog.endpoint())).hasToString("https://huggingface.co/QuantFactory/"
                + "SmolLM2-135M-Instruct-GGUF/resolve/ab810cf68114990406fdf996510dd3d3c6adbdf5/SmolLM2-135M-Instruct.Q4_1.gguf");
    }

    @Test
    void fillsInWhatIsLeftOut() throws Exception {
        var catalog = read(SMALL);
        assertThat(catalog.endpoint()).hasToString("https://huggingface.co");
        assertThat(catalog.connectTimeout()).isEqualTo(5);
        assertThat(catalog.stallTimeout()).isEqualTo(30);
        assertThat(catalog.models().get("tiny").sources()).containsExactly(new ModelSource.HubFile("owner/repo", "main", "tiny.gguf"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '"', value = {
        "bytes: 5 | bytes: 0 | models.tiny: bytes must be the file's length, not 0",
        "bytes: 5 | bytes: many | models.tiny.bytes: ",
        "sha256: 01 | sha256: XY | models.tiny: sha256 must be 64",
        "default: tiny | \"default: tiny\nmodel: x\" | model: there is no key 'model' here",
        "default: tiny | default: other | default names other, which is not in models",
        "default: tiny | \"default: tiny\nendpoint: ftp://x\" | endpoint must be like https://host",
        "default: tiny | @ | line 1: ",
        "hub: owner/repo | hub: owner | models.tiny.sources[0]: hub must be OWNER/REPOSITORY, not owner",
        "hub: owner/repo | hub: owner/repo, revision: ../x | revision must be",
        "file: tiny.gguf} | file: a/../b} | file must be a path inside the repository",
        "hub: owner/repo | pip: -r x | pip must be NAME==VERSION",
        "hub: owner/repo | path: ' ' | models.tiny.sources[0]",
        "{hub: owner/repo, file: tiny.gguf} | {} | models.tiny.sources[0]: ",
    })
    void tellsWhatIsWrongAndWhere(String right, String wrong, String message) {
        assertThatThrownBy(() -> read(SMALL.replace(right, wrong)))
                .isInstanceOf(ModelStoreException.class)
                .hasMessageStartingWith(dir.resolve("models.yaml") + ": ")
                .hasMessageContaining(message);
    }

    @Test
    void refusesAFileThatWouldLieOutsideTheCache() {
        assertThatThrownBy(() -> read(SMALL.replace("file: tiny.gguf\n", "file: ../tiny.gguf\n")))
                .isInstanceOf(ModelStoreException.class)
                .hasMessageContaining("models.tiny: file must be a plain file name, not ../tiny.gguf");
    }

    @Test
    void damagedFilesGiveTheOneDeclaredException() throws Exception {
        var random = new Random(11);
        var whole = Files.readAllBytes(BUNDLED);
        for (int i = 0; i < 2_000; i++) {
            var damaged = Arrays.copyOf(whole, random.nextInt(4) == 0 ? random.nextInt(whole.length) : whole.length);
            for (int n = random.nextInt(1, 6); n > 0 && damaged.length > 0; n--) {
                damaged[random.nextInt(damaged.length)] = (byte) random.nextInt(256);
            }
            var file = Files.write(dir.resolve("models.yaml"), damaged);
            try {
                ModelCatalog.read(file);
            } catch (ModelStoreException e) {
                assertThat(e.getMessage()).startsWith(file.toString());
            }
        }
    }

    @Test
    void saysThatThereIsNone() {
        assertThatThrownBy(() -> ModelCatalog.read(dir.resolve("absent.yaml")))
                .isInstanceOf(ModelStoreException.class)
                .hasMessageEndingWith("absent.yaml: there is no such file");
    }

    private ModelCatalog read(String text) throws IOException {
        return ModelCatalog.read(Files.writeString(dir.resolve("models.yaml"), text));
    }
}
