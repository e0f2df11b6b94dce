import type { Shortfall } from '../pull-secrets/unavailable-host.ts';
import { field } from '../util/json.ts';
import type { ReviewRequest } from './admission-request.ts';
import { maxNameLength } from './limits.ts';

/** What is known of a review after its body is gone. */
export interface ReviewSubject {
  readonly uid: string;
  readonly namespace: string;
  readonly operation: string;
  readonly resource: string;
  /** The pod's name, or the beginning of one. */
  readonly pod: string;
}

/** Keeps no part of the body but names. */
export function subjectOf({ uid, namespace, operation, resource, object }: ReviewRequest): ReviewSubject {
  return {
    uid,
    namespace,
    operation: bounded(operation),
    resource: bounded(resource),
    pod: bounded(podName(object)),
  };
}

/**
 * What the log says of a review: whose pod it was and how it ended; of the pod itself nothing but its name. The
 * operation is told where it is not the usual one, the creation of a pod.
 */
export function describeReview(
  { namespace, pod, operation, resource }: ReviewSubject,
  outcome: string,
  reason: string,
  missing: readonly Shortfall[],
): Record<string, unknown> {
  const told: Record<string, unknown> = { namespace, pod, outcome, reason };
  if (operation !== 'CREATE' || resource !== 'pods') {
    told['operation'] = operation;
    told['resource'] = resource;
  }
  if (missing.length > 0) {
    told['missing'] = missing.map(({ host, code }) => ({ host, code }));
    // One write serves all hosts of a pod, so that they mostly have one cause.
    told['cause'] = missing[0]?.message ?? missing[0]?.text;
  }
  return told;
}

/** A pod of a ReplicaSet has no name yet when it is reviewed, only the beginning of one. */
function podName(pod: unknown): string {
  const metadata = field(pod, 'metadata');
  const name = field(metadata, 'name') ?? field(metadata, 'generateName');
  return typeof name === 'string' ? name : '';
}

/** Nothing in Kubernetes has a longer name, so the API server is about to refuse such an object. */
function bounded(text: string): string {
  return text.length <= maxNameLength ? text : `[${text.length} characters]`;
}
