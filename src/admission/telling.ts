import { field } from '../images/unvalidated.ts';
import type { Shortfall } from '../secrets/shortfall.ts';
import type { ReviewRequest } from './review.ts';

/** What the log says of a review: whose pod it was and how it ended; of the pod itself nothing but its name. */
export function describeReview(
  { uid, namespace, operation, resource, object }: ReviewRequest,
  outcome: string,
  reason: string,
  missing: readonly Shortfall[],
): Record<string, unknown> {
  return {
    uid,
    namespace,
    pod: podName(object),
    operation,
    resource,
    outcome,
    reason,
    ...(missing.length > 0 && { missing: missing.map(({ host, code }) => ({ host, code })) }),
  };
}

/** A pod of a ReplicaSet has no name yet when it is reviewed, only the beginning of one. */
function podName(pod: unknown): string {
  const metadata = field(pod, 'metadata');
  const name = field(metadata, 'name') ?? field(metadata, 'generateName');
  return typeof name === 'string' ? name : '';
}
