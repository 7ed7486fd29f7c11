package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.ops.Decompose;
import dev.polyphon.engine.adapter.ops.Progress;
import dev.polyphon.engine.model.Checkpoint;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter convert}. */
@Command(name = "convert", mixinStandardHelpOptions = true,
        description = "Writes an adapter of any family that only changes weights (PiSSA, OLoRA, AdaLoRA, VeRA, LoHa, old .bin files, AdapterHub's LoRA, one task "
                + "of a multi-task adapter, ...) as a plain LoRA adapter in PEFT's format.")
final class ConvertCommand extends Operation {
    @Parameters(index = "0", paramLabel = "ADAPTER", description = "Folder of the adapter.")
    private Path folder;

    @Parameters(index = "1", paramLabel = "TO", description = "Folder to write; must not exist.")
    private Path to;

    @Option(names = "--base", paramLabel = "MODEL", required = true, description = "Its base: a Hugging Face folder or a GGUF file.")
    private Path base;

    @Option(names = "--task", paramLabel = "NAME", description = "Which of a multi-task adapter's tasks.")
    private String task;

    @Override
    ObjectNode perform(Progress progress) throws IOException {
        try (Checkpoint checkpoint = Checkpoint.open(base)) {
            return SvdCommand.write(Decompose.of(deltas(folder, task, checkpoint), 0, 1, progress), checkpoint, to);
        }
    }
}
