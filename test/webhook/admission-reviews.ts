// Builds AdmissionReviews, and reads the patches of their responses.
import type { Operation } from 'fast-json-patch';
import type { Patch } from '../../src/injection/patch.ts';

/** An AdmissionReview as the API server sends it, for the creation of a pod in `team-a`. */
export function buildPodReview(object: unknown, changes: Record<string, unknown> = {}) {
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      name: 'app',
      namespace: 'team-a',
      operation: 'CREATE',
      userInfo: { username: 'someone' },
      object,
      oldObject: null,
      dryRun: false,
      options: { apiVersion: 'meta.k8s.io/v1', kind: 'CreateOptions' },
      ...changes,
    },
  };
}

/** The operations of an encoded patch; empty for no patch. */
export function parsePatchOperations(patch: Patch | undefined): Operation[] {
  return patch === undefined ? [] : JSON.parse(atob(patch));
}
