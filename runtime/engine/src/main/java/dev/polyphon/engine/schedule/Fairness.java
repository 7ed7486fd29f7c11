package dev.polyphon.engine.schedule;

import dev.polyphon.runtime.AdapterWeight;
import java.util.List;
import java.util.stream.Collectors;

/** Among whom the machine is shared out. */
public enum Fairness {
    /** Among tenants, by their shares. */
    TENANT {
        @Override
        String client(String tenant, List<AdapterWeight> adapters) {
            return tenant;
        }
    },
    /** Among each tenant's adapters, each with the tenant's share: for servers whose callers are told apart by their adapters. */
    ADAPTER {
        @Override
        String client(String tenant, List<AdapterWeight> adapters) {
            return adapters.stream().map(AdapterWeight::name).collect(Collectors.joining("\n", tenant + "\n", ""));
        }
    },
    /** Among nobody: first come, first served, but for priorities and deadlines. */
    NONE {
        @Override
        String client(String tenant, List<AdapterWeight> adapters) {
            return "";
        }
    };

    /** Whom a request's service is counted to. */
    abstract String client(String tenant, List<AdapterWeight> adapters);
}
