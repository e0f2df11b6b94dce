// Shows a pulled image in a new local cluster: npm run try
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join, relative, resolve } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import { build } from 'esbuild';
import { runs } from '../image/engine.ts';
import { obtainHelmProgram, obtainKubectl } from '../test/chart/helm.ts';
import { findProgram } from '../test/support/executables.ts';
import { filesFor } from './files.ts';
import { nodeOf, planDelete, planTry, type Step } from './plan.ts';
import { type AwsKeys, type ClusterTool, clusterName, type TrySettings } from './settings.ts';

const usage = `Creates a local cluster with k3d or kind, installs ecr-pull-secrets in it, and pulls an image.

  npm run try [-- [--tool k3d|kind] [--image IMAGE] [--stand-in] [--folder FOLDER]]
  npm run try -- --delete [--tool k3d|kind] [--folder FOLDER]

With AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, the program uses this key, and --image names an image in
your ECR registry. Without a key, or with --stand-in, an ECR stand-in in the cluster takes the place of AWS.
The files of the cluster are in FOLDER (default: .try). See docs/how-to/try-on-a-laptop.md.
`;

const root = join(import.meta.dirname, '..');

/** An error that the user can act on. */
class TryError extends Error {
  override readonly name = 'TryError';
}

async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      tool: { type: 'string' },
      image: { type: 'string' },
      folder: { type: 'string', default: join(root, '.try') },
      'stand-in': { type: 'boolean' },
      delete: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    print(usage);
    return;
  }
  const tool = chooseTool(values.tool, process.env);
  if (!runs('docker', ['info'], process.env)) {
    throw new TryError('docker is not installed, or its daemon does not run');
  }
  const folder = join(resolve(values.folder), tool);
  const hasCluster = isOwnCluster(tool, folder);
  if (values.delete) {
    deleteAll(tool, folder, hasCluster);
    return;
  }
  const keys = values['stand-in'] ? undefined : readKeys(process.env);
  if (keys === undefined && values.image !== undefined) {
    throw new TryError(
      '--image needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, because the ECR stand-in has its own image',
    );
  }
  await createAll({ tool, folder, keys, image: values.image, hasCluster });
}

function chooseTool(wanted: string | undefined, env: NodeJS.ProcessEnv): ClusterTool {
  if (wanted !== undefined && wanted !== 'k3d' && wanted !== 'kind') {
    throw new TryError(`--tool takes k3d or kind, not ${wanted}`);
  }
  const candidates: ClusterTool[] = wanted === undefined ? ['k3d', 'kind'] : [wanted];
  const found = candidates.find((tool) => findProgram(tool, env) !== undefined);
  if (found === undefined) {
    throw new TryError(`install ${candidates.join(' or ')} first (https://k3d.io, https://kind.sigs.k8s.io)`);
  }
  return found;
}

function readKeys(env: NodeJS.ProcessEnv): AwsKeys | undefined {
  const accessKeyId = env['AWS_ACCESS_KEY_ID'];
  const secretAccessKey = env['AWS_SECRET_ACCESS_KEY'];
  return accessKeyId && secretAccessKey
    ? { accessKeyId, secretAccessKey, sessionToken: env['AWS_SESSION_TOKEN'] || undefined }
    : undefined;
}

/** Holds the ID of the node that this script created, so that no other cluster is mistaken for its own. */
const stateFile = 'node-id';

/**
 * Whether the cluster exists and this script created it.
 * @throws {TryError} if it exists and something else created it
 */
function isOwnCluster(tool: ClusterTool, folder: string): boolean {
  const nodeId = readNodeId(tool);
  if (nodeId === undefined) {
    return false;
  }
  if (nodeId !== readState(folder)) {
    throw new TryError(
      `the ${tool} cluster ${clusterName} exists, and npm run try did not create it; delete it yourself if you do not need it`,
    );
  }
  return true;
}

function readNodeId(tool: ClusterTool): string | undefined {
  const { status, stdout } = spawnSync('docker', ['inspect', '--format', '{{.Id}}', nodeOf({ tool })], {
    encoding: 'utf8',
  });
  return status === 0 ? stdout.trim() : undefined;
}

