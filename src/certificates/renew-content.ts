import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { Authority } from './ca-bundle.ts';
import type { Step } from './certificate-policy.ts';
import type { Content, Stored } from './certificate-secret.ts';
import { issueAuthority, issueServing } from './issue.ts';
import type { PemPair } from './key-pair.ts';

/** How certificates are made. */
export interface MakingRules {
  /** DNS names and IP addresses of the serving certificate. */
  readonly names: readonly string[];
  readonly authorityLifeMs: number;
  readonly leafLifeMs: number;
}

type MakingStep = Exclude<Step, { readonly action: 'publish' | 'nothing' }>;

/** What a step is made from. */
export interface MakingFrom {
  readonly stored: Stored | undefined;
  /** The certificate in this process's memory. */
  readonly served: PemPair | undefined;
  /** Every CA that a step may want to keep, by id. */
  readonly known: ReadonlyMap<string, Authority>;
}

/** Makes what the Secret is to hold after a step. */
export async function contentAfter(
  step: MakingStep,
  { stored, served, known }: MakingFrom,
  rules: MakingRules,
  now: number,
): Promise<Content> {
  const [newest] = stored?.authorities ?? [];
  const old = 'keep' in step ? step.keep.flatMap((id) => known.get(id) ?? []) : [];
  switch (step.action) {
    case 'create': {
      const made = await newAuthority(rules, now);
      const leaf = await newLeaf(made, rules.names, rules, now);
      return { authorities: [made, ...old], authorityKeyPem: made.keyPem, leaf };
    }
    case 'new-authority':
    case 'recover': {
      const made = await newAuthority(rules, now);
      const leaf = step.action === 'recover' && served !== undefined ? served : leafOf(stored);
      return { authorities: [made, ...old], authorityKeyPem: made.keyPem, leaf };
    }
    case 'restore-leaf':
      return { ...kept(stored), leaf: served ?? leafOf(stored) };
    case 'drop-old-authority':
      return { ...kept(stored), authorities: newest === undefined ? old : [newest, ...old] };
    case 'reissue-leaf': {
      const { authorities, authorityKeyPem } = kept(stored);
      const authority = { certPem: newest?.certPem ?? '', keyPem: authorityKeyPem };
      const names = step.reason === 'leaf-lacks-names' ? unionOfNames(stored, rules) : rules.names;
      return { authorities, authorityKeyPem, leaf: await newLeaf(authority, names, rules, now) };
    }
  }
}

/** Each CA has a name of its own, so that nobody takes one for the other. */
function newAuthority({ authorityLifeMs }: MakingRules, now: number): Promise<PemPair> {
  const commonName = `ecr-pull-secrets ${randomBytes(4).toString('hex')}`;
  return issueAuthority({ commonName, now, validForMs: authorityLifeMs });
}

function newLeaf(authority: PemPair, names: readonly string[], { leafLifeMs }: MakingRules, now: number) {
  return issueServing({
    authority,
    dnsNames: names.filter((name) => isIP(name) === 0),
    ipAddresses: names.filter((name) => isIP(name) !== 0),
    now,
    validForMs: leafLifeMs,
  });
}

/** While replicas of two configurations run side by side, each has to find its names; the next renewal drops the old. */
function unionOfNames(stored: Stored | undefined, { names }: MakingRules): string[] {
  const { dnsNames = [], ipAddresses = [] } = stored?.leaf?.pair ?? {};
  return [...new Set([...names, ...dnsNames, ...ipAddresses])];
}

function leafOf(stored: Stored | undefined): PemPair {
  return stored?.leaf?.pair ?? { certPem: '', keyPem: '' };
}

function kept(stored: Stored | undefined): Content {
  const { authorities = [], authorityKeyPem = '' } = stored ?? {};
  return { authorities, authorityKeyPem, leaf: leafOf(stored) };
}
