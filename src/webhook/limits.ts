// What one caller, and all callers together, can make the process hold. The numbers fit the chart's memory limit, 256 MiB.

const KiB = 1024;
const MiB = 1024 * KiB;

/**
 * The largest body. The API server accepts objects of at most 3 MiB (`MaxRequestBodyBytes` in k8s.io/apiserver
 * pkg/server/config.go: twice etcd's default limit of 1.5 MiB for what is stored). A CREATE carries one object, an UPDATE
 * two, plus the envelope and the managed fields. controller-runtime accepts the same 7 MiB (`maxRequestSize`).
 */
export const maxBodyBytes = 7 * MiB;

/**
 * What each connection may hold of a body without asking: one TLS record. Reviews of most pods have less. Larger ones are counted,
 * and parsed one in each turn of the event loop.
 */
export const smallBodyBytes = 16 * KiB;

/** What all bodies above `smallBodyBytes` that are being received may hold together. */
export const maxBytesInFlight = 16 * MiB;

/** A body that still is incomplete after this time makes room for others when `maxBytesInFlight` is reached, in ms. */
export const slowBodyMs = 1_000;

/**
 * The most JSON values in a body above `smallBodyBytes`. A pod with 100 containers of 100 variables each has 30,000, and
 * about as many in its managed fields. Parsing this many takes at most 90 ms and 15 MiB (measured with 60,000 distinct keys,
 * the worst case); 7 MiB of `{}` would take 2.3 s and more memory than there is.
 */
export const maxJsonValues = 60_000;

/** The most hosts of one pod that are looked at: no Secret holds more (`secrets.maxHosts`). */
export const maxHostsPerPod = 250;

/**
 * Hosts for which reviews wait, or whose work goes on after the answer: of all namespaces, and of one. Each holds about 1 KiB.
 */
export const maxPendingHosts = 20_000;
export const maxPendingHostsPerNamespace = 2_000;

/** The longest name that Kubernetes gives to anything (RFC 1123 subdomain); a review's uid is shorter. */
export const maxNameLength = 253;

/**
 * Handshakes take 1 to 2 ms of CPU, most of it for the signature when the client's first message is read. All that are in
 * progress can reach that point at once, which then takes a tenth of a second.
 */
export const handshakeLimits = { maxStartsPerTick: 16, maxInProgress: 48, maxWaitMs: 500 };

/** For a TLS handshake to complete, for the headers of a request, and for a whole request to come in, in ms. */
export const handshakeTimeoutMs = 5_000;
export const headersTimeoutMs = 10_000;
export const requestTimeoutMs = 10_000;

/** How often Node looks for connections that exceed these times, in ms. */
export const timeoutCheckMs = 1_000;

/** The API server sends less than 1 KiB of headers; with a client's bearer token, up to 8 KiB. */
export const maxHeaderBytes = 16 * KiB;

/** Connections of the status port. Probes and Prometheus use one each at a time. */
export const maxStatusConnections = 64;
