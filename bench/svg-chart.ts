// Renders a Vega-Lite chart as SVG that is legible on light and dark pages and has a title and a description.
import { parse, resetSVGDefIds, View } from 'vega';
import { type Config, compile, type TopLevelSpec } from 'vega-lite';

/** Colours on a light page. On a dark page a style sheet replaces each of them. */
export const colors = {
  text: '#1f2933',
  muted: '#52606d',
  grid: '#d5dbe1',
  blue: '#2f6fb0',
  orange: '#b8611b',
  green: '#3d7f4e',
  outage: '#fcebdd',
} as const;

const background = { light: '#ffffff', dark: '#161b22' };

const darkColors: Readonly<Record<keyof typeof colors, string>> = {
  text: '#e6ebf0',
  muted: '#a9b4c0',
  grid: '#3a444f',
  blue: '#6aa9e9',
  orange: '#e9a066',
  green: '#74c08a',
  outage: '#4a3320',
};

const config: Config = {
  aria: false,
  background: 'transparent',
  font: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
  axis: {
    domainColor: colors.muted,
    gridColor: colors.grid,
    tickColor: colors.muted,
    labelColor: colors.muted,
    titleColor: colors.muted,
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'normal',
  },
  legend: {
    labelColor: colors.text,
    labelFontSize: 13,
    labelLimit: 400,
    symbolStrokeWidth: 3,
    title: null,
    orient: 'top',
  },
  title: {
    color: colors.text,
    fontSize: 14,
    fontWeight: 600,
    anchor: 'start',
    offset: 12,
    subtitleColor: colors.muted,
    subtitleFontSize: 12,
  },
  text: { color: colors.muted, fontSize: 12 },
  view: { stroke: null },
};

/** What screen readers announce, and what is shown while the pointer rests on the picture. */
export interface ChartText {
  readonly title: string;
  readonly description: string;
}

/** The same chart always yields the same text. */
export async function renderChart(chart: TopLevelSpec, { title, description }: ChartText): Promise<string> {
  // Vega numbers clip paths consecutively in each process.
  resetSVGDefIds();
  const { spec } = compile({ padding: 16, ...chart }, { config });
  const svg = await new View(parse(spec), { renderer: 'none' }).toSVG();
  const body = svg
    .slice(svg.indexOf('>') + 1, svg.lastIndexOf('</svg>'))
    // The title and the description of the whole picture say more than the roles of its parts.
    .replaceAll(/ (role|aria-[a-z]+)="[^"]*"/g, '')
    .replaceAll(/-?\d+\.\d{2,}/g, (number) => String(Number(Number(number).toFixed(1))))
    .replaceAll('<g ', '\n<g ')
    .trim();
  const [, width, height] = /width="([\d.]+)" height="([\d.]+)"/.exec(svg) ?? [];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title description">
<title id="title">${escapeXml(title)}</title>
<desc id="description">${escapeXml(description)}</desc>
<style>
.page { fill: ${background.light}; stroke: ${colors.grid}; }
@media (prefers-color-scheme: dark) {
.page { fill: ${background.dark}; stroke: ${darkColors.grid}; }
${darkRules().join('\n')}
}
</style>
<rect class="page" x="0.5" y="0.5" width="${Number(width) - 1}" height="${Number(height) - 1}" rx="8"/>
${body}
</svg>
`;
}

function darkRules(): string[] {
  return Object.entries(darkColors).flatMap(([name, dark]) => {
    const light = colors[name as keyof typeof colors];
    return ['fill', 'stroke'].map((property) => `[${property}="${light}"] { ${property}: ${dark}; }`);
  });
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
