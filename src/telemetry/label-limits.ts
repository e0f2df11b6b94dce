// Bounds the number of label values, because regions and error codes come from untrusted input.

/** Distinct regions that get a label of their own; all others share `other`. */
export const maxRegionLabels = 64;

/** How many of these regions may be without a successful call, so that invented regions cannot use up the labels. */
const maxUnprovenRegionLabels = 16;

/** Returns the label of a region by which calls to ECR are counted. */
export function createRegionLabeler(): (region: string, outcome: string) => string {
  const provenLabel = createBoundedLabeler(maxRegionLabels - maxUnprovenRegionLabels);
  const unprovenLabel = createBoundedLabeler(maxUnprovenRegionLabels);
  const proven = new Set<string>();
  return (region, outcome) => {
    if (outcome === 'success' && provenLabel(region) === region) {
      proven.add(region);
    }
    return proven.has(region) ? region : unprovenLabel(region);
  };
}

/** Returns the first `maxLabels` distinct labels unchanged, and `other` for all later ones. */
export function createBoundedLabeler(maxLabels: number): (label: string) => string {
  const known = new Set<string>();
  return (label) => {
    if (!known.has(label) && known.size < maxLabels) {
      known.add(label);
    }
    return known.has(label) ? label : 'other';
  };
}
