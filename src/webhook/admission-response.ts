import type { Patch } from './patch.ts';

/** What the answer to a review says besides its uid. */
export interface AdmissionResponse {
  readonly allowed: boolean;
  readonly patch?: Patch | undefined;
  /** Shown to the pod's author by kubectl. */
  readonly warnings?: readonly string[];
  /** Why the pod is denied; only where `allowed` is false. */
  readonly message?: string;
}

/**
 * The text of the AdmissionReview (admission.k8s.io/v1) that answers a request. The only place that makes one: uid,
 * apiVersion and kind are on every answer, and patch and patchType come together or not at all.
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
    // 503 tells controllers that it is worth another try
    response += `,"status":${JSON.stringify({ code: 503, reason: 'ServiceUnavailable', message })}`;
  }
  return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{${response}}}`;
}

/** Text of a body that is not an answer to a review, because what came was none. */
export function formatErrorBody(code: string, message: string): string {
  return JSON.stringify({ error: { code, message } });
}
