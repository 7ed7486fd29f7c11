package dev.polyphon.server.tenant;

import java.time.Instant;

/**
 * Something that an operator did, or tried to.
 *
 * @param key of whom ({@link Caller#key})
 * @param remote from where
 * @param action method and path; never a body, in which there may be secrets
 * @param status of the answer; 0 when the client left before it
 */
public record AuditEntry(Instant time, String tenant, String key, String remote, String action, int status) {}
