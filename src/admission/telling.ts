import { field } from '../images/unvalidated.ts';
import type { Shortfall } from '../secrets/shortfall.ts';
import type { ReviewRequest } from './review.ts';

/**
 * What the log says of a review: whose pod it was and how it ended; of the pod itself nothing but its name. The
 * operation is told where it is not the usual one, the creation of a pod.
 */
export function describeReview(
  { namespace, operation, resource, object }: ReviewRequest,
  outcome: string,
  reason: string,
  missing: readonly Shortfall[],
): Record<string, unknown> {
  const told: Record<string, unknown> = { namespace, pod: podName(object), outcome, reason };
  if (operation !== 'CREATE' || resource !== 'pods') {
    told['operation'] = operation;
    told['resource'] = resource;
  }
  if (missing.length > 0) {
    told['missing'] = missing.map(({ host, code }) => ({ host, code }));
  }
  return told;
}

/** A pod of a ReplicaSet has no name yet when it is reviewed, only the beginning of one. */
function podName(pod: unknown): string {
  const metadata = field(pod, 'metadata');
  const name = field(metadata, 'name') ?? field(metadata, 'generateName');
  return typeof name === 'string' ? name : '';
}
