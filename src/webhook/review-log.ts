import type { UnavailableHost } from '../pull-secrets/unavailable-host.ts';
import { getField } from '../util/json.ts';
import type { AdmissionRequest } from './admission-request.ts';
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
 * What the log says of a review: whose pod it was and how it ended; of the pod itself nothing but its name. The
 * operation is told where it is not the usual one, the creation of a pod.
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
    // One write serves all hosts of a pod, so that they mostly have one cause.
    fields['cause'] = missing[0]?.message ?? missing[0]?.text;
  }
  return fields;
}

/** A pod of a ReplicaSet has no name yet when it is reviewed, only the beginning of one. */
function getPodName(pod: unknown): string {
  const metadata = getField(pod, 'metadata');
  const name = getField(metadata, 'name') ?? getField(metadata, 'generateName');
  return typeof name === 'string' ? name : '';
}

/** Nothing in Kubernetes has a longer name, so the API server is about to refuse such an object. */
function limitLength(text: string): string {
  return text.length <= maxNameLength ? text : `[${text.length} characters]`;
}
