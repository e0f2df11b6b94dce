// The values files in the chart's folder ci/, which chart-testing (`ct install`) uses as well.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { chartFolder, type Values } from './helm.ts';
import type { PodSecurityStandard } from './pod-security.ts';

/** A values file. The comment at its start may contain `# Pod Security Standard: …` and `# Kubernetes: 1.N or later`. */
export interface CiValues {
  /** The name of the file without `-values.yaml`. */
  readonly name: string;
  readonly path: string;
  readonly values: Values;
  /** The strictest standard that the pods meet. */
  readonly podSecurity: PodSecurityStandard;
  /** The first minor version of Kubernetes that the values need; 30 by default, the first that the chart supports. */
  readonly since: number;
}

const folder = join(chartFolder, 'ci');
const suffix = '-values.yaml';

/** @throws {Error} if a file has another name than chart-testing expects, or says no purpose */
export function readCiValues(): CiValues[] {
  return readdirSync(folder).map((file) => {
    if (!file.endsWith(suffix)) {
      throw new Error(`ci/${file}: chart-testing uses only *${suffix}`);
    }
    const path = join(folder, file);
    const text = readFileSync(path, 'utf8');
    const [comment = ''] = /^(#.*\n)*/.exec(text) ?? [];
    if (!/^# \S/.test(comment)) {
      throw new Error(`ci/${file} must begin with a comment that says what the values are for`);
    }
    const standard = /^# Pod Security Standard: (\w+)/m.exec(comment)?.[1] ?? 'restricted';
    if (!isStandard(standard)) {
      throw new Error(`ci/${file}: ${standard} is no Pod Security Standard`);
    }
    const since = Number(/^# Kubernetes: 1\.(\d+) or later/m.exec(comment)?.[1] ?? 30);
    const name = file.slice(0, -suffix.length);
    return { name, path, values: parse(text) ?? {}, podSecurity: standard, since };
  });
}

function isStandard(text: string): text is PodSecurityStandard {
  return ['restricted', 'baseline', 'privileged'].includes(text);
}
