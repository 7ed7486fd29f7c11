package dev.polyphon.runtime;

import java.util.Map;
import java.util.Objects;
import java.util.Set;

/**
 * Which adapters to list. A tenant sees its own and the shared ones; of those with the same name only its own, since that is what it gets.
 *
 * @param tenant whose view; null for all owners'
 * @param owner only this owner's; null for every owner in view
 * @param prefix what names begin with; empty for all
 * @param labels what their labels must hold; empty for all
 * @param tiers where they must be; empty for anywhere
 * @param failed only those that cannot be used at the moment
 * @param deleted the removed ones that can still be restored, instead of those in service
 * @param limit most entries of a page, at least 1
 * @param token where to go on: {@link AdapterPage#next} of the page before; null for the beginning
 */
public record AdapterQuery(String tenant, String owner, String prefix, Map<String, String> labels, Set<AdapterTier> tiers, boolean failed,
        boolean deleted, int limit, String token) {

    public AdapterQuery {
        Objects.requireNonNull(prefix);
        labels = Map.copyOf(labels);
        tiers = Set.copyOf(tiers);
        if (limit < 1) {
            throw RuntimeFault.invalid("limit", "limit must be 1 or more, found " + limit);
        }
    }

    /** The first page of all adapters of all owners. */
    public static AdapterQuery all(int limit) {
        return new AdapterQuery(null, null, "", Map.of(), Set.of(), false, false, limit, null);
    }

    /** The first page of what a tenant may use. */
    public static AdapterQuery visibleTo(String tenant, int limit) {
        return new AdapterQuery(tenant, null, "", Map.of(), Set.of(), false, false, limit, null);
    }

    public AdapterQuery from(String token) {
        return new AdapterQuery(tenant, owner, prefix, labels, tiers, failed, deleted, limit, token);
    }
}
