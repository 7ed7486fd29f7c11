package dev.polyphon.server;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.Test;

/** What may know what inside the server. */
class ArchitectureTest {
    private static final String ROOT = "dev.polyphon.server";
    private static final JavaClasses SERVER =
            new ClassFileImporter().withImportOption(new ImportOption.DoNotIncludeTests()).importPackages(ROOT);

    @Test
    void looksAtTheServer() {
        assertThat(SERVER.size()).isGreaterThan(40);
    }

    @Test
    void onlyTheMainClassKnowsTheEngine() {
        noClasses().that().doNotHaveFullyQualifiedName(ROOT + ".Main").and().haveSimpleNameNotStartingWith("Verify").and().resideOutsideOfPackage(ROOT + ".cli.adapter..")
                .should().dependOnClassesThat().resideInAPackage("dev.polyphon.engine..")
                .check(SERVER);
    }

    @Test
    void transportKnowsNothingOfWhatItCarries() {
        noClasses().that().resideInAPackage(ROOT + ".http..")
                .should().dependOnClassesThat().resideInAnyPackage("dev.polyphon.runtime..", "com.fasterxml..", "io.prometheus..")
                .check(SERVER);
        noClasses().that().resideInAPackage(ROOT + ".http..")
                .should().dependOnClassesThat(com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage(ROOT + "..")
                        .and(com.tngtech.archunit.core.domain.JavaClass.Predicates.resideOutsideOfPackage(ROOT + ".http..")))
                .check(SERVER);
    }

    @Test
    void connectionsAreTheTransportsAlone() {
        noClasses().that().resideOutsideOfPackage(ROOT + ".http..")
                .should().dependOnClassesThat().resideInAnyPackage("io.netty.channel..", "io.netty.handler..", "io.netty.bootstrap..")
                .check(SERVER);
    }

    @Test
    void apiIsMeasuredWithoutKnowingIt() {
        noClasses().that().resideInAPackage(ROOT + ".openai..")
                .should().dependOnClassesThat().resideInAnyPackage("io.prometheus..", ROOT + ".observe..", ROOT + ".config..", ROOT + ".cli..")
                .check(SERVER);
        classes().that().resideInAPackage(ROOT + ".observe..")
                .should().onlyDependOnClassesThat().resideOutsideOfPackages(ROOT + ".config..", ROOT + ".cli..")
                .check(SERVER);
    }

    @Test
    void onlyWhatObservesKnowsWhereItGoes() {
        noClasses().that().resideOutsideOfPackage(ROOT + ".observe..").should().dependOnClassesThat().resideInAnyPackage("io.opentelemetry..").check(SERVER);
    }

    @Test
    void roomsHaveNoCycles() {
        slices().matching(ROOT + ".(*)..").should().beFreeOfCycles().check(SERVER);
    }
}
