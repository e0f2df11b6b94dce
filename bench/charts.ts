// The charts of docs/performance.md.
import type { TopLevelSpec } from 'vega-lite';
import type { Field, PositionFieldDef } from 'vega-lite/types_unstable/channeldef.js';
import type { LayerSpec, UnitSpec } from 'vega-lite/types_unstable/spec/index.js';
import type { HotPathResult } from './hot-path-report.ts';
import type { BucketCount } from './latency-histogram.ts';
import type { ScaleResult } from './scale-report.ts';
import type { RegionResult, SimulationResult } from './simulation-result.ts';
import { colors, renderChart } from './svg-chart.ts';

const width = 720;

/** Draws how the latencies of the webhook and of the bare server are distributed. */
export async function drawHotPath(result: HotPathResult): Promise<string> {
  const { connections, latency_bucket_us: bucketUs, rps, rps_bare } = result;
  // Up to 1.5 times the p99, in about 80 steps.
  const endUs = 1.5 * Math.max(result.p99_us, result.p99_us_bare);
  const stepUs = Math.max(1, Math.round(endUs / 80 / bucketUs)) * bucketUs;
  const webhook = `webhook, ${rps.toLocaleString('en')} requests per second`;
  const bare = `bare server, ${rps_bare.toLocaleString('en')} requests per second`;
  const distribution = [
    ...percentages(result.latency_counts, stepUs, endUs).map((point) => ({ ...point, server: webhook })),
    ...percentages(result.latency_counts_bare, stepUs, endUs).map((point) => ({ ...point, server: bare })),
  ];
  const quantiles = [
    { server: webhook, us: result.p50_us, row: 0, label: `p50 ${result.p50_us} µs` },
    { server: webhook, us: result.p99_us, row: 0, label: `p99 ${result.p99_us} µs` },
    { server: bare, us: result.p50_us_bare, row: 1, label: `p50 ${result.p50_us_bare} µs` },
    { server: bare, us: result.p99_us_bare, row: 1, label: `p99 ${result.p99_us_bare} µs` },
  ];
  const scale = { domain: [webhook, bare], range: [colors.blue, colors.orange] };
  const color = { field: 'server', type: 'nominal' as const, scale };
  const x: PositionFieldDef<Field> = {
    field: 'us',
    type: 'quantitative',
    title: 'latency, µs',
    scale: { domain: [0, endUs], nice: false },
  };
  const chart: TopLevelSpec = {
    width,
    height: 260,
    title: `Latency with ${connections} requests in flight`,
    layer: [
      {
        data: { values: distribution },
        mark: { type: 'area', interpolate: 'step-after', fillOpacity: 0.2, line: { strokeWidth: 1.5 } },
        encoding: {
          x,
          y: {
            field: 'percent',
            type: 'quantitative',
            title: `requests, % per ${stepUs} µs`,
            stack: null,
            axis: { format: 'd' },
          },
          color,
        },
      },
      {
        data: { values: quantiles },
        mark: { type: 'rule', strokeDash: [4, 3], strokeWidth: 1.2 },
        encoding: { x, color },
      },
      ...[0, 1].map(
        (row): UnitSpec<Field> => ({
          data: { values: quantiles.filter((quantile) => quantile.row === row) },
          mark: {
            type: 'text',
            align: row === 0 ? 'left' : 'right',
            dx: row === 0 ? 5 : -5,
            y: 8 + 17 * row,
            fontWeight: 600,
          },
          encoding: { x, text: { field: 'label' }, color },
        }),
      ),
    ],
  };
  return await renderChart(chart, {
    title: 'Latency of the webhook and of a bare server',
    description:
      `Distribution of the latencies of admission requests. The webhook's median is ${result.p50_us} µs and its p99 ` +
      `${result.p99_us} µs. The bare server's median is ${result.p50_us_bare} µs and its p99 ${result.p99_us_bare} µs.`,
  });
}

/** Draws the writes per second and the remaining lifetimes of all tokens during one renewal. */
export async function drawScale(result: ScaleResult): Promise<string> {
  const { namespaces, writes_per_second: limit } = result;
  const writes = result.seconds.map(([second, count]) => ({ second, writes: count }));
  const names = ['median', 'shortest'];
  const lifetimes = result.seconds.flatMap(([second, , shortest, median]) =>
    [median, shortest].map((hours, index) => ({ second, hours, name: names[index] })),
  );
  const x: PositionFieldDef<Field> = {
    field: 'second',
    type: 'quantitative',
    title: 'seconds since the first write',
    scale: { nice: false },
    axis: { format: 'd' },
  };
  const count = namespaces.toLocaleString('en');
  const chart: TopLevelSpec = {
    spacing: 24,
    resolve: { legend: { color: 'independent' } },
    vconcat: [
      {
        width,
        height: 130,
        title: `Secrets written per second, limit ${limit}`,
        layer: [
          {
            data: { values: writes },
            mark: {
              type: 'area',
              interpolate: 'step-after',
              color: colors.blue,
              fillOpacity: 0.2,
              line: { color: colors.blue, strokeWidth: 1.2 },
            },
            encoding: { x, y: { field: 'writes', type: 'quantitative', title: 'writes' } },
          },
          {
            data: { values: [{ limit }] },
            mark: { type: 'rule', color: colors.orange, strokeDash: [4, 3], strokeWidth: 1.5 },
            encoding: { y: { field: 'limit', type: 'quantitative' } },
          },
        ],
      },
      {
        width,
        height: 190,
        title: `Remaining lifetime of the tokens in ${count} namespaces`,
        data: { values: lifetimes },
        mark: { type: 'line', interpolate: 'step-after', strokeWidth: 2 },
        encoding: {
          x,
          y: {
            field: 'hours',
            type: 'quantitative',
            title: 'hours',
            scale: { domain: [0, 13] },
            axis: { values: [0, 3, 6, 9, 12] },
          },
          color: {
            field: 'name',
            type: 'nominal',
            sort: null,
            scale: { domain: names, range: [colors.blue, colors.orange] },
          },
        },
      },
    ],
  };
  const [, , before] = result.seconds[0] ?? [];
  return await renderChart(chart, {
    title: `Renewal of ${count} pull Secrets`,
    description:
      `All Secrets are written in ${result.renewal_seconds.toFixed(0)} seconds, with a limit of ${limit} writes per second. ` +
      `The shortest remaining lifetime rises from ${before?.toFixed(0)} h to 12 h ` +
      'because the tokens that expire first are replaced first.',
  });
}

