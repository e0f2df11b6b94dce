// Gets the certificate that the webhook serves: by a connection, or from the Secret that stores it.
import { splitPem } from '../certificates/ca-bundle.ts';
import { KubeError } from '../kube/errors.ts';
import { createSecretApi } from '../kube/secrets.ts';
import type { Installation } from './installation.ts';
import { type ProbeResult, probeTls } from './tls-probe.ts';
import type { CalledTarget } from './webhook-facts.ts';

/** The certificate of the webhook, or why it is not known. */
export type FoundCertificate =
  | { readonly chain: readonly (string | Uint8Array)[]; readonly source: string; readonly serverName: string }
  | { readonly unknownBecause: string };

/** Connects to the target of the webhook. From outside of the cluster, a Service cannot be reached. */
export async function probeTarget(
  target: CalledTarget,
  { viewpoint }: Pick<Installation, 'viewpoint'>,
  signal: AbortSignal,
): Promise<ProbeResult | undefined> {
  if (target.kind === 'service' && viewpoint === 'outside') {
    return undefined;
  }
  return await probeTls({ ...addressOf(target), serverName: serverNameOf(target) }, signal);
}

/** The name that the API server verifies. */
function serverNameOf(target: CalledTarget): string {
  return target.kind === 'url' ? hostOf(new URL(target.url)) : `${target.name}.${target.namespace}.svc`;
}

function addressOf(target: CalledTarget): { host: string; port: number } {
  if (target.kind === 'service') {
    return { host: serverNameOf(target), port: target.port };
  }
  const url = new URL(target.url);
  return { host: hostOf(url), port: Number(url.port || 443) };
}

/** An IPv6 address without brackets. */
function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '');
}

/**
 * @param probe the result of {@link probeTarget}
 * @param tlsSecret the Secret that the pods mount; undefined if it is not known
 */
export async function findCertificate(
  target: CalledTarget,
  probe: ProbeResult | undefined,
  tlsSecret: string | undefined,
  { cluster, config, namespace }: Installation,
): Promise<FoundCertificate> {
  const serverName = serverNameOf(target);
  if (probe !== undefined && 'chain' in probe) {
    const where = target.kind === 'url' ? target.url : serverName;
    return { chain: probe.chain, source: `the certificate that ${where} serves`, serverName };
  }
  const name = tlsSecret ?? config.certificates.secretName;
  const of = target.kind === 'service' ? target.namespace : namespace;
  if (of === undefined) {
    return { unknownBecause: 'the namespace of the installation is not known' };
  }
  const how = probe === undefined ? '' : `the webhook does not respond from here (${probe.problem}), and `;
  try {
    const secret = await createSecretApi(cluster).read(of, name);
    const certificate = secret?.data?.['tls.crt'];
    return certificate === undefined
      ? { unknownBecause: `${how}Secret ${of}/${name} has no tls.crt` }
      : {
          chain: splitPem(Buffer.from(certificate, 'base64').toString()),
          source: `the certificate in Secret ${of}/${name}`,
          serverName,
        };
  } catch (error) {
    if (error instanceof KubeError && error.code === 'forbidden') {
      return { unknownBecause: `${how}Secret ${of}/${name} may not be read (verb get, resource secrets)` };
    }
    throw error;
  }
}
