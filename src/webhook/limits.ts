// Bounds of the memory and time that one client, and all clients together, can use. Sized for the chart's memory limit of 256 MiB.

const KiB = 1024;
const MiB = 1024 * KiB;

/**
 * Maximum size of a body. The API server accepts objects of at most 3 MiB (`MaxRequestBodyBytes` in k8s.io/apiserver
 * pkg/server/config.go: twice etcd's default limit of 1.5 MiB). A CREATE has one object, an UPDATE has two, plus the envelope
 * and the managed fields. controller-runtime accepts 7 MiB as well (`maxRequestSize`).
 */
export const maxBodyBytes = 7 * MiB;

/**
 * The part of a body that each connection may always hold: one TLS record. Most reviews are smaller. Larger bodies are counted,
 * and one is parsed in each turn of the event loop.
 */
export const smallBodyBytes = 16 * KiB;

/** Maximum size of all bodies above `smallBodyBytes` that are being received. */
export const maxBytesInFlight = 16 * MiB;

/** After this time, an incomplete body is rejected when `maxBytesInFlight` is reached, in ms. */
export const slowBodyMs = 1_000;

/**
 * Maximum number of JSON values in a body above `smallBodyBytes`. A pod with 100 containers of 100 variables each has 30,000,
 * and about as many in its managed fields. Parsing 60,000 values takes at most 90 ms and 15 MiB (measured with distinct keys,
 * the worst case). Parsing 7 MiB of `{}` would take 2.3 s and exceed the memory limit.
 */
export const maxJsonValues = 60_000;

/** Maximum number of hosts of one pod that are ensured: the upper bound of `secrets.maxHosts`. */
export const maxHostsPerPod = 250;

/**
 * Maximum number of hosts that are being ensured, also after the response: for all namespaces, and for one. Each uses about
 * 1 KiB.
 */
export const maxPendingHosts = 20_000;
export const maxPendingHostsPerNamespace = 2_000;

/** Maximum length of a name in Kubernetes (RFC 1123 subdomain). The uid of a review is shorter. */
export const maxNameLength = 253;

/**
 * A handshake takes 1 to 2 ms of CPU time, mainly for the signature when the client's first message is read. All handshakes in
 * progress can reach that point at once, which takes a tenth of a second.
 */
export const handshakeLimits = {
  maxStartsPerTick: 16,
  maxInProgress: 48,
  maxWaitMs: 500,
  maxWaitSameClientMs: 3_000,
};

/** Timeouts for a TLS handshake, for the headers of a request, and for a whole request, in ms. */
export const handshakeTimeoutMs = 5_000;
export const headersTimeoutMs = 10_000;
export const requestTimeoutMs = 10_000;

/** How often Node checks for connections that exceed these timeouts, in ms. */
export const timeoutCheckIntervalMs = 1_000;

/** Maximum size of the headers. The API server sends less than 1 KiB, or up to 8 KiB with a bearer token. */
export const maxHeaderBytes = 16 * KiB;

/** Maximum number of connections of the status port. Probes and Prometheus use one each at a time. */
export const maxStatusConnections = 64;
