// Generates names of regions that do not exist. A pod can contain such names in its images.

/** A region that does not exist, as a user misspells it. */
export const misspeltRegion = 'eu-centrall-1';

/** Generates names that have the form of a region. */
export function generateNonexistentRegions(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => {
    const number = from + index;
    const letter = (place: number) => String.fromCharCode(97 + (Math.floor(number / place) % 26));
    return `eu-nowhere${letter(90 * 26)}${letter(90)}-${(number % 90) + 1}`;
  });
}
