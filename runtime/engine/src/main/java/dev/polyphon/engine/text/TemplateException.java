package dev.polyphon.engine.text;

/** A chat template that cannot be rendered, or that refuses the conversation; the message is meant for who sent it. */
public final class TemplateException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public TemplateException(String message) {
        super(message);
    }
}
