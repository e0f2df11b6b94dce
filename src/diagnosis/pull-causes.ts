// Determines why a pod cannot pull an image: from its reference, from the pull Secret, and from what the kubelet reports. Pure.
import type { Decision } from '../injection/decision.ts';
import type { PullFailure } from './pull-failures.ts';
import { findHost, lacksToken, type SecretStatus } from './secret-states.ts';

/** Why an image cannot be pulled. */
export type PullCause =
  /** The pod has no reference to the pull Secret, although it would get one now. */
  | 'no-reference'
  /** The pod gets no reference or no token, because it, its namespace or the registry is excluded, or a rule denies the token. */
  | 'excluded'
  /** The pod has the reference, and the Secret has no valid token for the host, or another content than the program wrote. */
  | 'no-token'
  /** The token arrived a moment ago, and the kubelet has not tried again. */
  | 'retrying'
  /** The token is valid, and the registry refuses the pull. */
  | 'refused'
  | 'not-found'
  | 'wrong-platform'
  | 'unreachable'
  | 'throttled'
  /** The kubelet does not say, and the token is valid. */
  | 'unexplained'
  /** The Secrets could not be read, so it is not known whether there is a token. */
  | 'unknown-token';

export interface PullFacts {
  readonly failure: PullFailure;
  /** What the webhook would decide about the pod. */
  readonly decision: Decision;
  readonly hasReference: boolean;
  /** Path of the rule that denies the namespace the token of the host; undefined: none does. */
  readonly denyingRule: string | undefined;
  /** Whether the API server calls the webhook for the namespace. */
  readonly isSelected: boolean;
  /** The pull Secret of the namespace; undefined: there is none; `unknown`: it could not be read. */
  readonly secret: SecretStatus | undefined | 'unknown';
  /** The wall clock in ms. */
  readonly now: number;
}

/** The kubelet waits up to five minutes between two attempts (kubernetes `pkg/kubelet`, MaxContainerBackOff). */
const maxBackoffMs = 330_000;

export function determineCause(facts: PullFacts): PullCause {
  const { failure, hasReference } = facts;
  switch (failure.problem) {
    // The registry answered a request with valid credentials, or was not reached at all.
    case 'not-found':
    case 'wrong-platform':
    case 'unreachable':
    case 'throttled':
      return failure.problem;
    default:
      return hasReference ? determineTokenCause(facts) : determineReferenceCause(facts);
  }
}

function determineReferenceCause(facts: PullFacts): PullCause {
  return facts.isSelected && isHandled(facts) ? 'no-reference' : 'excluded';
}

/** Whether the webhook gives the pod a reference, and the program a token for the host. */
function isHandled({ decision, denyingRule }: PullFacts): boolean {
  return decision.action === 'ensure' && denyingRule === undefined;
}

function determineTokenCause(facts: PullFacts): PullCause {
  const { failure, secret, now } = facts;
  if (failure.action !== undefined) {
    return 'refused';
  }
  if (secret === 'unknown') {
    return 'unknown-token';
  }
  if (secret?.condition === 'edited') {
    return 'no-token'; // the annotation of the Secret does not say what its content is now
  }
  const host = findHost(secret, failure.host);
  if (host === undefined || lacksToken(host, now)) {
    return isHandled(facts) ? 'no-token' : 'excluded';
  }
  const isNew = host.issuedAt !== undefined && now - host.issuedAt < maxBackoffMs;
  if (isNew && failure.problem !== 'refused') {
    return 'retrying';
  }
  return failure.problem === 'unknown' ? 'unexplained' : 'refused';
}
