// Issues the certificates of a rotation step and returns the new content of the Secret.
import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { CaCertificate } from './ca-bundle.ts';
import type { Step } from './certificate-policy.ts';
import type { SecretContent, StoredCertificates } from './certificate-secret.ts';
import { issueCaCertificate, issueServingCertificate } from './issue.ts';
import type { PemKeyPair } from './key-pair.ts';

/** Names and lifetimes of the certificates to issue. */
export interface IssueRules {
  /** DNS names and IP addresses of the serving certificate. */
  readonly names: readonly string[];
  readonly caLifetimeMs: number;
  readonly certificateLifetimeMs: number;
}

type IssueStep = Exclude<Step, { readonly action: 'publish-ca-bundle' | 'none' }>;

/** The certificates that a step reuses. */
export interface IssueContext {
  readonly stored: StoredCertificates | undefined;
  /** The certificate that this process serves, if any. */
  readonly served: PemKeyPair | undefined;
  /** Id → each CA that a step may keep. */
  readonly known: ReadonlyMap<string, CaCertificate>;
}

/** Executes a step: issues what it needs and returns the content to write to the Secret. */
export async function issueContent(
  step: IssueStep,
  { stored, served, known }: IssueContext,
  rules: IssueRules,
  now: number,
): Promise<SecretContent> {
  const [newest] = stored?.caCertificates ?? [];
  const old = 'keep' in step ? step.keep.flatMap((id) => known.get(id) ?? []) : [];
  switch (step.action) {
    case 'create': {
      const ca = await issueNewCa(rules, now);
      const servingCertificate = await issueNewServingCertificate(ca, rules.names, rules, now);
      return { caCertificates: [ca, ...old], caKeyPem: ca.keyPem, servingCertificate };
    }
    case 'issue-ca':
    case 'issue-ca-and-restore-certificate': {
      const ca = await issueNewCa(rules, now);
      const servingCertificate =
        step.action === 'issue-ca-and-restore-certificate' && served !== undefined
          ? served
          : getStoredKeyPair(stored);
      return { caCertificates: [ca, ...old], caKeyPem: ca.keyPem, servingCertificate };
    }
    case 'restore-certificate':
      return { ...copyStored(stored), servingCertificate: served ?? getStoredKeyPair(stored) };
    case 'remove-old-ca':
      return { ...copyStored(stored), caCertificates: newest === undefined ? old : [newest, ...old] };
    case 'reissue-certificate': {
      const { caCertificates, caKeyPem } = copyStored(stored);
      const ca = { certPem: newest?.certPem ?? '', keyPem: caKeyPem };
      const names =
        step.reason === 'serving-certificate-names-missing' ? mergeNames(stored, rules) : rules.names;
      return {
        caCertificates,
        caKeyPem,
        servingCertificate: await issueNewServingCertificate(ca, names, rules, now),
      };
    }
  }
}

/** Issues a CA with a unique name, so that CAs can be distinguished. */
function issueNewCa({ caLifetimeMs }: IssueRules, now: number): Promise<PemKeyPair> {
  const commonName = `ecr-pull-secrets ${randomBytes(4).toString('hex')}`;
  return issueCaCertificate({ commonName, now, validForMs: caLifetimeMs });
}

function issueNewServingCertificate(
  ca: PemKeyPair,
  names: readonly string[],
  { certificateLifetimeMs }: IssueRules,
  now: number,
) {
  return issueServingCertificate({
    ca,
    dnsNames: names.filter((name) => isIP(name) === 0),
    ipAddresses: names.filter((name) => isIP(name) !== 0),
    now,
    validForMs: certificateLifetimeMs,
  });
}

/**
 * Returns the configured names and those of the stored certificate. While replicas with two configurations run side by side,
 * the certificate needs the names of both; the next renewal drops the old names.
 */
function mergeNames(stored: StoredCertificates | undefined, { names }: IssueRules): string[] {
  const { dnsNames = [], ipAddresses = [] } = stored?.servingCertificate?.keyPair ?? {};
  return [...new Set([...names, ...dnsNames, ...ipAddresses])];
}

function getStoredKeyPair(stored: StoredCertificates | undefined): PemKeyPair {
  return stored?.servingCertificate?.keyPair ?? { certPem: '', keyPem: '' };
}

function copyStored(stored: StoredCertificates | undefined): SecretContent {
  const { caCertificates = [], caKeyPem = '' } = stored ?? {};
  return { caCertificates, caKeyPem, servingCertificate: getStoredKeyPair(stored) };
}