/** Draws the stored tokens of each region over the simulated time, with the outages of ECR. */
export async function drawSimulation({ hours, namespaces, regions }: SimulationResult): Promise<string> {
  const x: PositionFieldDef<Field> = {
    type: 'quantitative',
    title: null,
    scale: { domain: [0, hours], nice: false },
    axis: { values: Array.from({ length: hours / 6 + 1 }, (_, index) => 6 * index) },
  };
  const least = Math.min(...regions.flatMap(({ samples }) => samples.map(([, shortest]) => shortest)));
  const y: PositionFieldDef<Field> = {
    type: 'quantitative',
    title: 'hours left',
    scale: { domain: [Math.min(0, Math.floor(least / 3) * 3), 12] },
    axis: { values: [-3, 0, 3, 6, 9, 12] },
  };
  const panels = regions.map((region, index) => {
    const isLast = index === regions.length - 1;
    return regionPanel(region, isLast ? { ...x, title: 'simulated hours' } : x, y);
  });
  const outages = regions.flatMap(({ region, outages }) =>
    outages.map(({ from, until, fault }) => `${region} ${nameOf(fault)} from hour ${from} to ${until}`),
  );
  return await renderChart(
    {
      spacing: 14,
      title: {
        text: `Remaining lifetime of the stored tokens of ${namespaces} namespaces`,
        subtitle: [
          'Line: shortest lifetime. Band: up to the longest. Shaded: outage of ECR.',
          'Marks at the bottom: fetched tokens (green), failed calls (orange).',
        ],
      },
      vconcat: panels,
    },
    {
      title: `Tokens of ${namespaces} namespaces over ${hours} simulated hours`,
      description:
        'For each region, the range of the remaining lifetimes of all stored tokens, with the outages of ECR and the ' +
        `calls for tokens. Outages: ${outages.join('; ')}.`,
    },
  );
}

function regionPanel(
  { region, samples, fetched, failed, outages }: RegionResult,
  x: PositionFieldDef<Field>,
  y: PositionFieldDef<Field>,
): LayerSpec<Field> {
  const lifetimes = samples.map(([hour, shortest, , longest]) => ({ hour, shortest, longest }));
  const named = outages.map(({ from, until, fault }) => ({
    from,
    until,
    middle: (from + until) / 2,
    name: nameOf(fault),
  }));
  const calls = (hoursOf: readonly number[], color: string, fromBottom: number): UnitSpec<Field> => ({
    // At most one mark for six minutes.
    data: {
      values: [...new Set(hoursOf.map((hour) => Math.round(hour * 10) / 10))].map((hour) => ({ hour })),
    },
    mark: { type: 'tick', orient: 'vertical', y: panelHeight - fromBottom, height: 7, color, thickness: 1.5 },
    encoding: { x: { ...x, field: 'hour' } },
  });
  return {
    width,
    height: panelHeight,
    title: region,
    layer: [
      {
        data: { values: named },
        mark: { type: 'rect', color: colors.outage },
        encoding: { x: { ...x, field: 'from' }, x2: { field: 'until' } },
      },
      {
        data: { values: lifetimes },
        mark: { type: 'area', color: colors.blue, fillOpacity: 0.25 },
        encoding: { x: { ...x, field: 'hour' }, y: { ...y, field: 'shortest' }, y2: { field: 'longest' } },
      },
      {
        data: { values: lifetimes },
        mark: { type: 'line', color: colors.blue, strokeWidth: 1.6 },
        encoding: { x: { ...x, field: 'hour' }, y: { ...y, field: 'shortest' } },
      },
      {
        data: { values: [{ expired: 0 }] },
        mark: { type: 'rule', color: colors.muted, strokeWidth: 1 },
        encoding: { y: { ...y, field: 'expired' } },
      },
      {
        data: { values: named },
        mark: { type: 'text', y: -8, color: colors.orange, fontWeight: 600 },
        encoding: { x: { ...x, field: 'middle' }, text: { field: 'name' } },
      },
      calls(failed, colors.orange, 6),
      calls(fetched, colors.green, 16),
    ],
  };
}

const panelHeight = 150;

function nameOf(fault: string): string {
  const names: Readonly<Record<string, string>> = {
    ThrottlingException: 'throttled',
    AccessDeniedException: 'denied',
    'connection closed': 'down',
  };
  return names[fault] ?? fault;
}

/** Returns the share of requests in each step up to `endUs`, in percent of all requests. */
function percentages(
  counts: readonly BucketCount[],
  stepUs: number,
  endUs: number,
): { us: number; percent: number }[] {
  const total = counts.reduce((sum, [, requests]) => sum + requests, 0);
  return Array.from({ length: Math.ceil(endUs / stepUs) }, (_, step) => {
    const inStep = counts.filter(([us]) => Math.floor(us / stepUs) === step);
    const requests = inStep.reduce((sum, [, count]) => sum + count, 0);
    return { us: step * stepUs, percent: Number(((100 * requests) / total).toFixed(3)) };
  });
}
