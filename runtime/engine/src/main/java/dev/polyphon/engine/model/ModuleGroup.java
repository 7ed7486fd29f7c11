package dev.polyphon.engine.model;

import dev.polyphon.engine.backend.Projection;
import java.util.List;

/**
 * Linear modules of one layer that read the same input, with the buffers they write.
 *
 * @param index numbers the groups of a decoder
 * @param expert which of a mixture's experts they belong to; -1 for none
 * @param projections one for each module, in the same order
 */
record ModuleGroup(int index, int layer, int expert, List<Module> modules, List<Projection> projections) {}
