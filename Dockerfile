# The bundle is the same on every architecture, so it is built on the builder's own.
FROM --platform=$BUILDPLATFORM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json build.ts ./
COPY src ./src
RUN npm run bundle

# No shell, no package manager; `nonroot` is user 65532.
FROM gcr.io/distroless/nodejs24-debian12:nonroot
WORKDIR /app
COPY --from=build /app/dist/main.mjs /app/dist/main.mjs.LEGAL.txt ./
COPY LICENSE ./
# One arena: else glibc gives threads memory of their own, here 8 to 16 MB.
# 16 threads: libuv lets only half of them look up host names, and a lookup whose DNS server does not respond keeps its thread.
ENV NODE_ENV=production MALLOC_ARENA_MAX=1 UV_THREADPOOL_SIZE=16
USER 65532:65532
EXPOSE 8443 8080
# The base image's entry point is node itself. Nothing is written: the root file system may be read-only.
# In 256 MiB Node would take 1 MB for young objects, pass far more than that on to the old ones, and stop for these.
# Old objects get half of the container's memory limit, whatever it is; the rest is for TLS, request bodies and the program
# itself. By default V8 would let the heap grow to the whole limit and the kernel would end the process first.
ENTRYPOINT ["/nodejs/bin/node", "--max-semi-space-size=4", "--max-old-space-size-percentage=50", "/app/main.mjs"]
CMD ["serve", "--config", "/etc/ecr-pull-secrets/config.yaml"]
