// Pulls an image with skopeo, authenticated only by the content of a pull Secret.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from '../support/run-program.ts';
import type { EcrHosts } from './ecr-hosts.ts';
import { requiredPullPrograms } from './pull-tools.ts';

/** The result of a pull. */
export interface Pulled {
  readonly ok: boolean;
  /** What skopeo wrote. */
  readonly output: string;
  /** The image as skopeo stored it: its blobs, by the hex form of their SHA-256, and its `manifest.json`. */
  readonly files: ReadonlyMap<string, Buffer>;
}

/**
 * Copies an image from ECR to a folder with skopeo, authenticated only by the content of a pull Secret.
 * @param dockerconfigjson the value in the Secret
 */
export async function pull(hosts: EcrHosts, image: string, dockerconfigjson: string): Promise<Pulled> {
  const folder = await mkdtemp(join(tmpdir(), 'pull-'));
  try {
    const authFile = join(folder, 'auth.json');
    await writeFile(authFile, dockerconfigjson, { mode: 0o600 });
    const certs = join(folder, 'certs');
    await mkdir(certs);
    await writeFile(join(certs, 'ca.crt'), hosts.caPem);
    const target = join(folder, 'image');
    const from = [`--src-authfile=${authFile}`, `--src-cert-dir=${certs}`, `docker://${image}`];
    const done = await skopeo(['--insecure-policy', 'copy', ...from, `dir:${target}`], {
      PATH: process.env['PATH'],
      HOME: folder, // without credentials and settings of the current user
      TMPDIR: folder,
      HTTPS_PROXY: hosts.proxyUrl,
    });
    return { ...done, files: done.ok ? await filesIn(target) : new Map() };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function skopeo(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<{ ok: boolean; output: string }> {
  const options = { env, timeout: 60_000 };
  const { code, stdout, stderr } = await runProgram(requiredPullPrograms.client, args, options);
  return { ok: code === 0, output: `${stdout}${stderr}` };
}

async function filesIn(folder: string): Promise<Map<string, Buffer>> {
  const names = await readdir(folder);
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)),
  );
}
