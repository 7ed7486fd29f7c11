package dev.polyphon.server.models;

import java.net.ConnectException;
import java.net.UnknownHostException;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpTimeoutException;
import java.nio.channels.UnresolvedAddressException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;

/** What an exception of the library means in plain words: many of its messages are empty or name a path alone. */
final class Reasons {
    private Reasons() {}

    static String of(Throwable e) {
        return switch (e) {
            case NoSuchFileException _ -> "there is no such file";
            case AccessDeniedException _ -> "permission denied";
            case FileSystemException f when f.getReason() != null -> f.getReason();
            case UnknownHostException _ -> "the host's name does not resolve";
            case HttpConnectTimeoutException _ -> "no connection in time";
            case HttpTimeoutException _ -> "no answer in time";
            case ConnectException c -> connecting(c);
            default -> e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
        };
    }

    // The HTTP client hides a failed look-up inside one or two ConnectExceptions without a message.
    private static String connecting(ConnectException e) {
        for (Throwable cause = e; cause != null; cause = cause.getCause()) {
            if (cause instanceof UnresolvedAddressException || cause instanceof UnknownHostException) {
                return "the host's name does not resolve";
            }
        }
        return e.getMessage() == null ? "connection refused" : "cannot connect: " + e.getMessage();
    }
}
