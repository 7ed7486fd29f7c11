package dev.polyphon.engine.schedule;

import dev.polyphon.runtime.Scheduling;

/** Which requests may use what was computed for the beginning of others. */
public enum PrefixSharing {
    /** Those of the same tenant. */
    TENANT {
        @Override
        String scope(Scheduling scheduling) {
            return scheduling.cacheScope().isEmpty() ? "tenant " + scheduling.tenant() : "scope " + scheduling.cacheScope();
        }
    },
    /** All: tenants can then learn by timing what others have asked. */
    SHARED {
        @Override
        String scope(Scheduling scheduling) {
            return scheduling.cacheScope().isEmpty() ? "" : "scope " + scheduling.cacheScope();
        }
    },
    /** None: each is computed from its beginning. */
    OFF {
        @Override
        String scope(Scheduling scheduling) {
            return null;
        }
    };

    /** Requests of the same scope may use each other's; null for none. */
    abstract String scope(Scheduling scheduling);
}
