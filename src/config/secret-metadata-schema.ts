// The schema of the labels and annotations that the operator sets on every pull Secret.
import * as v from 'valibot';
import { managedByLabel } from '../labels.ts';
import { labelKey, labelValue } from './value-types.ts';

/**
 * Prefixes of keys by which other tools recognize their own objects. Flux and Argo CD delete objects that seem to be theirs and are
 * not in their source; kubectl and Helm take them over.
 */
const refusedPrefixes = [
  'ecr-pull-secrets.io/',
  'argocd.argoproj.io/',
  'kubectl.kubernetes.io/',
  'applyset.kubernetes.io/',
  'helm.sh/',
  'meta.helm.sh/',
  'kustomize.toolkit.fluxcd.io/',
  'helm.toolkit.fluxcd.io/',
];

/** Why a key cannot be used, as the rest of a sentence that begins with the setting; undefined if it can. */
function findRefusedKey(key: string): string | undefined {
  if (key === managedByLabel) {
    return 'is set by the program itself; remove it';
  }
  const prefix = refusedPrefixes.find((one) => key.startsWith(one));
  if (prefix === undefined) {
    return undefined;
  }
  return prefix === 'ecr-pull-secrets.io/'
    ? 'begins with ecr-pull-secrets.io/, which is for the program itself; remove it'
    : `begins with ${prefix}, by which another tool recognizes its own objects and may delete them; remove it`;
}

/** A key of a label or annotation that the operator may set on pull Secrets. */
const metadataKey = v.pipe(
  labelKey,
  v.check(
    (key) => findRefusedKey(key) === undefined,
    ({ input }) => findRefusedKey(input) ?? '',
  ),
);

const maxEntries = 32;
const isFew = v.check(
  (entries: Readonly<Record<string, string>>) => Object.keys(entries).length <= maxEntries,
  `a mapping with at most ${maxEntries} entries`,
);

/** Labels for every pull Secret. */
export const secretLabels = v.pipe(v.record(metadataKey, labelValue, 'a mapping of labels'), isFew);

/** Far below the 256 KiB of all annotations of an object, most of which the hosts may need. */
const annotationValue = v.pipe(
  v.string('a string; quote numbers and true'),
  v.maxLength(1024, 'a string of at most 1024 characters'),
);

/** Annotations for every pull Secret. */
export const secretAnnotations = v.pipe(
  v.record(metadataKey, annotationValue, 'a mapping of annotations'),
  isFew,
);
