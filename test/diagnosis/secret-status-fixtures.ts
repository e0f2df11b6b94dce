// States of pull Secrets and of their hosts, for the tests of what is reported about them.
import {
  type HostState,
  type HostStatus,
  hostStates,
  type SecretStatus,
} from '../../src/diagnosis/secret-states.ts';

/** A host without a token, for which the identity of the program applies. */
export function hostStatus(state: HostState, changes: Partial<HostStatus> = {}): HostStatus {
  return {
    ...{ host: '123456789012.dkr.ecr.eu-central-1.amazonaws.com', state, identity: { kind: 'own' } },
    ...{ issuedAt: undefined, expiresAt: undefined, waitingSince: undefined, error: undefined },
    ...changes,
  };
}

/** A Secret that the program manages. */
export function secretStatus(
  namespace: string,
  hosts: readonly HostStatus[],
  changes: Partial<SecretStatus> = {},
): SecretStatus {
  return { namespace, condition: 'managed', detail: undefined, isFull: false, hosts, ...changes };
}

/** The number of hosts in each state. */
export function countStates(hosts: readonly { readonly state: HostState }[]): Record<HostState, number> {
  return Object.fromEntries(
    hostStates.map((state) => [state, hosts.filter((one) => one.state === state).length]),
  ) as Record<HostState, number>;
}
