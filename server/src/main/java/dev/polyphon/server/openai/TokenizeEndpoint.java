package dev.polyphon.server.openai;

import com.fasterxml.jackson.core.JsonGenerator;
import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Prompt;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeFault;
import dev.polyphon.runtime.TextCodec;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.http.Response;
import java.io.IOException;

/** {@code POST /v1/tokenize} and {@code POST /v1/detokenize}, with vLLM's fields and answers. They compute, so they run on threads of their own. */
final class TokenizeEndpoint {
    private final Runtime runtime;
    private final RequestLimits limits;
    private final Targets targets;

    TokenizeEndpoint(Runtime runtime, RequestLimits limits) {
        this.runtime = runtime;
        this.limits = limits;
        this.targets = new Targets(runtime);
    }

    /** Answers a request for a model. */
    private interface Operation {
        Response run(Fields fields, ModelInfo model, TextCodec text);
    }

    void tokenize(Exchange exchange) {
        run(exchange, this::tokenize);
    }

    void detokenize(Exchange exchange) {
        run(exchange, TokenizeEndpoint::detokenize);
    }

    private void run(Exchange exchange, Operation operation) {
        exchange.offload(() -> {
            try {
                Fields fields = new Fields(Json.object(exchange.request()));
                ModelInfo model = targets.find(fields, limits.adapters(), exchange).base();
                TextCodec text = runtime.text(model.name()).orElseThrow(() -> RuntimeFault.of(RuntimeFault.Kind.UNSUPPORTED,
                        "the tokenizer of the model " + model.name() + " is not here"));
                exchange.respond(operation.run(fields, model, text));
            } catch (ApiException e) {
                exchange.respond(e.error().response());
            } catch (RuntimeFault e) {
                exchange.respond(ApiError.of(e).response());
            }
        });
    }

    private Response tokenize(Fields fields, ModelInfo model, TextCodec text) {
        int[] tokens = text.encode(prompt(fields, model));
        boolean texts = fields.flag("return_token_strs", false);
        return Response.json(200, Json.bytes(json -> {
            json.writeStartObject();
            json.writeNumberField("count", tokens.length);
            json.writeNumberField("max_model_len", model.contextLength());
            json.writeFieldName("tokens");
            json.writeArray(tokens, 0, tokens.length);
            json.writeFieldName("token_strs");
            if (texts) {
                writeTexts(json, tokens, text);
            } else {
                json.writeNull();
            }
            json.writeEndObject();
        }));
    }

    private static void writeTexts(JsonGenerator json, int[] tokens, TextCodec text) throws IOException {
        json.writeStartArray();
        for (int token : tokens) {
            json.writeString(text.decode(new int[] {token}));
        }
        json.writeEndArray();
    }

    private Prompt prompt(Fields fields, ModelInfo model) {
        boolean chat = fields.get("messages").isPresent();
        if (chat && fields.get("prompt").isPresent()) {
            throw ApiException.invalid("prompt", "invalid_value", "Either 'prompt' or 'messages' is to be tokenized, but got both.");
        }
        if (chat) {
            return ChatRequest.prompt(fields, model, ToolFields.read(fields), limits);
        }
        return new Prompt.Text(fields.requiredText("prompt"), fields.flag("add_special_tokens", true));
    }

    private static Response detokenize(Fields fields, ModelInfo model, TextCodec text) {
        var array = fields.get("tokens").orElseThrow(() -> Fields.missing("tokens"));
        int[] tokens = Fields.list("tokens", array, Integer.MAX_VALUE, (at, id) -> SamplingFields.tokenId(at, id, model)).stream()
                .mapToInt(Integer::intValue).toArray();
        String decoded = text.decode(tokens);
        return Response.json(200, Json.bytes(json -> {
            json.writeStartObject();
            json.writeStringField("prompt", decoded);
            json.writeEndObject();
        }));
    }
}
