// Creates the JSON patch that adds the reference to the pull Secret to a pod.
import { getField, getItems, isObject } from '../util/json.ts';

/** A JSON patch (RFC 6902) in base64, encoded once for all pods. */
export type Patch = string;

/** A reference to a Secret, and the two patches that add it to a pod. */
export interface PullSecretReference {
  readonly secretName: string;
  /** For a pod with a list of references, which keeps its items in order. */
  readonly appendPatch: Patch;
  /** For a pod without a list. The API server responds with 500 if a patch appends to a list that does not exist. */
  readonly newListPatch: Patch;
}

const listPath = '/spec/imagePullSecrets';

/** @param secretName ASCII, like all names of Secrets */
export function createPullSecretReference(secretName: string): PullSecretReference {
  const value = { name: secretName };
  return {
    secretName,
    appendPatch: encodePatch({ path: `${listPath}/-`, value }),
    newListPatch: encodePatch({ path: listPath, value: [value] }),
  };
}

function encodePatch(addition: { path: string; value: unknown }): Patch {
  return btoa(JSON.stringify([{ op: 'add', ...addition }]));
}

/** The patch that adds the reference to a pod; undefined if the pod has it already, or has no spec. */
export function createPullSecretPatch(pod: unknown, reference: PullSecretReference): Patch | undefined {
  const spec = getField(pod, 'spec');
  if (!isObject(spec) || hasReference(pod, reference)) {
    return undefined;
  }
  return Array.isArray(spec['imagePullSecrets']) ? reference.appendPatch : reference.newListPatch;
}

/** Whether a pod's `imagePullSecrets` names the Secret. */
export function hasReference(pod: unknown, { secretName }: PullSecretReference): boolean {
  const references = getItems(getField(getField(pod, 'spec'), 'imagePullSecrets'));
  return references.some((reference) => getField(reference, 'name') === secretName);
}
