package dev.polyphon.engine.adapter;

/**
 * A bottleneck after a layer's MLP, as a hypernetwork generated it.
 *
 * @param down [bottleneck, hidden]
 * @param up [hidden, bottleneck]
 * @param normWeight and bias of the layer norm before it; null for none
 * @param activation its name
 */
public record GeneratedBottleneck(Matrix down, Matrix up, float[] normWeight, float[] normBias, String activation) {}
