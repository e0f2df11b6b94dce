import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { CaCertificate } from './ca-bundle.ts';
import type { Step } from './certificate-policy.ts';
import type { SecretContent, StoredCertificates } from './certificate-secret.ts';
import { issueCaCertificate, issueServingCertificate } from './issue.ts';
import type { PemKeyPair } from './key-pair.ts';

/** How certificates are made. */
export interface IssueRules {
  /** DNS names and IP addresses of the serving certificate. */
  readonly names: readonly string[];
  readonly caLifetimeMs: number;
  readonly certificateLifetimeMs: number;
}

type IssueStep = Exclude<Step, { readonly action: 'publish' | 'nothing' }>;

/** What a step is made from. */
export interface IssueContext {
  readonly stored: StoredCertificates | undefined;
  /** The certificate in this process's memory. */
  readonly served: PemKeyPair | undefined;
  /** Every CA that a step may want to keep, by id. */
  readonly known: ReadonlyMap<string, CaCertificate>;
}

/** Makes what the Secret is to hold after a step. */
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
      const made = await issueNewCa(rules, now);
      const servingCertificate = await issueNewServingCertificate(made, rules.names, rules, now);
      return { caCertificates: [made, ...old], caKeyPem: made.keyPem, servingCertificate };
    }
    case 'new-authority':
    case 'recover': {
      const made = await issueNewCa(rules, now);
      const servingCertificate =
        step.action === 'recover' && served !== undefined ? served : getStoredKeyPair(stored);
      return { caCertificates: [made, ...old], caKeyPem: made.keyPem, servingCertificate };
    }
    case 'restore-leaf':
      return { ...copyStored(stored), servingCertificate: served ?? getStoredKeyPair(stored) };
    case 'drop-old-authority':
      return { ...copyStored(stored), caCertificates: newest === undefined ? old : [newest, ...old] };
    case 'reissue-leaf': {
      const { caCertificates, caKeyPem } = copyStored(stored);
      const ca = { certPem: newest?.certPem ?? '', keyPem: caKeyPem };
      const names = step.reason === 'leaf-lacks-names' ? mergeNames(stored, rules) : rules.names;
      return {
        caCertificates,
        caKeyPem,
        servingCertificate: await issueNewServingCertificate(ca, names, rules, now),
      };
    }
  }
}

/** Each CA has a name of its own, so that nobody takes one for the other. */
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

/** While replicas of two configurations run side by side, each has to find its names; the next renewal drops the old. */
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
