// Generates docs/reference/metrics.md from src/telemetry/metric-definitions.ts: npm run docs:metrics
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type MetricDefinition, metricDefinitions } from '../../src/telemetry/metric-definitions.ts';
import { formatMarkdownTable } from '../support/markdown-table.ts';

export const metricsPageFile = join(import.meta.dirname, '../../docs/reference/metrics.md');

export const definitions: readonly MetricDefinition[] = Object.values(metricDefinitions);

export function metricsPage(): string {
  const labels = definitions.flatMap((metric) =>
    Object.entries(metric.labels).map(([label, values]) => [`\`${metric.name}\``, `\`${label}\``, values]),
  );
  return [
    '# Metrics\n',
    '<!-- Generated from src/telemetry/metric-definitions.ts by `npm run docs:metrics`. -->\n',
    'This page lists every metric of the program. The status port serves them at `/metrics`, together with the `process_` and',
    '`nodejs_` metrics of the client library. For alerts, see [monitor](../how-to/monitor.md).\n',
    formatMarkdownTable([
      ['metric', 'type', 'labels', 'description'],
      ...definitions.map(({ name, type, labels: own, help }) => [
        `\`${name}\``,
        type,
        Object.keys(own)
          .map((label) => `\`${label}\``)
          .join(', '),
        help,
      ]),
    ]),
    '## Labels\n',
    formatMarkdownTable([['metric', 'label', 'values'], ...labels]),
  ].join('\n');
}

if (import.meta.main) {
  await writeFile(metricsPageFile, metricsPage());
}
