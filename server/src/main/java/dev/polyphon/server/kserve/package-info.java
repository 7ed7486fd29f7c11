/**
 * KServe's <a href="https://github.com/kserve/open-inference-protocol">Open Inference Protocol</a> (v2) with Triton's extensions, by REST and gRPC: the
 * same engine for Triton's clients. A base model or an adapter is a model; its tensors are those of Triton's vLLM backend.
 */
package dev.polyphon.server.kserve;
