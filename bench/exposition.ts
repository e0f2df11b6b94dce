// Reads values from metrics in the Prometheus text format.

/**
 * Returns the sum of a metric's samples over all label sets that contain each of `labels` (such as `verb="GET"`), or 0 if
 * there is no such sample.
 */
export function sumOf(exposition: string, name: string, ...labels: readonly string[]): number {
  return exposition
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .filter((line) => labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
