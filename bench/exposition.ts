/**
 * The sum of a metric's samples in Prometheus' text format, over all label sets that hold every one of these pieces
 * (`verb="GET"`); 0 where there is none.
 */
export function sumOf(exposition: string, name: string, ...labels: readonly string[]): number {
  return exposition
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .filter((line) => labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
