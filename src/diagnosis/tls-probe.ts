// Connects to a TLS server, and reads the certificates that it presents.
import { isIP } from 'node:net';
import { connect } from 'node:tls';

export interface TlsTarget {
  readonly host: string;
  readonly port: number;
  /** The name for SNI. */
  readonly serverName: string;
}

/** How long a connection may take, in ms. */
const connectTimeoutMs = 5_000;

/** The certificates in DER, the one of the server first, or why there are none. */
export type ProbeResult = { readonly chain: readonly Uint8Array[] } | { readonly problem: ProbeProblem };

type ProbeProblem = 'refused' | 'timeout' | 'unknown-host' | 'no-tls';

/** Verifies nothing, because the caller judges the certificates. Never rejects. */
export async function probeTls(
  { host, port, serverName }: TlsTarget,
  signal: AbortSignal,
): Promise<ProbeResult> {
  return await new Promise((resolve) => {
    const name = isIP(serverName) === 0 ? { servername: serverName } : {};
    const socket = connect({ host, port, ...name, rejectUnauthorized: false, timeout: connectTimeoutMs });
    const finish = (result: ProbeResult) => {
      resolve(result);
      socket.destroy();
    };
    const onAbort = () => finish({ problem: 'timeout' });
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('close', () => signal.removeEventListener('abort', onAbort));
    socket.once('timeout', onAbort);
    socket.once('error', ({ code }: NodeJS.ErrnoException) => finish({ problem: describeError(code) }));
    socket.once('secureConnect', () => finish({ chain: chainOf(socket.getPeerCertificate(true)) }));
    // A connection is not established within the timeout of an idle one if packets are dropped.
    AbortSignal.timeout(connectTimeoutMs).addEventListener('abort', onAbort, { once: true });
  });
}

function describeError(code: string | undefined): ProbeProblem {
  switch (code) {
    case 'ECONNREFUSED':
      return 'refused';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'unknown-host';
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'timeout';
    default:
      return 'no-tls';
  }
}

interface PeerCertificate {
  readonly raw?: Uint8Array;
  readonly issuerCertificate?: PeerCertificate;
}

const maxChainLength = 8;

function chainOf(certificate: PeerCertificate): Uint8Array[] {
  const chain: Uint8Array[] = [];
  const seen = new Set<PeerCertificate>();
  let next: PeerCertificate | undefined = certificate;
  while (next?.raw !== undefined && !seen.has(next) && chain.length < maxChainLength) {
    seen.add(next);
    chain.push(next.raw);
    next = next.issuerCertificate;
  }
  return chain;
}
