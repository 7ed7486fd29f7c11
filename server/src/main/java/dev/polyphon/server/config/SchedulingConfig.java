package dev.polyphon.server.config;

import java.time.Duration;

/**
 * Who is served when.
 *
 * @param fairness among whom the machine is shared out: tenant, adapter or none
 * @param outputPrice what a token of output counts in that, one of a prompt being 1
 * @param maxWait longest time in the queue; 0 for as long as it takes
 * @param tenantQueueLimit most sequences of one tenant waiting and running, beyond which its requests are refused
 * @param prefixCache which requests may use what was computed for the beginning of others: tenant, shared or off
 * @param tokenTime longest a step should take in which sequences go on and prompts are read; 0 for any
 * @param clusterTime a request is passed by those of its tenant that came so much later, if their adapter runs already; 0 for none
 */
public record SchedulingConfig(String fairness, int outputPrice, Duration maxWait, int tenantQueueLimit, String prefixCache,
        Duration tokenTime, Duration clusterTime) {}
