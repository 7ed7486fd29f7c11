package dev.polyphon.server.kserve;

import com.google.protobuf.ByteString;
import dev.polyphon.kserve.proto.ModelInferRequest;
import dev.polyphon.kserve.proto.ModelInferRequest.InferInputTensor;
import dev.polyphon.server.openai.ApiException;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/** The tensors of a request, each checked against the {@link Signature}. All of them have one element. */
final class Inputs {
    private final Map<String, Object> values = new HashMap<>();

    Inputs(ModelInferRequest request) {
        int raw = request.getRawInputContentsCount();
        if (raw > 0 && raw != request.getInputsCount()) {
            throw wrong("raw_input_contents", "There must be as many raw_input_contents as inputs, but there are " + raw + " and " + request.getInputsCount() + ".");
        }
        for (int i = 0; i < request.getInputsCount(); i++) {
            InferInputTensor input = request.getInputs(i);
            Signature expected = check(input, request.getModelName());
            ByteString bytes = raw > 0 ? request.getRawInputContents(i) : null;
            Object value = switch (expected.type()) {
                case TYPE_BOOL -> bytes == null ? flag(input) : flag(input, bytes);
                default -> text(input.getName(), bytes == null ? element(input) : element(input, bytes));
            };
            if (values.put(input.getName(), value) != null) {
                throw wrong(input.getName(), "The input '" + input.getName() + "' is there twice.");
            }
        }
    }

    Optional<String> text(String name) {
        return Optional.ofNullable((String) values.get(name));
    }

    Optional<Boolean> flag(String name) {
        return Optional.ofNullable((Boolean) values.get(name));
    }

    private static Signature check(InferInputTensor input, String model) {
        String name = input.getName();
        Signature expected = Signature.INPUTS.stream().filter(one -> one.name().equals(name)).findFirst().orElseThrow(() -> wrong(name,
                "Unexpected inference input '" + name + "' for model '" + model + "'. It takes " + String.join(", ", Signature.names(Signature.INPUTS)) + "."));
        if (input.containsParameters("shared_memory_region")) {
            throw wrong(name, "Shared memory is not supported: send the data of the input '" + name + "' in the request.");
        }
        if (!input.getDatatype().equals(expected.datatype())) {
            throw wrong(name, "Inference input '" + name + "' has data type " + expected.datatype() + ", but the request says '" + input.getDatatype() + "'.");
        }
        if (input.getShapeCount() == 0 || input.getShapeList().stream().anyMatch(size -> size != 1)) {
            throw wrong(name, "Inference input '" + name + "' has shape [1], but the request says " + input.getShapeList() + ".");
        }
        return expected;
    }

    private static boolean flag(InferInputTensor input) {
        requireOne(input, input.getContents().getBoolContentsCount());
        return input.getContents().getBoolContents(0);
    }

    private static boolean flag(InferInputTensor input, ByteString bytes) {
        if (bytes.size() != 1) {
            throw wrong(input.getName(), "Inference input '" + input.getName() + "' takes 1 byte, but " + bytes.size() + " came.");
        }
        return bytes.byteAt(0) != 0;
    }

    private static ByteString element(InferInputTensor input) {
        requireOne(input, input.getContents().getBytesContentsCount());
        return input.getContents().getBytesContents(0);
    }

    private static void requireOne(InferInputTensor input, int count) {
        if (count != 1) {
            throw wrong(input.getName(), "Inference input '" + input.getName() + "' has 1 element of type " + input.getDatatype() + ", but " + count + " came.");
        }
    }

    /** The only element behind its length, four bytes in little-endian order. */
    private static ByteString element(InferInputTensor input, ByteString bytes) {
        int size = bytes.size() < 4 ? -1 : bytes.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).getInt();
        if (size < 0 || size != bytes.size() - 4) {
            throw wrong(input.getName(), "Inference input '" + input.getName() + "' must be one element behind its length in 4 bytes, but " + bytes.size()
                    + " bytes came" + (size < 0 ? "." : " and the length says " + Integer.toUnsignedString(size) + "."));
        }
        return bytes.substring(4);
    }

    private static String text(String name, ByteString bytes) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(bytes.asReadOnlyByteBuffer()).toString();
        } catch (CharacterCodingException e) {
            throw wrong(name, "Inference input '" + name + "' is not UTF-8.");
        }
    }

    static ApiException wrong(String param, String message) {
        return ApiException.invalid(param, "invalid_value", message);
    }
}
