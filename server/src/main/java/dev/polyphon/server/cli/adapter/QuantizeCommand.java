package dev.polyphon.server.cli.adapter;

import dev.polyphon.runtime.AdapterOperation;
import dev.polyphon.runtime.AdapterWeight;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code polyphon adapter quantize}. */
@Command(name = "quantize", mixinStandardHelpOptions = true, description = "Stores a LoRA or bottleneck adapter in 8 bits or one bit a value, and tells the error.")
final class QuantizeCommand extends Operation {
    @Mixin
    private FromTo paths;

    @Option(names = "--bits", paramLabel = "N", defaultValue = "8", description = "8 or 1 (default: ${DEFAULT-VALUE}).")
    private int bits;

    @Override
    AdapterOperation operation() {
        return new AdapterOperation.Quantize(new AdapterWeight(paths.adapter), bits);
    }

    @Override
    String to() {
        return paths.to;
    }

    @Override
    boolean needsBase() {
        return false;
    }
}
