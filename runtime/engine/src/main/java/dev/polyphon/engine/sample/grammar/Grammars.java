package dev.polyphon.engine.sample.grammar;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import dev.polyphon.engine.sample.Vocabulary;
import dev.polyphon.runtime.Grammar;
import dev.polyphon.runtime.RuntimeFault;
import java.util.List;
import java.util.concurrent.Executor;

/**
 * Compiles grammars for one model, and keeps those asked for last with all they have learned. Thread-safe.
 */
public final class Grammars {
    private static final int MAX_NODES = 100_000;
    private static final int MAX_CHARACTERS = 1 << 20;
    private static final int KEPT = 16;
    /** What the states of one grammar may weigh. */
    private static final long MAX_BYTES = 64L << 20;

    private final Vocabulary vocabulary;
    private final boolean stripsFirstSpace;
    private final Executor executor;
    private final Cache<Grammar, States> compiled = Caffeine.newBuilder().maximumSize(KEPT).build();
    private TokenTable tokens;

    /**
     * @param stripsFirstSpace whether a space at the very beginning of an output is no part of its text
     * @param executor computes masks beside the steps
     */
    public Grammars(Vocabulary vocabulary, boolean stripsFirstSpace, Executor executor) {
        this.vocabulary = vocabulary;
        this.stripsFirstSpace = stripsFirstSpace;
        this.executor = executor;
    }

    /**
     * What holds one output to a grammar. Compiles it when it is not known yet: not for a thread that must not compute.
     *
     * @throws RuntimeFault of kind INVALID when the grammar is wrong, too large or not supported
     */
    public Constraint constrain(Grammar grammar) {
        try {
            States states = compiled.get(grammar, this::compile);
            states.mask(states.start());
            return new Constraint(states, vocabulary, executor);
        } catch (GrammarException e) {
            throw RuntimeFault.invalid("grammar", e.getMessage());
        }
    }

    private States compile(Grammar grammar) {
        TokenTable table = tokens();
        if (table.count() == 0) {
            throw new GrammarException("this model has no tokenizer: its outputs have no text that a grammar could describe");
        }
        return new States(Automaton.of(rules(grammar), table.spelled(), MAX_NODES), table, stripsFirstSpace, MAX_BYTES);
    }

    private synchronized TokenTable tokens() {
        if (tokens == null) {
            tokens = new TokenTable(vocabulary.size(), id -> vocabulary.endTokens().contains(id) ? new byte[0] : vocabulary.bytes().apply(id));
        }
        return tokens;
    }

    private static RuleSet rules(Grammar grammar) {
        return switch (grammar) {
            case Grammar.JsonObject() -> {
                var rules = new RuleSet();
                rules.root(JsonText.anyObject(JsonText.value(rules)));
                yield rules;
            }
            case Grammar.JsonSchema(String schema) -> JsonSchema.read(checked(schema));
            case Grammar.Regex(String pattern) -> RuleSet.of(Regex.whole(checked(pattern)));
            case Grammar.Choice(List<String> texts) -> RuleSet.of(new Expr.Alt(texts.stream().map(Expr::text).toList()));
            case Grammar.Rules(String text) -> Gbnf.read(checked(text));
            case Grammar.Sequence(List<Grammar> parts) -> RuleSet.sequence(parts.stream().map(Grammars::rules).toList());
        };
    }

    private static String checked(String text) {
        if (text.length() > MAX_CHARACTERS) {
            throw new GrammarException("the grammar is too long: at most " + MAX_CHARACTERS + " characters are allowed, found " + text.length());
        }
        return text;
    }
}
