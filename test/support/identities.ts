// Decisions about identities, for tests of what uses them.
import {
  type DeniedIdentity,
  defaultIdentity,
  type Identity,
  type IdentityDecision,
} from '../../src/ecr/identity.ts';

/** Another identity than the process's own. */
function createIdentity(fingerprint: string, changes: Partial<Identity> = {}): Identity {
  return { ...defaultIdentity, key: fingerprint, fingerprint, ...changes };
}

/** The decision for an identity. Without a fingerprint, for the process's own. */
export function allow(fingerprint?: string, changes: Partial<Identity> = {}): IdentityDecision {
  const identity = fingerprint === undefined ? defaultIdentity : createIdentity(fingerprint, changes);
  return { access: 'allowed', identity };
}

export const denied: DeniedIdentity = { access: 'denied', rule: 'registries[3]' };

export const unresolved: IdentityDecision = {
  access: 'unresolved',
  code: 'service-account-missing',
  rule: 'registries[1]',
  message: 'ServiceAccount team-a/ecr-pull does not exist, and registries[1].webIdentity needs it',
};
