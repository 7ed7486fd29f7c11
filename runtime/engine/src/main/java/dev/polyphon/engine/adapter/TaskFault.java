package dev.polyphon.engine.adapter;

/** An adapter that is as it should be was asked for a task that it has not, or for none of those it has: the mistake of the one who asks. */
public final class TaskFault extends AdapterFault {
    private static final long serialVersionUID = 1;

    public TaskFault(String message) {
        super(message);
    }
}
