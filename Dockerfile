# Polyphon in a container: docker build -t polyphon . && docker run -p 8000:8000 -v polyphon-cache:/var/cache/polyphon polyphon
# .ci/docker-stages runs the RUN commands of the first stage, the entry point and the health check without Docker.

FROM maven:3-eclipse-temurin-25 AS build
ARG SRC=/src
ARG OUT=/out
WORKDIR ${SRC}
COPY . ${SRC}
RUN cd "${SRC}" && mvn -B -q -Dmaven.test.skip=true -pl server -am package
RUN jlink --output "${OUT}/java" --strip-debug --no-header-files --no-man-pages --compress zip-6 --generate-cds-archive --add-modules java.base,java.desktop,java.logging,java.management,java.naming,java.net.http,java.security.jgss,java.sql,java.xml,jdk.crypto.ec,jdk.incubator.vector,jdk.jfr,jdk.management,jdk.unsupported,jdk.zipfs
RUN mkdir -p "${OUT}/polyphon" && cp -r "${SRC}/configs" "${SRC}/LICENSE" "${OUT}/polyphon/" && cp -r "${SRC}/server/target/lib" "${SRC}/server/target/polyphon-server.jar" "${OUT}/polyphon/"
# What Java learns of the classes in a rehearsal makes starts quicker; its places may change, its files may not.
RUN "${OUT}/java/bin/java" "@${OUT}/polyphon/configs/jvm.options" "-Dpolyphon.home=${OUT}/polyphon" "-XX:ArchiveClassesAtExit=${OUT}/polyphon/start.jsa" -jar "${OUT}/polyphon/polyphon-server.jar" rehearse

FROM debian:stable-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin polyphon && install -d -o polyphon /var/cache/polyphon
COPY --from=build /out/java /opt/java
COPY --from=build /out/polyphon /opt/polyphon
ENV XDG_CACHE_HOME=/var/cache/polyphon \
    DJL_CACHE_DIR=/var/cache/polyphon/djl \
    POLYPHON_SERVER_HOST=0.0.0.0 \
    POLYPHON_SERVER_PORT=8000
USER polyphon
VOLUME /var/cache/polyphon
EXPOSE 8000
# The first start fetches the base.
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${POLYPHON_SERVER_PORT} && printf 'GET /health/ready HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/java/bin/java", "@/opt/polyphon/configs/jvm.options", "-Dpolyphon.home=/opt/polyphon", "-XX:SharedArchiveFile=/opt/polyphon/start.jsa", "-jar", "/opt/polyphon/polyphon-server.jar"]
CMD ["serve"]
