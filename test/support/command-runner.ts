import { stringify } from 'yaml';
import { readCommand } from '../../src/cli.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { removeHostsOnce, syncOnce, uninstallOnce } from '../../src/once.ts';

/** What a command that ends left behind. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `sync`, `uninstall` or `remove-host` in this process, as the command line does. */
export async function runOnce(
  args: readonly string[],
  kubeconfigPath: string,
  settings: Record<string, unknown> = {},
): Promise<Ended> {
  const command = readCommand(args);
  const config = readConfig(stringify({ ...settings, kubernetes: { kubeconfig: kubeconfigPath } }), 'test');
  const written = { stdout: '', stderr: '' };
  const once = {
    config,
    source: 'test.yaml',
    environment: process.env,
    stdout: { write: (text: string) => (written.stdout += text) },
    stderr: { write: (text: string) => (written.stderr += text) },
  };
  if (command.name === 'sync') {
    return { code: await syncOnce({ ...once, command }), ...written };
  }
  if (command.name === 'uninstall') {
    return { code: await uninstallOnce({ ...once, command }), ...written };
  }
  if (command.name === 'remove-host') {
    return { code: await removeHostsOnce({ ...once, command }), ...written };
  }
  throw new Error(JSON.stringify(command));
}
