package dev.polyphon.server.kserve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.protobuf.ByteString;
import dev.polyphon.kserve.proto.InferParameter;
import dev.polyphon.kserve.proto.InferTensorContents;
import dev.polyphon.kserve.proto.ModelInferRequest;
import dev.polyphon.kserve.proto.ModelInferRequest.InferInputTensor;
import dev.polyphon.kserve.proto.ModelInferRequest.InferRequestedOutputTensor;
import dev.polyphon.server.http.Request;
import dev.polyphon.server.openai.Fields;
import dev.polyphon.server.openai.Json;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.BiConsumer;

/**
 * Reads {@code POST /v2/models/{name}/infer} with the extension for binary tensors: behind a JSON object, whose length a header gives, comes the data of
 * those inputs that say {@code binary_data_size}, in their order.
 *
 * @param binary names of the outputs to answer in binary
 */
record RestInput(ModelInferRequest message, Set<String> binary) {
    static final String JSON_LENGTH = "Inference-Header-Content-Length";
    private static final String BINARY_SIZE = "binary_data_size";
    private static final String BINARY = "binary_data";
    private static final String BINARY_DEFAULT = "binary_data_output";
    private static final int MOST_TENSORS = 64;

    static RestInput read(String model, String version, Request request) {
        byte[] body = request.body();
        int jsonLength = jsonLength(request.header(JSON_LENGTH), body.length);
        ObjectNode json = Json.object(body, 0, jsonLength);
        var message = ModelInferRequest.newBuilder().setModelName(model).setModelVersion(version);
        String id = new Fields(json).text("id");
        message.setId(id == null ? "" : id);
        parameters("parameters", json.path("parameters"), message::putParameters);
        int[] at = {jsonLength};
        for (ObjectNode input : objects(json, "inputs")) {
            input(message, input, body, at);
        }
        if (at[0] != body.length) {
            throw Inputs.wrong("inputs", "There are " + (body.length - at[0]) + " more bytes of binary data than the inputs say.");
        }
        var binary = new HashSet<String>();
        var plain = new HashSet<String>();
        for (ObjectNode output : objects(json, "outputs")) {
            var tensor = InferRequestedOutputTensor.newBuilder().setName(name(output, "outputs"));
            parameters("outputs", output.path("parameters"), tensor::putParameters);
            message.addOutputs(tensor);
            JsonNode asBinary = output.path("parameters").path(BINARY);
            (asBinary.asBoolean() ? binary : plain).add(tensor.getName());
        }
        boolean byDefault = json.path("parameters").path(BINARY_DEFAULT).asBoolean(false);
        if (byDefault) {
            Signature.names(Signature.OUTPUTS).stream().filter(name -> !plain.contains(name)).forEach(binary::add);
        }
        return new RestInput(message.build(), binary);
    }

    private static int jsonLength(String header, int length) {
        if (header == null) {
            return length;
        }
        if (!header.matches("\\d{1,9}") || Integer.parseInt(header) > length) {
            throw Inputs.wrong(JSON_LENGTH, "The header " + JSON_LENGTH + " must be the length of the JSON in a body of " + length + " bytes, found '" + header + "'.");
        }
        return Integer.parseInt(header);
    }

    private static List<ObjectNode> objects(ObjectNode json, String name) {
        return new Fields(json).list(name, MOST_TENSORS, (path, element) -> {
            Fields.object(path, element);
            return (ObjectNode) element;
        });
    }

    private static String name(ObjectNode tensor, String where) {
        if (!tensor.path("name").isTextual()) {
            throw Inputs.wrong(where, "Each of the '" + where + "' must have a text 'name'.");
        }
        return tensor.path("name").textValue();
    }

    /**
     * Adds one input: its data, from JSON or binary, becomes raw contents.
     *
     * @param at where binary data goes on
     */
    private static void input(ModelInferRequest.Builder message, ObjectNode input, byte[] body, int[] at) {
        String name = name(input, "inputs");
        var tensor = InferInputTensor.newBuilder().setName(name).setDatatype(input.path("datatype").asText());
        for (JsonNode size : input.path("shape")) {
            tensor.addShape(Fields.integer("shape", size, 0, Long.MAX_VALUE));
        }
        JsonNode size = input.path("parameters").path(BINARY_SIZE);
        ByteString bytes;
        if (size.isMissingNode()) {
            parameters(name, input.path("parameters"), tensor::putParameters);
            bytes = data(name, tensor.getDatatype(), input.path("data"));
        } else {
            int length = (int) Fields.integer(BINARY_SIZE, size, 0, body.length - at[0]);
            bytes = ByteString.copyFrom(body, at[0], length);
            at[0] += length;
        }
        message.addInputs(tensor).addRawInputContents(bytes);
    }

