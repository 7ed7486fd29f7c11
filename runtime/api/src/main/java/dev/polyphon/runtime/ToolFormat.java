package dev.polyphon.runtime;

/** How a model has learned to call tools, as far as its chat template tells. */
public enum ToolFormat {
    /** Its template says nothing of tools. */
    NONE,
    /** {@code <tool_call>{"name": ..., "arguments": {...}}</tool_call>}, as of Hermes and Qwen. */
    HERMES,
    /** <code>{"name": ..., "parameters": {...}}</code> and nothing else, as of Llama 3. */
    LLAMA3_JSON,
    /** <code>[TOOL_CALLS] [{"name": ..., "arguments": {...}}, ...]</code>, as of Mistral; the tag is a token without a text. */
    MISTRAL,
    /** Its template shows tools to the model, in a way that is not known here. */
    OTHER
}
