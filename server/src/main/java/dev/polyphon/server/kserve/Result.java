package dev.polyphon.server.kserve;

import com.google.protobuf.ByteString;
import dev.polyphon.kserve.proto.InferParameter;
import dev.polyphon.kserve.proto.ModelInferResponse;
import dev.polyphon.kserve.proto.ModelInferResponse.InferOutputTensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * An answer to a request for inference, or one of several.
 *
 * @param id the client's name for its request
 * @param last whether no other follows
 */
record Result(String model, String id, List<Output> outputs, boolean last) {
    static final String LAST = "triton_final_response";

    /**
     * A tensor of one dimension.
     *
     * @param data texts for BYTES, floats for FP32, integers for UINT32
     */
    record Output(String name, String datatype, List<?> data) {

        /** The elements as they are sent in binary: little-endian, texts behind their length in four bytes. */
        ByteString raw() {
            var parts = data.stream().map(value -> value instanceof String text ? text.getBytes(StandardCharsets.UTF_8) : value).toList();
            int size = parts.stream().mapToInt(part -> part instanceof byte[] bytes ? 4 + bytes.length : 4).sum();
            ByteBuffer out = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
            for (Object part : parts) {
                switch (part) {
                    case byte[] bytes -> out.putInt(bytes.length).put(bytes);
                    case Float number -> out.putFloat(number);
                    case Integer number -> out.putInt(number);
                    default -> throw new IllegalStateException("no datatype for " + part.getClass());
                }
            }
            return ByteString.copyFrom(out.flip());
        }
    }

    ModelInferResponse message(boolean several) {
        var response = ModelInferResponse.newBuilder().setModelName(model).setModelVersion(Models.VERSION).setId(id);
        if (several) {
            response.putParameters(LAST, InferParameter.newBuilder().setBoolParam(last).build());
        }
        for (Output output : outputs) {
            response.addOutputs(InferOutputTensor.newBuilder().setName(output.name).setDatatype(output.datatype).addShape(output.data.size()))
                    .addRawOutputContents(output.raw());
        }
        return response.build();
    }
}
