package dev.polyphon.engine.pool;

import dev.polyphon.engine.pool.source.SourceOptions;
import java.nio.file.Path;
import java.time.Duration;

/**
 * How large an adapter pool's tiers are, and where its adapters come from.
 *
 * @param store folder that keeps what is registered, uploaded and fetched; null to forget it at the end
 * @param diskBytes bytes that uploads and copies may take there
 * @param hostBytes bytes of files kept in this machine's memory
 * @param deviceBytes bytes that adapters are sure of where the model computes
 * @param eviction which adapters give way there first
 * @param longestWait a request waits for its adapter so long at most
 * @param turnTime after how long without room a request has adapters in use take no new requests, for their room to become free
 * @param recheck an adapter in use that is read in place is looked at for changes so often at most
 * @param uploadBytes bytes that an upload may have, packed or not
 */
public record PoolOptions(
        Path store, long diskBytes, long hostBytes, long deviceBytes, Eviction eviction, Duration longestWait, Duration turnTime, Duration recheck, long uploadBytes, SourceOptions sources) {

    /** Nothing is kept at the end; folders and uploads are the only sources. */
    public static PoolOptions of(long deviceBytes) {
        return new PoolOptions(null, 16L << 30, 256L << 20, deviceBytes, Eviction.COST_AWARE, Duration.ofMinutes(1), Duration.ofSeconds(2), Duration.ofSeconds(1), 1L << 30, SourceOptions.NONE);
    }

    public PoolOptions {
        require(diskBytes >= 0, "diskBytes", diskBytes);
        require(hostBytes >= 0, "hostBytes", hostBytes);
        require(deviceBytes >= 0, "deviceBytes", deviceBytes);
        require(uploadBytes >= 0, "uploadBytes", uploadBytes);
    }

    private static void require(boolean condition, String key, long found) {
        if (!condition) {
            throw new IllegalArgumentException(key + " must be 0 or more, found " + found);
        }
    }

    public PoolOptions withStore(Path value) {
        return new PoolOptions(value, diskBytes, hostBytes, deviceBytes, eviction, longestWait, turnTime, recheck, uploadBytes, sources);
    }

    public PoolOptions withDiskBytes(long value) {
        return new PoolOptions(store, value, hostBytes, deviceBytes, eviction, longestWait, turnTime, recheck, uploadBytes, sources);
    }

    public PoolOptions withHostBytes(long value) {
        return new PoolOptions(store, diskBytes, value, deviceBytes, eviction, longestWait, turnTime, recheck, uploadBytes, sources);
    }

    public PoolOptions withDeviceBytes(long value) {
        return new PoolOptions(store, diskBytes, hostBytes, value, eviction, longestWait, turnTime, recheck, uploadBytes, sources);
    }

    public PoolOptions withEviction(Eviction value) {
        return new PoolOptions(store, diskBytes, hostBytes, deviceBytes, value, longestWait, turnTime, recheck, uploadBytes, sources);
    }

    public PoolOptions withLongestWait(Duration value) {
        return new PoolOptions(store, diskBytes, hostBytes, deviceBytes, eviction, value, turnTime, recheck, uploadBytes, sources);
    }

    public PoolOptions withTurnTime(Duration value) {
        return new PoolOptions(store, diskBytes, hostBytes, deviceBytes, eviction, longestWait, value, recheck, uploadBytes, sources);
    }

    public PoolOptions withRecheck(Duration value) {
        return new PoolOptions(store, diskBytes, hostBytes, deviceBytes, eviction, longestWait, turnTime, value, uploadBytes, sources);
    }

    public PoolOptions withUploadBytes(long value) {
        return new PoolOptions(store, diskBytes, hostBytes, deviceBytes, eviction, longestWait, turnTime, recheck, value, sources);
    }

    public PoolOptions withSources(SourceOptions value) {
        return new PoolOptions(store, diskBytes, hostBytes, deviceBytes, eviction, longestWait, turnTime, recheck, uploadBytes, value);
    }
}
