package dev.polyphon.server.openai;

import dev.polyphon.runtime.Runtime;
import dev.polyphon.server.http.Router;

/** The routes of the OpenAI API over a runtime. */
public final class OpenAiApi {
    private OpenAiApi() {}

    public static void addTo(Router router, Runtime runtime, RequestLimits limits, EmbeddingSettings embeddings, AdapterSettings adapters, Admission admission,
            ApiObserver observer) {
        var models = new ModelsEndpoint(runtime);
        var loading = new AdaptersEndpoint(runtime, adapters);
        var tokenize = new TokenizeEndpoint(runtime, limits);
        router.post("/v1/completions", new GenerateEndpoint(runtime, limits, new CompletionRequest(runtime)::read, admission, observer))
                .post("/v1/chat/completions", new GenerateEndpoint(runtime, limits, ChatRequest::read, admission, observer))
                .post("/v1/embeddings", new GenerateEndpoint(runtime, limits, new EmbeddingsRequest(embeddings)::read, admission, observer))
                .post("/v1/tokenize", tokenize::tokenize)
                .post("/v1/detokenize", tokenize::detokenize)
                .post("/tokenize", tokenize::tokenize)
                .post("/detokenize", tokenize::detokenize)
                .get("/v1/models", models::list)
                .get(ModelsEndpoint.ONE + "*", models::one)
                .post("/v1/load_lora_adapter", loading::load)
                .post("/v1/unload_lora_adapter", loading::unload);
    }
}
