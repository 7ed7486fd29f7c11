package dev.polyphon.server.cli.adapter;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.engine.adapter.AdapterFolder;
import dev.polyphon.engine.adapter.LoadedAdapter;
import dev.polyphon.engine.adapter.ops.Inspect;
import dev.polyphon.engine.adapter.ops.Progress;
import dev.polyphon.engine.backend.Kernels;
import dev.polyphon.engine.backend.cpu.CpuKernels;
import dev.polyphon.engine.model.Checkpoint;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon adapter inspect}. */
@Command(name = "inspect", mixinStandardHelpOptions = true, description = "Shows an adapter's kind, modules, ranks, size and norm.")
final class InspectCommand extends Operation {
    @Parameters(paramLabel = "ADAPTER", description = "Folder of the adapter.")
    private Path folder;

    @Option(names = "--base", paramLabel = "MODEL", description = "Also check that it fits this base: a Hugging Face folder or a GGUF file.")
    private Path base;

    @Option(names = "--task", paramLabel = "NAME", description = "Which of a multi-task adapter's tasks is checked (default: the first).")
    private String task;

    @Override
    ObjectNode perform(Progress progress) throws IOException {
        AdapterFolder adapter = AdapterFolder.open(folder);
        Inspect.Report report = Inspect.of(adapter, progress);
        ObjectNode result = result();
        result.put("kind", report.kind()).put("parameters", report.parameters()).put("bytes", report.bytes()).put("norm", report.norm());
        report.tasks().forEach(result.withArray("tasks")::add);
        report.ranks().forEach((rank, count) -> result.withObject("/ranks").put(rank.toString(), count));
        report.modules().forEach((name, count) -> result.withObject("/tensors").put(name, count));
        if (base != null) {
            String checked = task != null || report.tasks().isEmpty() ? task : report.tasks().getFirst();
            try (Checkpoint checkpoint = Checkpoint.open(base); Kernels kernels = CpuKernels.open(1);
                    LoadedAdapter loaded = adapter.load(folder.toString(), checked, checkpoint, kernels)) {
                result.put("fits", base.toString()).put("bytesInMemory", loaded.bytes());
            }
        }
        return result;
    }

    @Override
    void tell(ObjectNode result, PrintWriter out) {
        ObjectNode tensors = result.withObject("/tensors");
        result.remove("tensors");
        if (result.path("tasks").isEmpty()) {
            result.remove("tasks");
        }
        super.tell(result, out);
        out.println("tensors");
        new ObjectMapper().convertValue(tensors, java.util.TreeMap.class).forEach((name, count) -> out.printf("  %4s  %s%n", count, name));
    }
}
