// Names of regions that do not exist, as anyone may use them in an image name.

/** They are well-formed names of regions. */
export function generateNonexistentRegions(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => {
    const number = from + index;
    const letter = (place: number) => String.fromCharCode(97 + (Math.floor(number / place) % 26));
    return `eu-nowhere${letter(90 * 26)}${letter(90)}-${(number % 90) + 1}`;
  });
}
