// Judges the result of a pod with an ECR image that the API server admitted or refused on a dry run. Pure.
import type { CheckResult } from './check.ts';

/** What the API server did with the pod. */
export type DryRunOutcome =
  | { readonly kind: 'admitted'; readonly pullSecrets: readonly string[] }
  | {
      readonly kind: 'refused';
      /** For example `forbidden`. */
      readonly code: string;
      /** Who refused the pod: see `shortCause` of KubeError. */
      readonly cause: string;
      /** The whole message, without quoting the pod. */
      readonly message: string;
    };

export interface DryRunFacts {
  readonly namespace: string;
  readonly secretName: string;
  readonly image: string;
  readonly outcome: DryRunOutcome;
  /** Why the program or the API server skips this pod; undefined if it does not. */
  readonly exclusion: string | undefined;
  /** A failed check that explains a missing reference; undefined if all earlier checks passed. */
  readonly earlierFailure: string | undefined;
  /** Whether a MutatingAdmissionPolicy may have added the reference instead of the webhook. */
  readonly hasPolicy: boolean;
}

const check = 'webhook-dry-run';

export function judgeDryRun(facts: DryRunFacts): CheckResult {
  const { outcome, namespace, secretName } = facts;
  if (outcome.kind === 'refused') {
    return judgeRefusal(outcome, namespace);
  }
  if (outcome.pullSecrets.includes(secretName)) {
    const by = facts.hasPolicy ? 'the policy or the webhook' : 'the webhook';
    return {
      check,
      outcome: 'ok',
      summary: `on a dry run in namespace ${namespace}, ${by} adds the reference to Secret ${secretName}`,
    };
  }
  if (facts.exclusion !== undefined) {
    return {
      check,
      outcome: 'skipped',
      summary: `not checked, because ${facts.exclusion}`,
      remedy: 'Choose a namespace whose pods should get the reference, with --namespace',
      page: 'how-to/exclude.md',
    };
  }
  if (facts.earlierFailure !== undefined) {
    return {
      check,
      outcome: 'skipped',
      summary: `a pod with an ECR image gets no reference in namespace ${namespace}; ${facts.earlierFailure} explains it`,
    };
  }
  return {
    check,
    outcome: 'failed',
    summary: `on a dry run in namespace ${namespace}, a pod with image ${facts.image} gets no reference`,
    meaning:
      'New pods cannot pull from ECR. Either the API server cannot call the webhook, or the program skips the pod',
    remedy:
      'Look for "failed calling webhook" in the log of the API server, and for the namespace in the log of the program',
    page: 'troubleshooting.md#the-pod-has-no-reference',
  };
}

type Refused = Extract<DryRunOutcome, { kind: 'refused' }>;

function judgeRefusal({ code, cause, message }: Refused, namespace: string): CheckResult {
  if (code === 'not-found') {
    return {
      check,
      outcome: 'skipped',
      summary: `not checked, because namespace ${namespace} does not exist`,
      remedy: 'Choose another one with --namespace',
    };
  }
  // An error without a refusal says nothing about the pod.
  if (unansweredCodes.has(code) && cause === `API server: ${code}`) {
    return {
      check,
      outcome: 'skipped',
      summary: `not checked, because the API server did not respond (${code})`,
    };
  }
  if (cause === 'no permission to create pods') {
    return {
      check,
      outcome: 'skipped',
      summary: `not checked, because a dry run needs the right to create pods in namespace ${namespace}`,
      remedy: 'Choose a namespace in which you may create pods, with --namespace',
    };
  }
  if (cause.includes('"pods.ecr-pull-secrets.io"')) {
    return {
      check,
      outcome: 'failed',
      summary: `the API server refuses pods with an ECR image: ${cause}`,
      meaning:
        'With failurePolicy: Fail or onFailure: deny, such pods cannot be created until this is repaired',
      remedy: 'Repair the webhook, or set webhook.failurePolicy: Ignore',
      page: 'troubleshooting.md#the-api-server-cannot-call-the-webhook',
      details: [message],
    };
  }
  return {
    check,
    outcome: 'warning',
    summary: `the API server refused the pod of the dry run in namespace ${namespace}: ${cause}`,
    meaning: 'The refusal is not about pull Secrets. It may refuse other new pods of the namespace too',
    remedy: 'Choose another namespace with --namespace, or ask the owner of the quota, policy or webhook',
    details: [message],
  };
}

/** Whether the result of a dry run shows that the API server could not call the webhook, or did not. */
export function showsNoCall({ outcome, summary }: CheckResult): boolean {
  return outcome === 'failed' && !summary.includes(deniedByWebhook);
}

/** How `shortCause` of KubeError names a webhook that responded. */
const deniedByWebhook = 'denied by webhook';

const unansweredCodes: ReadonlySet<string> = new Set(['timeout', 'unauthorized', 'server-error']);
