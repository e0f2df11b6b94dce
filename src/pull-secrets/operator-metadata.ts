// The labels and annotations that the operator wants on every pull Secret, and what a Secret lacks of them.
import type { FieldOwner } from '../kube/field-managers.ts';
import type { MetadataChange } from '../kube/secrets.ts';
import { hostsAnnotation, isOwnFieldManager, managedByLabel } from '../labels.ts';

/** The settings `secrets.labels` and `secrets.annotations`. */
export interface OperatorMetadata {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** @internal exported for its tests */
export const noOperatorMetadata: OperatorMetadata = { labels: {}, annotations: {} };

/** The facts about a Secret that decide whether it has the operator's metadata. */
interface MetadataFacts {
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly fieldOwners?: readonly FieldOwner[] | undefined;
}

/** The labels and annotations of a write: those of the operator, and the program's own, which take precedence. */
export function addOperatorMetadata(own: OperatorMetadata, operator: OperatorMetadata) {
  return {
    labels: { ...operator.labels, ...own.labels },
    annotations: { ...operator.annotations, ...own.annotations },
  };
}

/** The fields of the program itself, which are never removed here. */
const ownKeys: ReadonlySet<string> = new Set([managedByLabel, hostsAnnotation]);

/**
 * What to change on a managed Secret so that it has the operator's metadata, and nothing that the program set for earlier settings.
 * Labels and annotations that others set are kept.
 * @returns undefined if there is nothing to change
 */
export function findMetadataChange(
  { labels = {}, annotations = {}, fieldOwners = [] }: MetadataFacts,
  wanted: OperatorMetadata,
): MetadataChange | undefined {
  const own = fieldOwners.filter(({ manager }) => isOwnFieldManager(manager));
  const change = {
    labels: findChange(
      labels,
      wanted.labels,
      own.flatMap((owner) => owner.labels ?? []),
    ),
    annotations: findChange(
      annotations,
      wanted.annotations,
      own.flatMap((owner) => owner.annotations),
    ),
  };
  const isEmpty = Object.keys(change.labels).length + Object.keys(change.annotations).length === 0;
  return isEmpty ? undefined : change;
}

function findChange(
  present: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
  ownedKeys: readonly string[],
): Record<string, string | null> {
  const added = Object.entries(wanted).filter(([key, value]) => present[key] !== value);
  const removed = ownedKeys.filter(
    (key) => !ownKeys.has(key) && Object.hasOwn(present, key) && !Object.hasOwn(wanted, key),
  );
  return Object.fromEntries([...added, ...removed.map((key) => [key, null] as const)]);
}
