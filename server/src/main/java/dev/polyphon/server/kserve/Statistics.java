package dev.polyphon.server.kserve;

import dev.polyphon.kserve.proto.InferStatistics;
import dev.polyphon.kserve.proto.ModelStatistics;
import dev.polyphon.kserve.proto.ModelStatisticsResponse;
import dev.polyphon.kserve.proto.StatisticDuration;
import dev.polyphon.server.openai.ApiObserver;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;

/** Counts what was inferred with each model, by all protocols, since the start. */
public final class Statistics implements ApiObserver {
    /** Models that are told apart: bases and adapters in use, of which nobody has more. */
    private static final int MOST = 100_000;

    private final Map<String, Counts> models = new ConcurrentSkipListMap<>();

    private static final class Counts {
        long last;
        final Sum success = new Sum();
        final Sum fail = new Sum();
        final Sum queue = new Sum();
        final Sum compute = new Sum();

        synchronized void add(Ended ended) {
            Times times = ended.times();
            if (ended.outcome() != Outcome.OK) {
                fail.add(times.nanos());
                return;
            }
            last = System.currentTimeMillis();
            success.add(times.nanos());
            queue.add(times.started() - times.accepted());
            compute.add(times.ended() - times.started());
        }

        synchronized ModelStatistics message(String model) {
            return ModelStatistics.newBuilder()
                    .setName(model)
                    .setVersion(Models.VERSION)
                    .setLastInference(last)
                    .setInferenceCount(success.count)
                    .setExecutionCount(success.count)
                    .setInferenceStats(InferStatistics.newBuilder()
                            .setSuccess(success.message())
                            .setFail(fail.message())
                            .setQueue(queue.message())
                            .setComputeInput(new Sum().message())
                            .setComputeInfer(compute.message())
                            .setComputeOutput(new Sum().message())
                            .setCacheHit(new Sum().message())
                            .setCacheMiss(new Sum().message()))
                    .build();
        }
    }

    private static final class Sum {
        long count;
        long nanos;

        void add(long time) {
            count++;
            nanos += time;
        }

        StatisticDuration message() {
            return StatisticDuration.newBuilder().setCount(count).setNs(nanos).build();
        }
    }

    @Override
    public void ended(Ended ended) {
        Subject subject = ended.subject();
        String model = subject.adapter().isEmpty() ? subject.model() : subject.adapter();
        if (!model.isEmpty() && (models.size() < MOST || models.containsKey(model))) {
            models.computeIfAbsent(model, _ -> new Counts()).add(ended);
        }
    }

    /** Of one model: zeros when it was not used yet. */
    ModelStatisticsResponse of(String model) {
        return ModelStatisticsResponse.newBuilder().addModelStats(models.getOrDefault(model, new Counts()).message(model)).build();
    }

    /** Of all models that were used. */
    ModelStatisticsResponse all() {
        var all = ModelStatisticsResponse.newBuilder();
        models.forEach((model, counts) -> all.addModelStats(counts.message(model)));
        return all.build();
    }
}
