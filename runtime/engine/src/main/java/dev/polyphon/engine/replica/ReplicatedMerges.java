package dev.polyphon.engine.replica;

import dev.polyphon.runtime.AdapterMerges;
import dev.polyphon.runtime.AdapterWeight;
import dev.polyphon.runtime.MergeInfo;
import dev.polyphon.runtime.MergeMode;
import dev.polyphon.runtime.MergeStatus;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.ToLongFunction;
import java.util.stream.IntStream;

/**
 * Merges of several runtimes: an adapter is merged where its requests go, so that one copy does. Numbers of merges tell where, too. By themselves, replicas merge
 * what is worth it to them.
 */
final class ReplicatedMerges implements AdapterMerges {
    private final List<AdapterMerges> replicas;
    private final Home home;

    /** Which replica requests for adapters go to. */
    @FunctionalInterface
    interface Home {
        int of(String owner, List<AdapterWeight> adapters);
    }

    ReplicatedMerges(List<AdapterMerges> replicas, Home home) {
        this.replicas = replicas;
        this.home = home;
    }

    private MergeInfo numbered(int replica, MergeInfo info) {
        return new MergeInfo(info.id() * replicas.size() + replica, info.owner(), info.adapters(), info.state(), info.cause(), info.progress(), info.bytes(),
                info.requests(), info.since(), info.saving(), info.reason());
    }

    @Override
    public MergeStatus status() {
        List<MergeStatus> all = replicas.stream().map(AdapterMerges::status).toList();
        List<MergeInfo> merges = IntStream.range(0, all.size()).boxed().flatMap(i -> all.get(i).merges().stream().map(info -> numbered(i, info)))
                .sorted(Comparator.comparing(MergeInfo::id)).toList();
        return new MergeStatus(all.getFirst().mode(), sum(all, MergeStatus::budget), sum(all, MergeStatus::bytes), sum(all, MergeStatus::rows),
                sum(all, MergeStatus::merged), sum(all, MergeStatus::unmerged), sum(all, MergeStatus::rejected), sum(all, MergeStatus::failed), merges);
    }

    private static long sum(List<MergeStatus> all, ToLongFunction<MergeStatus> value) {
        return all.stream().mapToLong(value).sum();
    }

    @Override
    public MergeInfo merge(String owner, List<AdapterWeight> adapters) {
        int replica = home.of(owner, adapters);
        return numbered(replica, replicas.get(replica).merge(owner, adapters));
    }

    @Override
    public Optional<MergeInfo> unmerge(long id) {
        int replica = Math.floorMod(id, replicas.size());
        return replicas.get(replica).unmerge(Math.floorDiv(id, (long) replicas.size())).map(info -> numbered(replica, info));
    }

    @Override
    public void mode(MergeMode mode) {
        replicas.forEach(replica -> replica.mode(mode));
    }
}
