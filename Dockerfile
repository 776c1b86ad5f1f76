# Argus Events as a container image. docs/deployment.md says how to build and run it.
#
#   docker build --tag argus-events .
#   podman build --format docker --tag argus-events .      # the default format of podman has no health check

# Where the program is compiled: needs cargo and a C compiler for linking.
ARG BUILD_IMAGE=docker.io/library/rust:1-slim-bookworm
# Where it runs: needs glibc, as new as that of the build image, and libgcc.
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

# `--build-context program=FOLDER` replaces this stage with a folder that has the same two things: the program `argus`,
# and an empty folder `data`.
FROM ${BUILD_IMAGE} AS program
ARG RUNTIME=tokio
# Features of the program besides the default ones: `postgres` and `mongodb` for events in these databases, `export` for
# exports in Parquet and Arrow.
ARG FEATURES=postgres,mongodb
WORKDIR /source
COPY . .
# The caches are not part of any image. A second build compiles only what has changed.
RUN --mount=type=cache,target=/var/cache/cargo --mount=type=cache,target=/source/target \
    CARGO_HOME=/var/cache/cargo cargo build --release --locked --package "argus-${RUNTIME}" --features "${FEATURES}" \
    && mkdir /data && cp "target/release/argus-${RUNTIME}" /argus

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="Argus Events" \
      org.opencontainers.image.description="Stores events and finds them again, over HTTP" \
      org.opencontainers.image.licenses="MIT"
COPY --from=program /argus /usr/local/bin/argus
# A new volume takes the owner of this folder. The number needs no entry in a file of users.
COPY --from=program --chown=10001:10001 /data /data
USER 10001:10001
# Variables rather than flags, so that the health check finds the same port.
ENV ARGUS_ENDPOINT=0.0.0.0:3000 ARGUS_REPOSITORY=disk:/data
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 CMD ["/usr/local/bin/argus", "health"]
# Without a shell in between, the program is process 1 and gets the signals.
ENTRYPOINT ["/usr/local/bin/argus"]
