package dev.polyphon.runtime;

/** Between texts and the token ids of one model. Its methods may be called from any thread, and compute: not for a thread that must not. */
public interface TextCodec {

    /**
     * The ids that the model reads of a prompt.
     *
     * @throws RuntimeFault when there is no tokenizer, or no chat template for a conversation, or the template refuses it
     */
    int[] encode(Prompt prompt);

    /**
     * The text of ids, special tokens written out.
     *
     * @throws RuntimeFault when there is no tokenizer
     */
    String decode(int[] ids);
}
