// Serializes the webhook's response bodies.
import type { Patch } from '../injection/patch.ts';

/** The response to a review, without its uid. */
export interface AdmissionResponse {
  readonly allowed: boolean;
  readonly patch?: Patch | undefined;
  /** kubectl shows these to the author of the pod. */
  readonly warnings?: readonly string[];
  /** Why the pod is denied; only if `allowed` is false. */
  readonly message?: string;
}

/**
 * The JSON of an AdmissionReview response (admission.k8s.io/v1). Every response has uid, apiVersion and kind; patch and
 * patchType are both present or both absent.
 */
export function formatAdmissionReview(
  uid: string,
  { allowed, patch, warnings = [], message }: AdmissionResponse,
): string {
  let response = `"uid":${JSON.stringify(uid)},"allowed":${allowed}`;
  if (patch !== undefined) {
    response += `,"patchType":"JSONPatch","patch":"${patch}"`;
  }
  if (warnings.length > 0) {
    response += `,"warnings":${JSON.stringify(warnings)}`;
  }
  if (message !== undefined) {
    // controllers retry after a 503
    response += `,"status":${JSON.stringify({ code: 503, reason: 'ServiceUnavailable', message })}`;
  }
  return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{${response}}}`;
}

/** The JSON of a response to a request that is not a valid review. */
export function formatErrorBody(code: string, message: string): string {
  return JSON.stringify({ error: { code, message } });
}
