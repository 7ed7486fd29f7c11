package dev.polyphon.bench;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.List;

/** How a request names its adapter. */
enum AdapterField {
    /** As the model: Polyphon, vLLM. */
    MODEL {
        @Override
        void name(ObjectNode body, List<String> adapters, int adapter) {
            body.put("model", adapters.get(adapter));
        }
    },
    /** In {@code adapter_id}: Polyphon, LoRAX. */
    ADAPTER_ID {
        @Override
        void name(ObjectNode body, List<String> adapters, int adapter) {
            body.put("adapter_id", adapters.get(adapter));
        }
    },
    /** By its place in llama.cpp's command line. */
    LLAMACPP {
        @Override
        void name(ObjectNode body, List<String> adapters, int adapter) {
            body.putArray("lora").addObject().put("id", adapter).put("scale", 1.0);
        }
    };

    abstract void name(ObjectNode body, List<String> adapters, int adapter);
}
