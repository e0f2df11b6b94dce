import { isDeepStrictEqual } from 'node:util';
import { type Cause, Failure, invalid } from './failure.ts';
import { type KubeObject, objectOr, stringsOf } from './objects.ts';
import { SECRETS } from './resources.ts';

// https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/types.go (MaxSecretSize)
const MAX_BYTES = 1024 * 1024;
const DOCKER_CONFIG = 'kubernetes.io/dockerconfigjson';
const DOCKER_CONFIG_KEY = '.dockerconfigjson';
const KEY = /^[-._a-zA-Z0-9]{1,253}$/;

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

function dockerConfigCauses(data: Record<string, string>): Cause[] {
  const config = data[DOCKER_CONFIG_KEY];
  const field = `data[${DOCKER_CONFIG_KEY}]`;
  if (config === undefined) return [{ reason: 'FieldValueRequired', message: 'Required value', field }];
  if (isJsonObject(bytes(config).toString())) return [];
  const message = 'Invalid value: "<secret contents redacted>": invalid character';
  return [{ reason: 'FieldValueInvalid', message, field }];
}

function immutableCauses(secret: KubeObject, old: KubeObject | undefined): Cause[] {
  if (old === undefined) return [];
  const fixed = old['immutable'] === true ? ['type', 'immutable', 'data'] : ['type'];
  return fixed
    .filter((field) => !isDeepStrictEqual(secret[field], old[field]))
    .map((field) => ({
      reason: 'FieldValueInvalid',
      message: `Invalid value: "${field === 'data' ? '<secret contents redacted>' : secret[field]}": field is immutable`,
      field,
    }));
}

/** A Secret as the API server completes it: `stringData` moved into `data`, a type. @throws {Failure} 500 for no base64, as the real one */
export function completeSecret(secret: KubeObject): KubeObject {
  const { stringData, ...rest } = secret;
  const given = Object.entries(stringsOf(stringData)).map(([key, value]) => [
    key,
    Buffer.from(value).toString('base64'),
  ]);
  const data = { ...objectOr(rest['data']), ...Object.fromEntries(given) };
  for (const [key, value] of Object.entries(data)) {
    if (typeof value !== 'string' || bytes(value).toString('base64') !== value) {
      throw new Failure(500, '', `error decoding from json: illegal base64 data of ${key}`);
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
 * @throws {Failure} 422 with a cause for each broken rule
 */
export function validateSecret(secret: KubeObject, old: KubeObject | undefined): void {
  const data = stringsOf(secret['data']);
  const size = Object.values(data).reduce((sum, value) => sum + bytes(value).length, 0);
  const causes = [
    ...Object.keys(data)
      .filter((key) => !KEY.test(key))
      .map((key) => ({
        reason: 'FieldValueInvalid',
        message: `Invalid value: "${key}"`,
        field: `data[${key}]`,
      })),
    ...(size > MAX_BYTES
      ? [
          {
            reason: 'FieldValueTooLong',
            message: `Too long: may not be more than ${MAX_BYTES} bytes`,
            field: 'data',
          },
        ]
      : []),
    ...(secret['type'] === DOCKER_CONFIG ? dockerConfigCauses(data) : []),
    ...immutableCauses(secret, old),
  ];
  if (causes.length > 0) throw invalid(SECRETS, secret.metadata.name, causes);
}
