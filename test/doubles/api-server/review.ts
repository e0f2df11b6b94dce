import type { User } from './access.ts';
import { arrayOr, type KubeObject, objectOr } from './objects.ts';
import type { Target } from './resources.ts';
import type { WebhookAnswer } from './webhook-call.ts';
import type { Operation } from './webhooks.ts';

/** A write that webhooks may change or refuse. */
export interface Admitted {
  operation: Operation;
  target: Target;
  user: User;
  object: KubeObject;
  oldObject?: KubeObject;
  dryRun: boolean;
}

/** What a webhook decided. */
export interface Verdict {
  allowed: boolean;
  patch: string | undefined;
  warnings: string[];
  status: Record<string, unknown>;
}

/** The AdmissionReview that asks about a write. */
export function reviewOf(
  { operation, target, user, object, oldObject, dryRun }: Admitted,
  uid: string,
): object {
  const { group, version, kind, resource } = target.resource;
  const subResource = target.subresource === '' ? {} : { subResource: target.subresource };
  const gvk = { group, version, kind };
  const gvr = { group, version, resource };
  return {
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid,
      kind: gvk,
      resource: gvr,
      ...subResource,
      requestKind: gvk,
      requestResource: gvr,
      ...(target.subresource !== '' && { requestSubResource: target.subresource }),
      ...(object.metadata.name !== '' && { name: object.metadata.name }),
      namespace: target.namespace,
      operation,
      userInfo: user,
      object,
      oldObject: oldObject ?? null,
      dryRun,
      options: {
        kind: operation === 'CREATE' ? 'CreateOptions' : 'UpdateOptions',
        apiVersion: 'meta.k8s.io/v1',
      },
    },
  };
}

/** The verdict in an answer, or why it is none. k8s.io/apiserver, plugin/webhook/request (VerifyAdmissionResponse). */
export function verdictOf(answer: WebhookAnswer, uid: string): Verdict | { failure: string } {
  if ('failure' in answer) return { failure: `failed to call webhook: ${answer.failure}` };
  if (answer.status !== 200)
    return { failure: `failed to call webhook: the server answered ${answer.status}` };
  let review: Record<string, unknown>;
  try {
    review = objectOr(JSON.parse(answer.body));
  } catch {
    return { failure: 'failed to call webhook: the answer is no JSON' };
  }
  const { allowed, patch, patchType, warnings, status, ...response } = objectOr(review['response']);
  if (review['apiVersion'] !== 'admission.k8s.io/v1' || review['kind'] !== 'AdmissionReview') {
    return {
      failure:
        'received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview',
    };
  }
  if (response['uid'] !== uid) {
    return {
      failure: `received invalid webhook response: expected response.uid="${uid}", got "${response['uid'] ?? ''}"`,
    };
  }
  if ((patch === undefined) !== (patchType === undefined) || (patchType ?? 'JSONPatch') !== 'JSONPatch') {
    return {
      failure: 'received invalid webhook response: response.patch and response.patchType must come together',
    };
  }
  return {
    allowed: allowed === true,
    patch: typeof patch === 'string' ? patch : undefined,
    warnings: arrayOr(warnings).filter((text) => typeof text === 'string'),
    status: objectOr(status),
  };
}
