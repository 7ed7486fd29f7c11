/**
 * Who may use the server, which of its models and adapters, and how much of it: keys, limits, and the count of what was used.
 *
 * <p>A {@link dev.polyphon.server.tenant.Gate} before the routes finds out who asks and what that one may still ask for; a
 * {@link dev.polyphon.server.tenant.GovernedRuntime} before the runtime holds every protocol's requests to the tenant's adapters, models and tokens, and
 * counts what they take. Both look at the tenant's {@link dev.polyphon.server.tenant.Account}. What must outlive the process is in a
 * {@link dev.polyphon.server.tenant.Store}.
 */
package dev.polyphon.server.tenant;
