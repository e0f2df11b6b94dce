import { field, isObject, items } from '../images/unvalidated.ts';

/** An operation of a JSON patch (RFC 6902); we only ever add. */
export interface PatchOperation {
  readonly op: 'add';
  readonly path: string;
  readonly value: unknown;
}

const listPath = '/spec/imagePullSecrets';

/**
 * The patch that makes a pod refer to a Secret: appended to the list that is there, so that other references stay, in
 * order; as a new list only where there is none, because the API server answers 500 to an append to nothing. Empty
 * where the pod refers to it already. A pod without a spec gets none.
 */
export function pullSecretPatch(pod: unknown, secretName: string): PatchOperation[] {
  const spec = field(pod, 'spec');
  if (!isObject(spec) || refersTo(pod, secretName)) {
    return [];
  }
  const reference = { name: secretName };
  return Array.isArray(spec['imagePullSecrets'])
    ? [{ op: 'add', path: `${listPath}/-`, value: reference }]
    : [{ op: 'add', path: listPath, value: [reference] }];
}

/** Whether a pod's `imagePullSecrets` names the Secret. */
export function refersTo(pod: unknown, secretName: string): boolean {
  const references = items(field(field(pod, 'spec'), 'imagePullSecrets'));
  return references.some((reference) => field(reference, 'name') === secretName);
}
