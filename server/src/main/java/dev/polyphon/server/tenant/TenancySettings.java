package dev.polyphon.server.tenant;

import java.nio.file.Path;

/**
 * Whether there are tenants.
 *
 * @param store folder of the tenants' store; null for a server that serves anyone
 * @param openMetrics whether the metrics, which name tenants, can be read without a key
 * @param jwt whose tokens are taken beside keys
 */
public record TenancySettings(Path store, boolean openMetrics, JwtSettings jwt) {}