function readState(folder: string): string | undefined {
  try {
    return readFileSync(join(folder, stateFile), 'utf8');
  } catch {
    return undefined;
  }
}

async function createAll(settings: TrySettings): Promise<void> {
  const { tool, folder, keys, image } = settings;
  const env = await prepareEnvironment(folder);
  writeFiles(settings);
  if (keys === undefined) {
    await bundleStandIn(join(folder, 'image/stand-in.mjs'));
  }
  print(`$ export KUBECONFIG=${env['KUBECONFIG']}\n`);
  // The commands run in the root folder.
  const shown = folder.startsWith(`${root}/`) ? relative(root, folder) : folder;
  for (const step of planTry({ ...settings, folder: shown })) {
    runStep(step, env);
    if (step.isCreation) {
      writeFileSync(join(folder, stateFile), readNodeId(tool) ?? '');
    }
  }
  print(closingText(keys !== undefined && image === undefined));
}

function closingText(needsImage: boolean): string {
  return [
    ...(needsImage
      ? ['', 'Now create a pod with an image in your registry:', '  kubectl run cart --image=IMAGE']
      : []),
    '',
    'Look around, with the KUBECONFIG above:',
    '  kubectl exec -n ecr-pull-secrets deploy/ecr-pull-secrets -- ecr-pull-secrets status',
    'Remove everything:',
    '  npm run try -- --delete',
    '',
  ].join('\n');
}

/** The environment of the commands: the new kubeconfig, and Helm and kubectl in PATH. */
async function prepareEnvironment(folder: string): Promise<NodeJS.ProcessEnv> {
  const kubectl = (await obtainKubectl(process.env)) ?? findProgram('kubectl', process.env);
  if (kubectl === undefined) {
    throw new TryError('install kubectl first (https://kubernetes.io/docs/tasks/tools/)');
  }
  const helm = await obtainHelmProgram(process.env).catch(() => {
    throw new TryError('install Helm first (https://helm.sh/docs/intro/install/)');
  });
  const path = [dirname(helm), dirname(kubectl), process.env['PATH']].join(delimiter);
  return { ...process.env, PATH: path, KUBECONFIG: join(folder, 'kubeconfig') };
}

function writeFiles(settings: TrySettings): void {
  mkdirSync(join(settings.folder, 'image'), { recursive: true });
  for (const [name, content] of Object.entries(filesFor(settings))) {
    writeFileSync(join(settings.folder, name), content);
  }
}

async function bundleStandIn(outfile: string): Promise<void> {
  await build({
    entryPoints: [join(import.meta.dirname, 'stand-in.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'warning',
  });
}

function deleteAll(tool: ClusterTool, folder: string, hasCluster: boolean): void {
  if (hasCluster) {
    for (const step of planDelete({ tool, folder })) {
      runStep(step, process.env);
    }
  } else {
    print(`npm run try has no ${tool} cluster\n`);
  }
  rmSync(folder, { recursive: true, force: true });
}

/** @throws {TryError} if the command fails */
function runStep({ title, command, input }: Step, env: NodeJS.ProcessEnv): void {
  const [program = '', ...args] = command;
  print(`\n${styleText('bold', title)}\n$ ${command.map(quote).join(' ')}\n`);
  const stdin = input === undefined ? 'ignore' : 'pipe';
  const { status, signal, error } = spawnSync(program, args, {
    ...{ cwd: root, env, stdio: [stdin, 'inherit', 'inherit'] },
    ...(input !== undefined && { input }),
  });
  if (status !== 0) {
    throw new TryError(
      `${program} failed (${error?.message ?? signal ?? `exit code ${status}`}); run the script again to continue, or with --delete to clean up`,
    );
  }
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`;
}

function print(text: string): void {
  process.stdout.write(text);
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.exitCode = 1;
  process.stderr.write(
    error instanceof TryError ? `npm run try: ${error.message}\n` : `${String(Object(error).stack)}\n`,
  );
});
