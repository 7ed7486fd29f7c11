package dev.polyphon.server.admin;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polyphon.server.http.Exchange;
import dev.polyphon.server.openai.Fields;
import dev.polyphon.server.openai.Json;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.slf4j.LoggerFactory;

/** What is logged, until the server ends: the least level, of all or of a logger and those below it. */
final class LogLevelAdmin {
    private static final Set<String> WANTED = Set.of("level", "logger");
    private static final List<String> LEVELS = List.of("trace", "debug", "info", "warn", "error", "off");

    private LogLevelAdmin() {}

    /** The level of all, and the loggers that have one of their own. */
    static ObjectNode levels(Exchange exchange) {
        LoggerContext context = context();
        ObjectNode json = JsonNodeFactory.instance.objectNode().put("object", "log_level").put("level", text(root(context).getLevel()));
        ArrayNode loggers = json.putArray("loggers");
        for (Logger logger : context.getLoggerList()) {
            if (logger.getLevel() != null && logger != root(context)) {
                loggers.addObject().put("logger", logger.getName()).put("level", text(logger.getLevel()));
            }
        }
        return json;
    }

    /** A logger without a level has that of the one above it. Only loggers that there are can be named: each that is made stays for ever. */
    static ObjectNode change(Exchange exchange) {
        byte[] body = exchange.request().body();
        Fields fields = new Fields(Json.object(body, 0, body.length)).only(WANTED);
        String name = fields.text("logger");
        String level = fields.text("level");
        if (level == null && name == null) {
            throw Fields.missing("level");
        }
        if (level != null && !LEVELS.contains(level)) {
            throw AdaptersAdmin.invalid("level", "'level' must be one of " + String.join(", ", LEVELS) + ", found '" + level + "'.");
        }
        LoggerContext context = context();
        Logger logger = name == null ? root(context) : context.exists(name);
        if (logger == null) {
            throw AdaptersAdmin.refused(404, "logger", "logger_not_found", "There is no logger '" + name + "': it is named like a class or package that has logged.");
        }
        if (level == null && logger == root(context)) {
            throw Fields.missing("level");
        }
        logger.setLevel(level == null ? null : Level.toLevel(level));
        return levels(exchange);
    }

    private static LoggerContext context() {
        return (LoggerContext) LoggerFactory.getILoggerFactory();
    }

    private static Logger root(LoggerContext context) {
        return context.getLogger(org.slf4j.Logger.ROOT_LOGGER_NAME);
    }

    private static String text(Level level) {
        return level.toString().toLowerCase(Locale.ROOT);
    }
}
