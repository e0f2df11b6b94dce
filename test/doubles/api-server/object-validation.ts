// Defaults and validation rules for pods and Secrets in the API stand-in.
import { isDeepStrictEqual } from 'node:util';
import { podResource, secretResource } from './api-resources.ts';
import { createInvalid, type StatusCause, StatusError } from './api-status-error.ts';
import { getStringEntries, type KubeObject, toArray, toObject } from './kube-object.ts';

const createRequiredCause = (field: string): StatusCause => ({
  reason: 'FieldValueRequired',
  message: 'Required value',
  field,
});

const missingNameCause: StatusCause = {
  reason: 'FieldValueRequired',
  message: 'Required value: name or generateName is required',
  field: 'metadata.name',
};

function findContainerCauses(list: unknown, field: string): StatusCause[] {
  return toArray(list).flatMap((container, index) => {
    const { name, image } = toObject(container);
    return [
      ...(typeof name === 'string' && name !== '' ? [] : [createRequiredCause(`${field}[${index}].name`)]),
      ...(typeof image === 'string' && image !== '' ? [] : [createRequiredCause(`${field}[${index}].image`)]),
    ];
  });
}

/** Checks the required fields of a pod. @throws {StatusError} 422 */
export function validatePod(pod: KubeObject): void {
  const spec = toObject(pod['spec']);
  const causes = [
    ...(pod.metadata.name === '' ? [missingNameCause] : []),
    ...(toArray(spec['containers']).length === 0 ? [createRequiredCause('spec.containers')] : []),
    ...findContainerCauses(spec['containers'], 'spec.containers'),
    ...findContainerCauses(spec['initContainers'], 'spec.initContainers'),
  ];
  if (causes.length > 0) {
    throw createInvalid(podResource, pod.metadata.name, causes);
  }
}

const containerLists = ['containers', 'initContainers'];

/** Returns the spec without the fields that an update may change, such as images. */
function getFixedSpec(pod: KubeObject): Record<string, unknown> {
  const spec = { ...toObject(pod['spec']) };
  for (const list of containerLists) {
    if (spec[list] === undefined) {
      continue;
    }
    spec[list] = toArray(spec[list]).map((container) => ({ ...toObject(container), image: '' }));
  }
  const { activeDeadlineSeconds: _, tolerations: __, ...fixed } = spec;
  return fixed;
}

/** Checks that an update changes only images and metadata, and not `imagePullSecrets`, for example. @throws {StatusError} 422 */
export function validatePodUpdate(pod: KubeObject, old: KubeObject): void {
  validatePod(pod);
  if (isDeepStrictEqual(getFixedSpec(pod), getFixedSpec(old))) {
    return;
  }
  const message =
    'Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,' +
    '`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds`';
  throw createInvalid(podResource, pod.metadata.name, [
    { reason: 'FieldValueForbidden', message, field: 'spec' },
  ]);
}

/**
 * Returns the pod after an update of `pods/ephemeralcontainers`: the old pod with the new list, which must contain the old one.
 *
 * @throws {StatusError} 422
 */
export function withEphemeralContainers(pod: KubeObject, old: KubeObject): KubeObject {
  const name = old.metadata.name;
  const containers = toObject(pod['spec'])['ephemeralContainers'];
  const spec = { ...toObject(old['spec']), ephemeralContainers: toArray(containers) };
  const causes = findContainerCauses(containers, 'spec.ephemeralContainers');
  const before = toArray(toObject(old['spec'])['ephemeralContainers']);
  if (before.some((one) => !toArray(containers).some((other) => isDeepStrictEqual(one, other)))) {
    const message = 'Forbidden: existing ephemeral containers may not be removed or changed';
    causes.push({ reason: 'FieldValueForbidden', message, field: 'spec.ephemeralContainers' });
  }
  if (causes.length > 0) {
    throw createInvalid(podResource, name, causes);
  }
  return { ...old, metadata: pod.metadata, spec };
}

const maxSecretBytes = 1024 * 1024;
const dockerConfigType = 'kubernetes.io/dockerconfigjson';
const dockerConfigKey = '.dockerconfigjson';
const keyPattern = /^[-._a-zA-Z0-9]{1,253}$/;

const decodeBase64 = (value: string): Buffer => Buffer.from(value, 'base64');

/** Whether Go can decode the text into a map: an object or `null`. */
function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && !Array.isArray(value);
  } catch {
    return false;
  }
}

function findDockerConfigCauses(data: Record<string, string>): StatusCause[] {
  const config = data[dockerConfigKey];
  const field = `data[${dockerConfigKey}]`;
  if (config === undefined) {
    return [{ reason: 'FieldValueRequired', message: 'Required value', field }];
  }
  if (isJsonObject(decodeBase64(config).toString())) {
    return [];
  }
  const message = 'Invalid value: "<secret contents redacted>": invalid character';
  return [{ reason: 'FieldValueInvalid', message, field }];
}

function findImmutableCauses(secret: KubeObject, old: KubeObject | undefined): StatusCause[] {
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

/** Moves `stringData` into `data` and sets the default type. @throws {StatusError} 500 for invalid base64, as in Kubernetes */
export function completeSecret(secret: KubeObject): KubeObject {
  const { stringData, ...rest } = secret;
  const encoded = Object.entries(getStringEntries(stringData)).map(([key, value]) => [
    key,
    Buffer.from(value).toString('base64'),
  ]);
  const data = { ...toObject(rest['data']), ...Object.fromEntries(encoded) };
  for (const [key, value] of Object.entries(data)) {
    if (typeof value !== 'string' || decodeBase64(value).toString('base64') !== value) {
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
 * Checks a Secret against the rules of the API server that the tests need.
 * https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go (ValidateSecret)
 *
 * @throws {StatusError} 422 with a cause for each violated rule
 */
export function validateSecret(secret: KubeObject, old: KubeObject | undefined): void {
  const data = getStringEntries(secret['data']);
  const size = Object.values(data).reduce((sum, value) => sum + decodeBase64(value).length, 0);
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
    ...(secret['type'] === dockerConfigType ? findDockerConfigCauses(data) : []),
    ...findImmutableCauses(secret, old),
  ];
  if (causes.length > 0) {
    throw createInvalid(secretResource, secret.metadata.name, causes);
  }
}
