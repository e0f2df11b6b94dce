// Validation of objects by the API stand-in.
import { isDeepStrictEqual } from 'node:util';
import { podResource, secretResource } from './api-resources.ts';
import { invalid, type StatusCause, StatusError } from './api-status-error.ts';
import { arrayOr, type KubeObject, objectOr, stringsOf } from './kube-object.ts';

const required = (field: string): StatusCause => ({
  reason: 'FieldValueRequired',
  message: 'Required value',
  field,
});

const missingNameCause: StatusCause = {
  reason: 'FieldValueRequired',
  message: 'Required value: name or generateName is required',
  field: 'metadata.name',
};

function containerCauses(list: unknown, field: string): StatusCause[] {
  return arrayOr(list).flatMap((container, index) => {
    const { name, image } = objectOr(container);
    return [
      ...(typeof name === 'string' && name !== '' ? [] : [required(`${field}[${index}].name`)]),
      ...(typeof image === 'string' && image !== '' ? [] : [required(`${field}[${index}].image`)]),
    ];
  });
}

/** What a pod must have to be taken. @throws {StatusError} 422 */
export function validatePod(pod: KubeObject): void {
  const spec = objectOr(pod['spec']);
  const causes = [
    ...(pod.metadata.name === '' ? [missingNameCause] : []),
    ...(arrayOr(spec['containers']).length === 0 ? [required('spec.containers')] : []),
    ...containerCauses(spec['containers'], 'spec.containers'),
    ...containerCauses(spec['initContainers'], 'spec.initContainers'),
  ];
  if (causes.length > 0) {
    throw invalid(podResource, pod.metadata.name, causes);
  }
}

const containerLists = ['containers', 'initContainers'];

/** The spec without what an update may change: the images. */
function fixedPart(pod: KubeObject): Record<string, unknown> {
  const spec = { ...objectOr(pod['spec']) };
  for (const list of containerLists) {
    if (spec[list] === undefined) {
      continue;
    }
    spec[list] = arrayOr(spec[list]).map((container) => ({ ...objectOr(container), image: '' }));
  }
  const { activeDeadlineSeconds: _, tolerations: __, ...fixed } = spec;
  return fixed;
}

/** An update may change images and metadata; `imagePullSecrets`, for one, is fixed for good. @throws {StatusError} 422 */
export function validatePodUpdate(pod: KubeObject, old: KubeObject): void {
  validatePod(pod);
  if (isDeepStrictEqual(fixedPart(pod), fixedPart(old))) {
    return;
  }
  const message =
    'Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,' +
    '`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds`';
  throw invalid(podResource, pod.metadata.name, [{ reason: 'FieldValueForbidden', message, field: 'spec' }]);
}

/**
 * What an update through `pods/ephemeralcontainers` stores: the old pod with the new list, which may only grow.
 *
 * @throws {StatusError} 422
 */
export function withEphemeralContainers(pod: KubeObject, old: KubeObject): KubeObject {
  const name = old.metadata.name;
  const containers = objectOr(pod['spec'])['ephemeralContainers'];
  const spec = { ...objectOr(old['spec']), ephemeralContainers: arrayOr(containers) };
  const causes = containerCauses(containers, 'spec.ephemeralContainers');
  const before = arrayOr(objectOr(old['spec'])['ephemeralContainers']);
  if (before.some((one) => !arrayOr(containers).some((other) => isDeepStrictEqual(one, other)))) {
    const message = 'Forbidden: existing ephemeral containers may not be removed or changed';
    causes.push({ reason: 'FieldValueForbidden', message, field: 'spec.ephemeralContainers' });
  }
  if (causes.length > 0) {
    throw invalid(podResource, name, causes);
  }
  return { ...old, metadata: pod.metadata, spec };
}

const maxSecretBytes = 1024 * 1024;
const dockerConfigType = 'kubernetes.io/dockerconfigjson';
const dockerConfigKey = '.dockerconfigjson';
const keyPattern = /^[-._a-zA-Z0-9]{1,253}$/;

const bytes = (value: string): Buffer => Buffer.from(value, 'base64');

/** As Go decodes into a map: an object or `null`. */
function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && !Array.isArray(value);
  } catch {
    return false;
  }
}

function dockerConfigCauses(data: Record<string, string>): StatusCause[] {
  const config = data[dockerConfigKey];
  const field = `data[${dockerConfigKey}]`;
  if (config === undefined) {
    return [{ reason: 'FieldValueRequired', message: 'Required value', field }];
  }
  if (isJsonObject(bytes(config).toString())) {
    return [];
  }
  const message = 'Invalid value: "<secret contents redacted>": invalid character';
  return [{ reason: 'FieldValueInvalid', message, field }];
}

function immutableCauses(secret: KubeObject, old: KubeObject | undefined): StatusCause[] {
  if (old === undefined) {
    return [];
  }
  const fixed = old['immutable'] === true ? ['type', 'immutable', 'data'] : ['type'];
  return fixed
    .filter((field) => !isDeepStrictEqual(secret[field], old[field]))
    .map((field) => ({
      reason: 'FieldValueInvalid',
      message: `Invalid value: "${field === 'data' ? '<secret contents redacted>' : secret[field]}": field is immutable`,
      field,
    }));
}

/** A Secret as the API server completes it: `stringData` moved into `data`, a type. @throws {StatusError} 500 for no base64, as the real one */
export function completeSecret(secret: KubeObject): KubeObject {
  const { stringData, ...rest } = secret;
  const given = Object.entries(stringsOf(stringData)).map(([key, value]) => [
    key,
    Buffer.from(value).toString('base64'),
  ]);
  const data = { ...objectOr(rest['data']), ...Object.fromEntries(given) };
  for (const [key, value] of Object.entries(data)) {
    if (typeof value !== 'string' || bytes(value).toString('base64') !== value) {
      throw new StatusError(500, '', `error decoding from json: illegal base64 data of ${key}`);
    }
  }
  const type = rest['type'] ?? 'Opaque';
  return {
    ...rest,
    ...(Object.keys(data).length > 0 && { data }),
    type,
    metadata: rest.metadata,
    apiVersion: rest.apiVersion,
    kind: rest.kind,
  };
}

/**
 * The rules of the API server for Secrets, as far as they matter here.
 * https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go (ValidateSecret)
 *
 * @throws {StatusError} 422 with a cause for each broken rule
 */
export function validateSecret(secret: KubeObject, old: KubeObject | undefined): void {
  const data = stringsOf(secret['data']);
  const size = Object.values(data).reduce((sum, value) => sum + bytes(value).length, 0);
  const causes = [
    ...Object.keys(data)
      .filter((key) => !keyPattern.test(key))
      .map((key) => ({
        reason: 'FieldValueInvalid',
        message: `Invalid value: "${key}"`,
        field: `data[${key}]`,
      })),
    ...(size > maxSecretBytes
      ? [
          {
            reason: 'FieldValueTooLong',
            message: `Too long: may not be more than ${maxSecretBytes} bytes`,
            field: 'data',
          },
        ]
      : []),
    ...(secret['type'] === dockerConfigType ? dockerConfigCauses(data) : []),
    ...immutableCauses(secret, old),
  ];
  if (causes.length > 0) {
    throw invalid(secretResource, secret.metadata.name, causes);
  }
}
