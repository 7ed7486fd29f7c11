package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.ops.Progress;
import dev.polyphon.engine.adapter.ops.Quantize;
import java.io.IOException;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter quantize}. */
@Command(name = "quantize", mixinStandardHelpOptions = true, description = "Stores a LoRA or bottleneck adapter in 8 bits or one bit a value, and tells the error.")
final class QuantizeCommand extends Operation {
    @Parameters(index = "0", paramLabel = "ADAPTER", description = "Folder of the adapter.")
    private Path folder;

    @Parameters(index = "1", paramLabel = "TO", description = "Folder to write; must not exist.")
    private Path to;

    @Option(names = "--bits", paramLabel = "N", defaultValue = "8", description = "8 or 1 (default: ${DEFAULT-VALUE}).")
    private int bits;

    @Override
    ObjectNode perform(Progress progress) throws IOException {
        Quantize.Result found = Quantize.of(AdapterFolder.open(folder), bits, progress);
        found.saved().save(to);
        ObjectNode result = result().put("written", to.toString()).put("relativeError", found.error());
        found.errors().entrySet().stream().max(java.util.Map.Entry.comparingByValue())
                .ifPresent(worst -> result.put("worst", worst.getKey()).put("worstError", worst.getValue()));
        return result;
    }
}
