package dev.polyphon.engine.weights;

import java.util.Collection;
import java.util.Optional;

/**
 * Named tensors in one or more mapped files. Everything is checked when the file is opened, so a tensor's name, type, shape and bytes can be
 * trusted to agree; every dimension fits an {@code int}. Bytes are not copied to the heap and may stand at any address, so read them with
 * unaligned layouts.
 *
 * <p>Any thread may read. The file must not be closed while anyone still uses its tensors: their memory is unmapped, and a later access throws
 * {@link IllegalStateException}.
 */
public interface TensorFile extends AutoCloseable {

    /** All tensors, in the file's order. */
    Collection<TensorView> tensors();

    Optional<TensorView> find(String name);

    /** Unmaps the file. Closing again does nothing. */
    @Override
    void close();
}
