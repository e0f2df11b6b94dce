// Renders terminal output (text with ANSI bold and colours) as an SVG picture.

/** What the picture shows and how it is described to readers who do not see it. */
export interface TerminalPictureOptions {
  readonly title: string;
  readonly description: string;
  /** The command line above the output. */
  readonly command: string;
  /** The width of the terminal in characters, at which longer lines are wrapped. Undefined: no line is wrapped. */
  readonly columns?: number;
}

const fontSize = 13;
const characterWidth = 7.83;
const lineHeight = 19;
const margin = 20;
const barHeight = 34;

const escapeCode = String.fromCharCode(27);
const styleSequence = new RegExp(`${escapeCode}\\[(\\d+)m`);
const classesOfCodes = new Map([
  ['1', 'bold'],
  ['2', 'dim'],
  ['31', 'red'],
  ['32', 'green'],
  ['33', 'yellow'],
  ['90', 'dim'],
]);

/** A part of a line in one style. */
interface Span {
  readonly text: string;
  /** A class of the style sheet, or empty. */
  readonly style: string;
}

/**
 * Returns an SVG document with a terminal window, light or dark as the reader prefers.
 * Escape sequences other than bold, dim, grey, red, green and yellow end the current style.
 */
export function renderTerminal(
  output: string,
  { title, description, command, columns = Number.POSITIVE_INFINITY }: TerminalPictureOptions,
): string {
  const text = `${escapeCode}[32m$${escapeCode}[39m ${command}\n${output.trimEnd()}`;
  const lines = text.split('\n').flatMap((line) => wrap(parseLine(line), columns));
  const longest = Math.max(...lines.map(countCharacters));
  const width = Math.ceil(longest * characterWidth) + 2 * margin;
  const height = barHeight + lines.length * lineHeight + margin;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title description">
<title id="title">${escapeXml(title)}</title>
<desc id="description">${escapeXml(description)}</desc>
<style>
text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: ${fontSize}px; fill: #1f2933; white-space: pre; }
.window { fill: #fbfcfd; stroke: #c3ccd5; }
.bold { font-weight: bold; fill: #000000; }
.dim { fill: #5c6875; }
.red { fill: #b42318; }
.green { fill: #13713b; }
.yellow { fill: #855900; }
@media (prefers-color-scheme: dark) {
text { fill: #d4dae1; }
.window { fill: #1b222b; stroke: #56616d; }
.bold { fill: #ffffff; }
.dim { fill: #9aa5b1; }
.red { fill: #ff8577; }
.green { fill: #5fd38d; }
.yellow { fill: #f2c55c; }
}
</style>
<rect class="window" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
<circle cx="20" cy="17" r="5.5" fill="#e0695e"/>
<circle cx="38" cy="17" r="5.5" fill="#dfb14a"/>
<circle cx="56" cy="17" r="5.5" fill="#5ab567"/>
${lines.map(renderLine).filter(Boolean).join('\n')}
</svg>
`;
}

function parseLine(line: string): Span[] {
  const spans: Span[] = [];
  let style = '';
  for (const [position, text] of line.split(styleSequence).entries()) {
    // split() alternates between text and the captured code.
    if (position % 2 === 1) {
      style = classesOfCodes.get(text) ?? '';
    } else if (text !== '') {
      spans.push({ text, style });
    }
  }
  return spans;
}

/** Continues a line in the next one at the edge of the terminal, as terminals do. */
function wrap(spans: readonly Span[], columns: number): Span[][] {
  const lines: Span[][] = [[]];
  let used = 0;
  for (const { text, style } of spans) {
    let rest = text;
    while (rest !== '') {
      if (used === columns) {
        lines.push([]);
        used = 0;
      }
      const part = rest.slice(0, columns - used);
      lines.at(-1)?.push({ text: part, style });
      used += part.length;
      rest = rest.slice(part.length);
    }
  }
  return lines;
}

function countCharacters(spans: readonly Span[]): number {
  return spans.reduce((sum, { text }) => sum + text.length, 0);
}

function renderLine(spans: readonly Span[], index: number): string {
  if (spans.length === 0) {
    return '';
  }
  const y = barHeight + (index + 1) * lineHeight - 6;
  const parts = spans.map(({ text, style }) =>
    style === '' ? escapeXml(text) : `<tspan class="${style}">${escapeXml(text)}</tspan>`,
  );
  return `<text x="${margin}" y="${y}" xml:space="preserve">${parts.join('')}</text>`;
}

function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
