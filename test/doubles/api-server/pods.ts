import { isDeepStrictEqual } from 'node:util';
import { type Cause, invalid } from './failure.ts';
import { arrayOr, type KubeObject, objectOr } from './objects.ts';
import { PODS } from './resources.ts';

const required = (field: string): Cause => ({
  reason: 'FieldValueRequired',
  message: 'Required value',
  field,
});

const NAMELESS: Cause = {
  reason: 'FieldValueRequired',
  message: 'Required value: name or generateName is required',
  field: 'metadata.name',
};

function containerCauses(list: unknown, field: string): Cause[] {
  return arrayOr(list).flatMap((container, index) => {
    const { name, image } = objectOr(container);
    return [
      ...(typeof name === 'string' && name !== '' ? [] : [required(`${field}[${index}].name`)]),
      ...(typeof image === 'string' && image !== '' ? [] : [required(`${field}[${index}].image`)]),
    ];
  });
}

/** What a pod must have to be taken. @throws {Failure} 422 */
export function validatePod(pod: KubeObject): void {
  const spec = objectOr(pod['spec']);
  const causes = [
    ...(pod.metadata.name === '' ? [NAMELESS] : []),
    ...(arrayOr(spec['containers']).length === 0 ? [required('spec.containers')] : []),
    ...containerCauses(spec['containers'], 'spec.containers'),
    ...containerCauses(spec['initContainers'], 'spec.initContainers'),
  ];
  if (causes.length > 0) throw invalid(PODS, pod.metadata.name, causes);
}

const LISTS = ['containers', 'initContainers'];

/** The spec without what an update may change: the images. */
function fixedPart(pod: KubeObject): Record<string, unknown> {
  const spec = { ...objectOr(pod['spec']) };
  for (const list of LISTS) {
    if (spec[list] === undefined) continue;
    spec[list] = arrayOr(spec[list]).map((container) => ({ ...objectOr(container), image: '' }));
  }
  const { activeDeadlineSeconds: _, tolerations: __, ...fixed } = spec;
  return fixed;
}

/** An update may change images and metadata; `imagePullSecrets`, for one, is fixed for good. @throws {Failure} 422 */
export function validatePodUpdate(pod: KubeObject, old: KubeObject): void {
  validatePod(pod);
  if (isDeepStrictEqual(fixedPart(pod), fixedPart(old))) return;
  const message =
    'Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,' +
    '`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds`';
  throw invalid(PODS, pod.metadata.name, [{ reason: 'FieldValueForbidden', message, field: 'spec' }]);
}

/**
 * What an update through `pods/ephemeralcontainers` stores: the old pod with the new list, which may only grow.
 *
 * @throws {Failure} 422
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
  if (causes.length > 0) throw invalid(PODS, name, causes);
  return { ...old, metadata: pod.metadata, spec };
}