    /** JSON data may be nested as the shape says; only the elements count. */
    private static ByteString data(String name, String datatype, JsonNode data) {
        if (data.isMissingNode()) {
            throw Inputs.wrong(name, "The input '" + name + "' has neither 'data' nor the parameter '" + BINARY_SIZE + "'.");
        }
        var out = ByteString.newOutput();
        elements(name, datatype, data, out);
        return out.toByteString();
    }

    private static void elements(String name, String datatype, JsonNode data, ByteString.Output out) {
        if (data.isArray()) {
            data.forEach(element -> elements(name, datatype, element, out));
        } else if (datatype.equals("BYTES") && data.isTextual()) {
            byte[] text = ByteString.copyFromUtf8(data.textValue()).toByteArray();
            out.write(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(text.length).array(), 0, 4);
            out.write(text, 0, text.length);
        } else if (datatype.equals("BOOL") && data.isBoolean()) {
            out.write(data.booleanValue() ? 1 : 0);
        } else if (datatype.equals("BYTES") || datatype.equals("BOOL")) {
            throw Inputs.wrong(name, "The input '" + name + "' has data type " + datatype + ", but its data has " + Fields.kind(data) + ".");
        }
        // Other types are refused by name, where the signature is known.
    }

    static void parameters(String where, JsonNode given, BiConsumer<String, InferParameter> put) {
        if (given.isMissingNode() || given.isNull()) {
            return;
        }
        Fields.object(where.equals("parameters") ? where : where + ".parameters", given);
        given.properties().forEach(entry -> put.accept(entry.getKey(), parameter(entry.getValue())));
    }

    private static InferParameter parameter(JsonNode value) {
        var parameter = InferParameter.newBuilder();
        switch (value.getNodeType()) {
            case BOOLEAN -> parameter.setBoolParam(value.booleanValue());
            case STRING -> parameter.setStringParam(value.textValue());
            case NUMBER -> {
                if (value.canConvertToLong() && value.isIntegralNumber()) {
                    parameter.setInt64Param(value.longValue());
                } else {
                    parameter.setDoubleParam(value.doubleValue());
                }
            }
            case NULL, MISSING -> {}
            default -> parameter.setStringParam(value.toString());
        }
        return parameter.build();
    }

    /** Reads {@code POST /v2/models/{name}/generate}: inputs are named at the top, what is none of them among {@code parameters}. */
    static ModelInferRequest generate(String model, String version, Request request) {
        ObjectNode json = Json.object(request.body(), 0, request.body().length);
        var message = ModelInferRequest.newBuilder().setModelName(model).setModelVersion(version);
        parameters("parameters", json.path("parameters"), message::putParameters);
        json.properties().forEach(entry -> {
            String name = entry.getKey();
            JsonNode value = entry.getValue();
            switch (name) {
                case "parameters" -> {}
                case "id" -> message.setId(Fields.text("id", value));
                case Signature.SAMPLING -> add(message, name, "BYTES", value.isObject() ? value.toString() : Fields.text(name, value));
                default -> {
                    if (Signature.names(Signature.INPUTS).contains(name)) {
                        boolean flag = value.isBoolean();
                        add(message, name, flag ? "BOOL" : "BYTES", flag ? value.booleanValue() : Fields.text(name, value));
                    } else {
                        message.putParameters(name, parameter(value));
                    }
                }
            }
        });
        return message.build();
    }

    private static void add(ModelInferRequest.Builder message, String name, String datatype, Object value) {
        var contents = InferTensorContents.newBuilder();
        if (value instanceof Boolean flag) {
            contents.addBoolContents(flag);
        } else {
            contents.addBytesContents(ByteString.copyFromUtf8((String) value));
        }
        message.addInputs(InferInputTensor.newBuilder().setName(name).setDatatype(datatype).addShape(1).setContents(contents));
    }
}
