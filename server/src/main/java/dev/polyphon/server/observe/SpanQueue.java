package dev.polyphon.server.observe;

import io.opentelemetry.context.Context;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.trace.ReadWriteSpan;
import io.opentelemetry.sdk.trace.ReadableSpan;
import io.opentelemetry.sdk.trace.SpanProcessor;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import io.prometheus.metrics.core.metrics.Counter;
import java.util.Collection;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Level;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Spans that wait to be sent: bounded, those beyond are dropped and counted, as are those that could not be sent. May be used from any thread, waits on none. */
final class SpanQueue implements SpanProcessor {
    private static final Logger LOG = LoggerFactory.getLogger(SpanQueue.class);

    /** What it says is said here, once an outage instead of once a try. Held, since loggers are forgotten with what was set. */
    private static final java.util.logging.Logger LIBRARY = java.util.logging.Logger.getLogger("io.opentelemetry");

    private static final int BATCH = 512;

    private final AtomicInteger waiting = new AtomicInteger();
    private final AtomicBoolean broken = new AtomicBoolean();
    private final int room;
    private final TraceSettings settings;
    private final CounterDataPoint sent;
    private final CounterDataPoint failed;
    private final CounterDataPoint dropped;
    private final BatchSpanProcessor batches;

    /**
     * @param spans counts them by what became of them
     * @param exporter closed with this
     */
    SpanQueue(Counter spans, SpanExporter exporter, TraceSettings settings) {
        LIBRARY.setLevel(Level.OFF);
        this.settings = settings;
        room = settings.queue();
        sent = spans.labelValues("sent");
        failed = spans.labelValues("failed");
        dropped = spans.labelValues("dropped");
        batches = BatchSpanProcessor.builder(new Counting(exporter))
                .setMaxQueueSize(room)
                .setMaxExportBatchSize(Math.min(room, BATCH))
                .setExporterTimeout(settings.timeout())
                .build();
    }

    private final class Counting implements SpanExporter {
        private final SpanExporter exporter;

        Counting(SpanExporter exporter) {
            this.exporter = exporter;
        }

        @Override
        public CompletableResultCode export(Collection<SpanData> spans) {
            int count = spans.size();
            CompletableResultCode result = exporter.export(spans);
            return result.whenComplete(() -> over(count, result));
        }

        @Override
        public CompletableResultCode flush() {
            return exporter.flush();
        }

        @Override
        public CompletableResultCode shutdown() {
            return exporter.shutdown();
        }
    }

    private void over(int count, CompletableResultCode result) {
        waiting.addAndGet(-count);
        (result.isSuccess() ? sent : failed).inc(count);
        if (broken.compareAndSet(result.isSuccess(), !result.isSuccess())) {
            if (result.isSuccess()) {
                LOG.info("spans are sent to {} again", settings.endpoint());
            } else {
                Throwable cause = result.getFailureThrowable() == null ? null : result.getFailureThrowable().getCause();
                LOG.warn("spans cannot be sent to {}: {}", settings.endpoint(), cause == null ? "they are refused" : cause.toString());
            }
        }
    }

    @Override
    public void onStart(Context parent, ReadWriteSpan span) {}

    @Override
    public boolean isStartRequired() {
        return false;
    }

    @Override
    public void onEnd(ReadableSpan span) {
        if (!span.getSpanContext().isSampled()) {
            return;
        }
        if (waiting.incrementAndGet() > room) {
            waiting.decrementAndGet();
            dropped.inc();
        } else {
            batches.onEnd(span);
        }
    }

    @Override
    public boolean isEndRequired() {
        return true;
    }

    @Override
    public CompletableResultCode forceFlush() {
        return batches.forceFlush();
    }

    @Override
    public CompletableResultCode shutdown() {
        return batches.shutdown();
    }
}
