package dev.polyphon.server.grpc;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.EnumDescriptor;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Descriptors.ServiceDescriptor;
import dev.polyphon.grpc.reflection.v1.ErrorResponse;
import dev.polyphon.grpc.reflection.v1.FileDescriptorResponse;
import dev.polyphon.grpc.reflection.v1.ListServiceResponse;
import dev.polyphon.grpc.reflection.v1.ServerReflectionRequest;
import dev.polyphon.grpc.reflection.v1.ServerReflectionResponse;
import dev.polyphon.grpc.reflection.v1.ServiceResponse;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * gRPC's <a href="https://github.com/grpc/grpc/blob/master/doc/server-reflection.md">server reflection</a>: what services there are, and the files that
 * declare them. Version v1alpha has the same messages under another name, so that one method answers both.
 */
public final class Reflection {
    static final String V1 = "grpc.reflection.v1.ServerReflection";
    static final String V1_ALPHA = "grpc.reflection.v1alpha.ServerReflection";

    private final List<String> services;
    private final Map<String, FileDescriptor> files = new LinkedHashMap<>();
    private final Map<String, FileDescriptor> symbols = new TreeMap<>();

    private Reflection(List<FileDescriptor> all) {
        all.forEach(this::add);
        services = all.stream().flatMap(file -> file.getServices().stream()).map(ServiceDescriptor::getFullName).toList();
    }

    /** The endpoints of both versions. */
    public static List<GrpcEndpoint> endpoints(List<FileDescriptor> files, int limit) {
        var reflection = new Reflection(files);
        return List.of(V1, V1_ALPHA).stream().map(name -> new GrpcEndpoint(name, limit).method("ServerReflectionInfo", reflection::serve)).toList();
    }

    private void add(FileDescriptor file) {
        if (files.putIfAbsent(file.getName(), file) != null) {
            return;
        }
        file.getDependencies().forEach(this::add);
        file.getMessageTypes().forEach(this::add);
        file.getEnumTypes().forEach(type -> symbols.put(type.getFullName(), file));
        for (ServiceDescriptor service : file.getServices()) {
            symbols.put(service.getFullName(), file);
            service.getMethods().forEach(method -> symbols.put(method.getFullName(), file));
        }
    }

    private void add(Descriptor type) {
        symbols.put(type.getFullName(), type.getFile());
        type.getNestedTypes().forEach(this::add);
        for (EnumDescriptor nested : type.getEnumTypes()) {
            symbols.put(nested.getFullName(), type.getFile());
        }
    }

    private void serve(GrpcCall call) throws IOException {
        for (ServerReflectionRequest request; (request = call.next(ServerReflectionRequest.parser())) != null;) {
            ServerReflectionResponse answer = answer(request);
            call.execute(() -> call.send(answer));
        }
        call.execute(call::finish);
    }

    private ServerReflectionResponse answer(ServerReflectionRequest request) {
        var answer = ServerReflectionResponse.newBuilder().setValidHost(request.getHost()).setOriginalRequest(request);
        switch (request.getMessageRequestCase()) {
            case LIST_SERVICES -> {
                var list = ListServiceResponse.newBuilder();
                services.forEach(name -> list.addService(ServiceResponse.newBuilder().setName(name)));
                answer.setListServicesResponse(list);
            }
            case FILE_BY_FILENAME -> answer(answer, files.get(request.getFileByFilename()), request.getFileByFilename());
            case FILE_CONTAINING_SYMBOL -> answer(answer, symbols.get(request.getFileContainingSymbol()), request.getFileContainingSymbol());
            case FILE_CONTAINING_EXTENSION, ALL_EXTENSION_NUMBERS_OF_TYPE -> error(answer, GrpcStatus.NOT_FOUND, "There are no extensions.");
            case MESSAGEREQUEST_NOT_SET -> error(answer, GrpcStatus.INVALID_ARGUMENT, "The request asks for nothing.");
        }
        return answer.build();
    }

    private static void answer(ServerReflectionResponse.Builder answer, FileDescriptor file, String name) {
        if (file == null) {
            error(answer, GrpcStatus.NOT_FOUND, "There is no '" + name + "'.");
            return;
        }
        var needed = new LinkedHashMap<String, ByteString>();
        collect(file, needed);
        answer.setFileDescriptorResponse(FileDescriptorResponse.newBuilder().addAllFileDescriptorProto(needed.values()));
    }

    private static void collect(FileDescriptor file, Map<String, ByteString> needed) {
        if (needed.putIfAbsent(file.getName(), file.toProto().toByteString()) == null) {
            file.getDependencies().forEach(dependency -> collect(dependency, needed));
        }
    }

    private static void error(ServerReflectionResponse.Builder answer, GrpcStatus status, String message) {
        answer.setErrorResponse(ErrorResponse.newBuilder().setErrorCode(status.ordinal()).setErrorMessage(message));
    }
}
