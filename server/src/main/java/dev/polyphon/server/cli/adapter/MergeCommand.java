package dev.polyphon.server.cli.adapter;

import dev.polyphon.runtime.AdapterOperation;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter merge}. */
@Command(name = "merge", mixinStandardHelpOptions = true,
        description = "Folds adapters into the weights of their base and writes a model of its own, in the base's format: a Hugging Face folder or a GGUF file.")
final class MergeCommand extends Operation {
    @Parameters(paramLabel = "ADAPTER[=WEIGHT]", arity = "1..*", description = "Folder of the adapter; several are added up by their weights.")
    private List<String> adapters;

    @Option(names = "--to", paramLabel = "PATH", required = true, description = "Folder or file to write; must not exist.")
    private String to;

    @Option(names = "--task", paramLabel = "NAME", description = "Which of a multi-task adapter's tasks.")
    private String task;

    @Option(names = "--type", paramLabel = "TYPE", description = "F32, F16 or BF16 for all matrices (default: the base's; where a base is quantised, changed "
            + "matrices are kept in Q8_0 or F16).")
    private String type;

    @Override
    AdapterOperation operation() {
        return new AdapterOperation.Merge(Weighted.of(adapters, task), type == null ? null : type.toUpperCase(Locale.ROOT));
    }

    @Override
    String to() {
        return to;
    }
}
