import { Failure } from './failure.ts';
import { ALL_RESOURCES, type Target } from './resources.ts';

function unknownPath(): Failure {
  return new Failure(404, 'NotFound', 'the server could not find the requested resource');
}

/**
 * Reads `/api/v1/…` and `/apis/GROUP/VERSION/…`.
 *
 * @throws {Failure} 404 for anything else, and for kinds that the stand-in does not keep
 */
export function targetOf(path: string): Target {
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent);
  const root = parts.shift();
  const group = root === 'apis' ? parts.shift() : root === 'api' ? '' : undefined;
  const version = parts.shift();
  const inNamespace =
    parts[0] === 'namespaces' && parts.length > 2 && !['status', 'finalize'].includes(parts[2] ?? '');
  const namespace = inNamespace ? parts[1] : undefined;
  const [plural, name, subresource = '', ...rest] = inNamespace ? parts.slice(2) : parts;
  const resource = ALL_RESOURCES.find(
    (one) => one.group === group && one.version === version && one.resource === plural,
  );
  if (resource === undefined || rest.length > 0) throw unknownPath();
  if (resource.namespaced !== inNamespace && (name !== undefined || inNamespace)) throw unknownPath();
  return { resource, namespace, name, subresource };
}
