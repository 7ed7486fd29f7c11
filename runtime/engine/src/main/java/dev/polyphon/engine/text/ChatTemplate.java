package dev.polyphon.engine.text;

import com.hubspot.jinjava.Jinjava;
import com.hubspot.jinjava.JinjavaConfig;
import com.hubspot.jinjava.LegacyOverrides;
import com.hubspot.jinjava.interpret.InterpretException;
import com.hubspot.jinjava.interpret.RenderResult;
import com.hubspot.jinjava.interpret.TemplateError.ErrorType;
import com.hubspot.jinjava.lib.fn.ELFunctionDefinition;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.ToolFormat;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.util.HashMap;
import java.util.Map;

/** A model's chat template (Jinja), rendered as the transformers library does. Thread-safe. */
public final class ChatTemplate {
    private static final Jinjava JINJAVA = jinjava();
    /** What Llama 3's templates ask the model for. */
    private static final String LLAMA3 = "{\"name\": function name, \"parameters\"";

    private final String source;
    private final String bos;
    private final String eos;

    /**
     * @param bos the beginning-of-sequence token as text
     * @param eos the end-of-sequence token as text
     */
    public ChatTemplate(String source, String bos, String eos) {
        this.source = Whitespace.resolve(source);
        this.bos = bos;
        this.eos = eos;
    }

    private static Jinjava jinjava() {
        // Nested interpretation would take what users write for a template.
        Jinjava jinjava = new Jinjava(TemplateLimits.configure(JinjavaConfig.newBuilder()).withNestedInterpretationEnabled(false).withKeepTrailingNewline(true)
                .withLegacyOverrides(LegacyOverrides.newBuilder().withUsePyishObjectMapper(true).withIterateOverMapKeys(true).build()).build());
        TemplateLimits.bound(jinjava.getGlobalContext());
        jinjava.getGlobalContext().registerFunction(new ELFunctionDefinition("", "raise_exception", ChatTemplate.class, "raise", String.class));
        jinjava.getGlobalContext().registerFunction(new ELFunctionDefinition("", "strftime_now", ChatTemplate.class, "now", String.class));
        jinjava.getGlobalContext().registerFilter(new ToJson());
        return jinjava;
    }

    /** How it shows tools to the model and what calls it repeats to it, which is how the model answers. */
    public ToolFormat tools() {
        if (!source.contains("tools")) {
            return ToolFormat.NONE;
        }
        if (source.contains("[TOOL_CALLS]")) {
            return source.contains("[ARGS]") ? ToolFormat.OTHER : ToolFormat.MISTRAL;
        }
        if (source.contains("<tool_call>")) {
            return source.contains("<function=") ? ToolFormat.OTHER : ToolFormat.HERMES;
        }
        return source.replace("\\", "").contains(LLAMA3) ? ToolFormat.LLAMA3_JSON : ToolFormat.OTHER;
    }

    /** {@code raise_exception(message)} of templates. */
    public static String raise(String message) {
        throw new TemplateException(message);
    }

    /** {@code strftime_now(format)} of templates. */
    public static String now(String format) {
        return com.hubspot.jinjava.objects.date.StrftimeFormatter.format(LocalDateTime.now().atZone(ZoneId.systemDefault()), format);
    }

    /** @throws TemplateException when the template is wrong or refuses the conversation */
    public String render(Prompt.Chat chat) {
        Map<String, Object> context = new HashMap<>(chat.variables());
        context.put("messages", chat.messages());
        context.put("tools", chat.tools().isEmpty() ? null : chat.tools());
        context.put("add_generation_prompt", chat.addGenerationPrompt());
        context.put("bos_token", bos);
        context.put("eos_token", eos);
        RenderResult result;
        try {
            result = TemplateLimits.within(() -> JINJAVA.renderForResult(source, context));
        } catch (InterpretException e) {
            throw new TemplateException("the model's chat template failed: " + e.getMessage());
        }
        result.getErrors().stream().filter(e -> e.getSeverity() == ErrorType.FATAL).findFirst().ifPresent(e -> {
            for (Throwable t = e.getException(); t != null; t = t.getCause()) {
                if (t instanceof TemplateException own) {
                    throw own;
                }
            }
            throw new TemplateException("the model's chat template failed in line " + e.getLineno() + ": " + e.getMessage());
        });
        return result.getOutput();
    }
}
