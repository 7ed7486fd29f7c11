package dev.polyphon.server.cli.adapter;

import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterWeight;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code polyphon adapter convert}. */
@Command(name = "convert", mixinStandardHelpOptions = true,
        description = "Writes an adapter of any family that only changes weights (PiSSA, OLoRA, AdaLoRA, VeRA, LoHa, old .bin files, AdapterHub's LoRA, one task "
                + "of a multi-task adapter, ...) as a plain LoRA adapter in PEFT's format; prefixes and prompts as PEFT's plain ones; other .bin files as safetensors.")
final class ConvertCommand extends Operation {
    @Mixin
    private FromTo paths;

    @Option(names = "--task", paramLabel = "NAME", description = "Which of a multi-task adapter's tasks.")
    private String task;

    @Override
    AdapterOperation operation() {
        return new AdapterOperation.Convert(new AdapterWeight(paths.adapter, 1, task));
    }

    @Override
    String to() {
        return paths.to;
    }
}
