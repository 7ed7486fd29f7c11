package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.ops.Progress;
import dev.polyphon.engine.adapter.ops.Quantize;
import java.io.IOException;
import java.util.Map;
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
    ObjectNode perform(Progress progress) throws IOException {
        Quantize.Result found = Quantize.of(AdapterFolder.open(paths.adapter), bits, progress);
        found.saved().save(paths.to);
        ObjectNode result = result().put("written", paths.to.toString()).put("relativeError", found.error());
        found.errors().entrySet().stream().max(Map.Entry.comparingByValue())
                .ifPresent(worst -> result.put("worst", worst.getKey()).put("worstError", worst.getValue()));
        return result;
    }
}
