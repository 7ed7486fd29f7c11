package dev.polyphon.engine;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.runtime.GenerationRequest;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Sampling;
import dev.polyphon.runtime.TextCodec;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BlankModelTest {
    @TempDir
    Path folder;

    @Test
    void isServedLikeAnyOther() throws IOException {
        Path file = folder.resolve("blank.gguf");
        BlankModel.write(file);
        try (Engine engine = Engine.open(EngineOptions.of("blank", file).withKv(1 << 20, 16), CpuKernels.open(1))) {
            Collected sink = new Collected();
            Prompt prompt = new Prompt.Text("Hello you", false);
            engine.generate(new GenerationRequest("r", "t", "blank", List.of(), prompt, Sampling.builder().temperature(0).maxTokens(3).build(), 1), sink);
            List<Integer> tokens = sink.join();

            TextCodec text = engine.text("blank").orElseThrow();
            assertThat(text.decode(text.encode(prompt))).isEqualTo("Hello you");
            assertThat(tokens).as("all are as likely, so the first wins").containsExactly(0, 0, 0);
        }
    }
}
