// Renders terminal output (text with ANSI bold and colours) as an SVG picture.

/** What the picture shows and how it is described to readers who do not see it. */
export interface TerminalPictureOptions {
  readonly title: string;
  readonly description: string;
  /** The command line above the output. */
  readonly command: string;
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
  ['32', 'green'],
  ['33', 'yellow'],
]);

/**
 * Returns an SVG document with a dark terminal window, legible on light and dark pages.
 * Escape sequences other than bold, dim, green and yellow end the current style.
 */
export function renderTerminal(
  output: string,
  { title, description, command }: TerminalPictureOptions,
): string {
  const lines = [`${escapeCode}[32m$${escapeCode}[39m ${command}`, ...output.trimEnd().split('\n')];
  const longest = Math.max(...lines.map((line) => plainText(line).length));
  const width = Math.ceil(longest * characterWidth) + 2 * margin;
  const height = barHeight + lines.length * lineHeight + margin;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title description">
<title id="title">${escapeXml(title)}</title>
<desc id="description">${escapeXml(description)}</desc>
<style>
text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: ${fontSize}px; fill: #d4dae1; white-space: pre; }
.bold { font-weight: bold; fill: #ffffff; }
.dim { fill: #9aa5b1; }
.green { fill: #5fd38d; }
.yellow { fill: #f2c55c; }
</style>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8" fill="#1b222b" stroke="#56616d"/>
<circle cx="20" cy="17" r="5.5" fill="#e0695e"/>
<circle cx="38" cy="17" r="5.5" fill="#dfb14a"/>
<circle cx="56" cy="17" r="5.5" fill="#5ab567"/>
${lines.map(renderLine).filter(Boolean).join('\n')}
</svg>
`;
}

function renderLine(line: string, index: number): string {
  const spans = [];
  let style = '';
  for (const [position, part] of line.split(styleSequence).entries()) {
    // split() alternates between text and the captured code.
    if (position % 2 === 1) {
      style = classesOfCodes.get(part) ?? '';
    } else if (part !== '' && style === '') {
      spans.push(escapeXml(part));
    } else if (part !== '') {
      spans.push(`<tspan class="${style}">${escapeXml(part)}</tspan>`);
    }
  }
  if (spans.length === 0) {
    return '';
  }
  const y = barHeight + (index + 1) * lineHeight - 6;
  return `<text x="${margin}" y="${y}" xml:space="preserve">${spans.join('')}</text>`;
}

function plainText(line: string): string {
  return line
    .split(styleSequence)
    .filter((_, position) => position % 2 === 0)
    .join('');
}

function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
