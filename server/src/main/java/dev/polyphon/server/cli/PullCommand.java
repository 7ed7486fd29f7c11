package dev.polyphon.server.cli;

import dev.polyphon.server.models.ModelStore;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code polyphon pull}: fetches a base model of the catalogue, as {@code serve} does when it needs one. */
@Command(name = "pull", mixinStandardHelpOptions = true,
        description = "Fetches a base model into the cache, unless it is there, and prints its path.")
public final class PullCommand implements Callable<Integer> {
    @Parameters(paramLabel = "NAME", arity = "0..1", description = "A name of the catalogue (default: the catalogue's default).")
    private String name;

    @Option(names = "--catalog", paramLabel = "FILE", description = "Where named models come from (default: configs/models.yaml).")
    private Path catalog;

    @Override
    public Integer call() throws IOException, InterruptedException {
        var store = ModelStore.open(catalog == null ? Home.catalog() : catalog, System.getenv(), System.err);
        System.out.println(store.resolve(name == null ? store.defaultModel() : name));
        return 0;
    }
}
