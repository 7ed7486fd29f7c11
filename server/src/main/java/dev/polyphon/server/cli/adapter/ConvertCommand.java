package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.ops.Decompose;
import dev.polyphon.engine.adapter.ops.Progress;
import dev.polyphon.engine.model.Checkpoint;
import java.io.IOException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code polyphon adapter convert}. */
@Command(name = "convert", mixinStandardHelpOptions = true,
        description = "Writes an adapter of any family that only changes weights (PiSSA, OLoRA, AdaLoRA, VeRA, LoHa, old .bin files, AdapterHub's LoRA, one task "
                + "of a multi-task adapter, ...) as a plain LoRA adapter in PEFT's format.")
final class ConvertCommand extends Operation {
    @Mixin
    private FromTo paths;

    @Mixin
    private BaseModel base;

    @Option(names = "--task", paramLabel = "NAME", description = "Which of a multi-task adapter's tasks.")
    private String task;

    @Override
    ObjectNode perform(Progress progress) throws IOException {
        try (Checkpoint checkpoint = base.open()) {
            return write(Decompose.of(deltas(paths.adapter, task, checkpoint), 0, 1, progress), checkpoint, paths.to);
        }
    }
}
