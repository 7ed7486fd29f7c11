package dev.polyphon.server.kserve;

import dev.polyphon.kserve.proto.DataType;
import java.util.List;

/**
 * The tensors of every model, in the names of Triton's vLLM backend.
 *
 * @param size elements; -1 for one a continuation
 */
record Signature(String name, DataType type, boolean optional, long size) {
    static final String TEXT = "text_input";
    static final String STREAM = "stream";
    static final String SAMPLING = "sampling_parameters";
    static final String EXCLUDE_INPUT = "exclude_input_in_output";
    static final String TEXT_OUTPUT = "text_output";
    static final String FINISH_REASON = "finish_reason";
    static final String CUMULATIVE_LOGPROB = "cumulative_logprob";
    static final String LOGPROBS = "logprobs";
    static final String INPUT_TOKENS = "num_input_tokens";
    static final String OUTPUT_TOKENS = "num_output_tokens";

    static final List<Signature> INPUTS = List.of(
            new Signature(TEXT, DataType.TYPE_STRING, false, 1),
            flag(STREAM),
            new Signature(SAMPLING, DataType.TYPE_STRING, true, 1),
            flag(EXCLUDE_INPUT),
            flag("return_" + FINISH_REASON),
            flag("return_" + CUMULATIVE_LOGPROB),
            flag("return_" + LOGPROBS),
            flag("return_" + INPUT_TOKENS),
            flag("return_" + OUTPUT_TOKENS));

    /** All but the first are given when asked for: as an output, or by the input {@code return_} and its name. */
    static final List<Signature> OUTPUTS = List.of(
            new Signature(TEXT_OUTPUT, DataType.TYPE_STRING, false, -1),
            new Signature(FINISH_REASON, DataType.TYPE_STRING, false, -1),
            new Signature(CUMULATIVE_LOGPROB, DataType.TYPE_FP32, false, -1),
            new Signature(LOGPROBS, DataType.TYPE_STRING, false, -1),
            new Signature(INPUT_TOKENS, DataType.TYPE_UINT32, false, 1),
            new Signature(OUTPUT_TOKENS, DataType.TYPE_UINT32, false, -1));

    private static Signature flag(String name) {
        return new Signature(name, DataType.TYPE_BOOL, true, 1);
    }

    /** The type's name in requests and answers; configurations have another. */
    String datatype() {
        return type == DataType.TYPE_STRING ? "BYTES" : type.name().substring("TYPE_".length());
    }

    static List<String> names(List<Signature> tensors) {
        return tensors.stream().map(Signature::name).toList();
    }
}
