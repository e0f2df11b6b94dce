import { getField, getItems, isObject } from '../util/json.ts';

/** A JSON patch (RFC 6902) as an answer carries it, in base64: encoded once for all pods that get it. */
export type Patch = string;

/** A reference to a Secret, and the two patches that give it to a pod. */
export interface PullSecretReference {
  readonly secretName: string;
  /** For a pod with a list of references: others stay, in order. */
  readonly appendPatch: Patch;
  /** For a pod without a list: the API server answers 500 to an append to nothing. */
  readonly newListPatch: Patch;
}

const listPath = '/spec/imagePullSecrets';

/** Makes the reference to the Secret of this name, which is ASCII as all names of Secrets are. */
export function createPullSecretReference(secretName: string): PullSecretReference {
  const value = { name: secretName };
  return {
    secretName,
    appendPatch: encodePatch({ path: `${listPath}/-`, value }),
    newListPatch: encodePatch({ path: listPath, value: [value] }),
  };
}

/** We only ever add. */
function encodePatch(addition: { path: string; value: unknown }): Patch {
  return btoa(JSON.stringify([{ op: 'add', ...addition }]));
}

/** The patch that makes a pod refer to the Secret; none where it does already, or has no spec. */
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
