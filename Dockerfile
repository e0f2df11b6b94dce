# Builds the bundle on the builder's own platform, because the bundle is the same on every architecture.
FROM --platform=$BUILDPLATFORM docker.io/library/node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The bundler needs no install script, so that no package runs code here before it is bundled.
RUN npm ci --ignore-scripts
COPY tsconfig.json build.ts ./
COPY build ./build
COPY src ./src
RUN npm run bundle

# The base image has no shell and no package manager. `nonroot` is user 65532.
FROM gcr.io/distroless/nodejs24-debian12:nonroot
WORKDIR /app
COPY --from=build /app/dist/main.mjs /app/dist/main.mjs.LEGAL.txt /app/dist/THIRD-PARTY-LICENSES ./
COPY LICENSE ./
# Runs a command beside the server: kubectl exec deploy/ecr-pull-secrets -- ecr-pull-secrets doctor
COPY --chmod=0755 image/ecr-pull-secrets /usr/local/bin/
# MALLOC_ARENA_MAX: with more arenas, glibc allocates separate memory for each thread, here 8 to 16 MB.
# UV_THREADPOOL_SIZE: libuv resolves host names on at most half of these threads, and a lookup whose DNS server does not respond
# occupies its thread.
ENV NODE_ENV=production MALLOC_ARENA_MAX=1 UV_THREADPOOL_SIZE=16
USER 65532:65532
EXPOSE 8443 8080
# The program writes no files, so the root file system may be read-only.
# --max-semi-space-size: with 256 MiB, Node.js would reserve 1 MB for young objects and promote many of them, which causes long
# garbage collections.
# --max-old-space-size-percentage: the heap may grow to half of the container's memory limit. The rest is for TLS, request bodies and
# the program itself. By default, V8 lets the heap grow to the whole limit, so that the kernel kills the process first.
ENTRYPOINT ["/nodejs/bin/node", "--max-semi-space-size=4", "--max-old-space-size-percentage=50", "/app/main.mjs"]
CMD ["serve", "--config", "/etc/ecr-pull-secrets/config.yaml"]
