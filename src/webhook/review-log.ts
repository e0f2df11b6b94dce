// What the log shows of a review: names, outcome and reason, but no other part of the pod.
import type { UnavailableHost } from '../pull-secrets/unavailable-host.ts';
import { getField, toText } from '../util/json.ts';
import type { AdmissionRequest } from './admission-request.ts';
import { maxNameLength } from './limits.ts';

/** What is kept of a review after its body was released. */
export interface ReviewSubject {
  readonly uid: string;
  readonly namespace: string;
  readonly operation: string;
  readonly resource: string;
  /** The pod's name or `generateName`. */
  readonly pod: string;
}

/** Copies the names from a review, and keeps no reference to its body. */
export function getSubject({ uid, namespace, operation, resource, object }: AdmissionRequest): ReviewSubject {
  return {
    uid,
    namespace,
    operation: limitLength(operation),
    resource: limitLength(resource),
    pod: limitLength(getPodName(object)),
  };
}

/**
 * The fields of the log line of a review. They contain nothing of the pod except its name. Operation and resource are left out
 * for the most frequent review, the creation of a pod.
 */
export function describeReview(
  { namespace, pod, operation, resource }: ReviewSubject,
  outcome: string,
  reason: string,
  missing: readonly UnavailableHost[],
): Record<string, unknown> {
  const fields: Record<string, unknown> = { namespace, pod, outcome, reason };
  if (operation !== 'CREATE' || resource !== 'pods') {
    fields['operation'] = operation;
    fields['resource'] = resource;
  }
  if (missing.length > 0) {
    fields['missing'] = missing.map(({ host, code }) => ({ host, code }));
    // All hosts of a pod are stored with one write, so they usually have the same cause.
    fields['cause'] = missing[0]?.message ?? missing[0]?.text;
  }
  return fields;
}

/** A pod of a ReplicaSet has no name yet when it is reviewed, only a `generateName`. */
function getPodName(pod: unknown): string {
  const metadata = getField(pod, 'metadata');
  return toText(getField(metadata, 'name') ?? getField(metadata, 'generateName'));
}

/** Replaces a text that is longer than any name in Kubernetes. The API server is going to reject such an object. */
function limitLength(text: string): string {
  return text.length <= maxNameLength ? text : `[${text.length} characters]`;
}
