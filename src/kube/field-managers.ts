// Parses which field manager owns which keys of an object, from its `metadata.managedFields`.
import { isObject } from '../util/json.ts';

/** A field manager, and the keys of `data`, `metadata.labels` and `metadata.annotations` that it owns. */
export interface FieldOwner {
  readonly manager: string;
  readonly data: readonly string[];
  readonly annotations: readonly string[];
  /** Not set: none. */
  readonly labels?: readonly string[];
}

/**
 * Parses the owners of data keys, labels and annotations from `metadata.managedFields`. The rest is large and not kept. Never throws.
 * Format: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
 */
export function parseFieldOwners(managedFields: unknown): FieldOwner[] {
  const entries: unknown[] = Array.isArray(managedFields) ? managedFields : [];
  return entries.flatMap((entry) => {
    if (!isObject(entry) || typeof entry['manager'] !== 'string') {
      return [];
    }
    const { manager, fieldsV1 } = entry;
    const metadata = isObject(fieldsV1) ? fieldsV1['f:metadata'] : undefined;
    const labels = listKeys(metadata, 'f:labels');
    return [
      {
        manager,
        data: listKeys(fieldsV1, 'f:data'),
        annotations: listKeys(metadata, 'f:annotations'),
        ...(labels.length > 0 && { labels }),
      },
    ];
  });
}

function listKeys(fields: unknown, name: string): string[] {
  const at = isObject(fields) ? fields[name] : undefined;
  if (!isObject(at)) {
    return [];
  }
  return Object.keys(at)
    .filter((key) => key.startsWith('f:'))
    .map((key) => key.slice(2));
}
