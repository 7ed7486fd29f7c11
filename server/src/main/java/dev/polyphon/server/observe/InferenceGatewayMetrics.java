package dev.polyphon.server.observe;

import dev.polyphon.runtime.ModelInfo;
import dev.polyphon.runtime.Runtime;
import dev.polyphon.runtime.RuntimeStats;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import java.util.Map;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import java.util.stream.Collectors;

/**
 * What the endpoint picker of Kubernetes' Gateway API inference extension chooses a replica by: its
 * <a href="https://github.com/kubernetes-sigs/gateway-api-inference-extension/tree/main/docs/proposals/003-model-server-protocol">model server
 * protocol</a>, under the names that the picker expects by default, which are vLLM's.
 */
final class InferenceGatewayMetrics {
    private final PrometheusRegistry registry;
    private final Runtime runtime;

    /** @param batchAdapters most adapters that one batch can have */
    InferenceGatewayMetrics(PrometheusRegistry registry, Runtime runtime, Demand demand, int batchAdapters) {
        this.registry = registry;
        this.runtime = runtime;
        gauge("vllm:num_requests_waiting", "Sequences in the queue.", RuntimeStats::waiting);
        gauge("vllm:num_requests_running", "Sequences in the batch.", RuntimeStats::running);
        gauge("vllm:kv_cache_usage_perc", "Part of the KV cache in use, from 0 to 1.",
                stats -> stats.kvBlocks() == 0 ? 0 : (double) stats.kvBlocksUsed() / stats.kvBlocks());
        GaugeWithCallback.builder()
                .name("vllm:lora_requests_info")
                .help("Adapters with requests in the batch and in the queue; the value is when that last changed, in seconds since 1970.")
                .labelNames("max_lora", "running_lora_adapters", "waiting_lora_adapters")
                .callback(gauge -> gauge.call(demand.changed() / 1e3, Integer.toString(batchAdapters),
                        names(demand, load -> load.running() > 0), names(demand, load -> load.waiting() > 0)))
                .register(registry);
    }

    private void gauge(String name, String help, ToDoubleFunction<RuntimeStats> value) {
        GaugeWithCallback.builder()
                .name(name)
                .help(help)
                .labelNames("model_name")
                .callback(gauge -> {
                    double now = value.applyAsDouble(runtime.stats());
                    for (ModelInfo model : runtime.models()) {
                        gauge.call(now, model.name());
                    }
                })
                .register(registry);
    }

    private static String names(Demand demand, Predicate<Demand.Load> which) {
        return demand.adapters().entrySet().stream()
                .filter(entry -> which.test(entry.getValue()))
                .map(Map.Entry::getKey)
                .collect(Collectors.joining(","));
    }
}
