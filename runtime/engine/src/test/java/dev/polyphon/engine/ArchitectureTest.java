package dev.polyphon.engine;

import static com.tngtech.archunit.library.Architectures.layeredArchitecture;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;

/** Dependencies inside the engine point one way. */
@AnalyzeClasses(packages = "dev.polyphon.engine", importOptions = ImportOption.DoNotIncludeTests.class)
class ArchitectureTest {

    @ArchTest
    static final ArchRule LAYERS = layeredArchitecture().consideringOnlyDependenciesInLayers()
            .layer("verify").definedBy("dev.polyphon.engine.verify..")
            .layer("engine").definedBy("dev.polyphon.engine")
            .layer("schedule").definedBy("dev.polyphon.engine.schedule..")
            .layer("sample").definedBy("dev.polyphon.engine.sample..")
            .layer("pool").definedBy("dev.polyphon.engine.pool..")
            .layer("adapter").definedBy("dev.polyphon.engine.adapter..")
            .layer("merge").definedBy("dev.polyphon.engine.merge..")
            .layer("model").definedBy("dev.polyphon.engine.model..")
            .layer("cuda").definedBy("dev.polyphon.engine.backend.cuda..")
            .layer("cpu").definedBy("dev.polyphon.engine.backend.cpu..")
            .layer("backend").definedBy("dev.polyphon.engine.backend")
            .layer("text").definedBy("dev.polyphon.engine.text..")
            .layer("weights").definedBy("dev.polyphon.engine.weights..")
            .whereLayer("verify").mayNotBeAccessedByAnyLayer()
            .whereLayer("engine").mayOnlyBeAccessedByLayers("verify")
            .whereLayer("schedule").mayOnlyBeAccessedByLayers("engine", "verify")
            .whereLayer("sample").mayOnlyBeAccessedByLayers("engine", "schedule")
            .whereLayer("pool").mayOnlyBeAccessedByLayers("engine", "schedule", "verify")
            .whereLayer("adapter").mayOnlyBeAccessedByLayers("pool", "engine", "verify")
            .whereLayer("merge").mayOnlyBeAccessedByLayers("adapter", "pool", "schedule", "engine", "verify")
            .whereLayer("model").mayOnlyBeAccessedByLayers("merge", "adapter", "pool", "schedule", "engine", "verify")
            .whereLayer("cuda").mayOnlyBeAccessedByLayers("engine")
            .whereLayer("cpu").mayOnlyBeAccessedByLayers("engine")
            .whereLayer("text").mayOnlyBeAccessedByLayers("schedule", "engine")
            .whereLayer("weights").mayOnlyBeAccessedByLayers("backend", "cpu", "cuda", "model", "merge", "adapter", "text", "engine", "verify");
}
