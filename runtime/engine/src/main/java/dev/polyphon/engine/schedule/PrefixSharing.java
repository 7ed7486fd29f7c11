package dev.polyphon.engine.schedule;

import dev.polyphon.runtime.Scheduling;

/** Which requests may use what was computed for the beginning of others. */
public enum PrefixSharing {
    /** Those of the same tenant. */
    TENANT {
        @Override
        String ownScope(String tenant) {
            return "tenant " + tenant;
        }
    },
    /** All: tenants can then learn by timing what others have asked. */
    SHARED {
        @Override
        String ownScope(String tenant) {
            return "all";
        }
    },
    /** None: each is computed from its beginning. */
    OFF {
        @Override
        String ownScope(String tenant) {
            return null;
        }
    };

    /** The scope of a tenant's requests that do not name one; null for none. */
    abstract String ownScope(String tenant);

    /** Requests of the same scope may use each other's; null for one that uses none and leaves none. */
    final String scope(Scheduling scheduling) {
        if (this == OFF || scheduling.cacheScope().equals(Scheduling.UNCACHED)) {
            return null;
        }
        return scheduling.cacheScope().isEmpty() ? ownScope(scheduling.tenant()) : "scope " + scheduling.cacheScope();
    }
}
