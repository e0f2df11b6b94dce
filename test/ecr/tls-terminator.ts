// Puts TLS with a private CA in front of the ECR double, for tests of CA settings.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { issueServingCertificate } from '../../src/certificates/issue.ts';
import { dayMs, issueTestCa } from '../certificates/test-certificates.ts';

/** A TLS server under the names of AWS, with a CA that nothing trusts by default. */
export interface TlsTerminator {
  readonly url: string;
  /** The file with the CA certificate, for `AWS_CA_BUNDLE`. */
  readonly caFile: string;
  stop(): Promise<void>;
}

/** Starts a TLS server on the loopback that passes what it decrypts on to a plain server. */
export async function startTlsTerminator(
  to: string,
  dnsNames: readonly string[],
  now = Date.now(),
): Promise<TlsTerminator> {
  const ca = await issueTestCa(now);
  const { certPem, keyPem } = await issueServingCertificate({
    ca,
    dnsNames,
    ipAddresses: ['127.0.0.1'],
    now,
    validForMs: dayMs,
  });
  const directory = await mkdtemp(join(tmpdir(), 'tls-front-'));
  const caFile = join(directory, 'ca.crt');
  await writeFile(caFile, ca.certPem);
  const { port: plainPort, hostname } = new URL(to);
  const server = createServer({ cert: certPem, key: keyPem }, (socket) => {
    const onward = connect(Number(plainPort), hostname);
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
    socket.on('close', () => onward.destroy());
    socket.pipe(onward).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}`,
    caFile,
    stop: async () => {
      await new Promise((resolve) => server.close(resolve));
      await rm(directory, { recursive: true });
    },
  };
}
