package dev.polyphon.engine.adapter;

/**
 * One adapter of what a request asks for.
 *
 * @param task which of its tasks, or null
 * @param weight 1 for the adapter as trained
 */
public record AdapterPart(String name, AdapterFolder folder, String task, float weight) {}
