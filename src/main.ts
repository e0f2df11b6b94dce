#!/usr/bin/env node
import { readFile } from 'node:fs/promises';
import packageJson from '../package.json' with { type: 'json' };
import { readCommand, usage } from './cli.ts';
import { ConfigError, readConfig } from './config/load-config.ts';
import type { Config } from './config/schema.ts';
import { removeHostsOnce, syncOnce, uninstallOnce } from './once.ts';
import { serve } from './serve.ts';
import { serializeError } from './telemetry/log-fields.ts';
import { toPrintable } from './telemetry/redact.ts';

async function main(args: readonly string[]): Promise<void> {
  const command = readCommand(args);
  switch (command.name) {
    case 'help':
      process.stdout.write(usage);
      return;
    case 'version':
      process.stdout.write(`${packageJson.version}\n`);
      return;
    case 'usage-error':
      process.stderr.write(`ecr-pull-secrets: ${toPrintable(command.problem)}\n\n${usage}`);
      process.exitCode = 2;
      return;
    case 'serve':
      await serve(await configFrom(command.configFile), process.env);
      return;
    case 'certificates':
      // The other commands need not wait until node-forge is loaded.
      await (await import('./manage-certificates.ts')).manageCertificates(
        await configFrom(command.configFile),
      );
      return;
    case 'sync':
      process.exitCode = await syncOnce({ command, ...(await surroundings(command.configFile)) });
      return;
    case 'uninstall':
      process.exitCode = await uninstallOnce({ command, ...(await surroundings(command.configFile)) });
      return;
    case 'remove-host':
      process.exitCode = await removeHostsOnce({ command, ...(await surroundings(command.configFile)) });
  }
}

async function surroundings(file: string | undefined) {
  const config = await configFrom(file);
  const source = file ?? 'the default configuration';
  return { config, source, environment: process.env, stdout: process.stdout, stderr: process.stderr };
}

async function configFrom(file: string | undefined): Promise<Config> {
  if (file === undefined) {
    return readConfig('', 'the default configuration');
  }
  const yaml = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new ConfigError(file, [{ path: '', text: `cannot be read (${serializeError(error)['code']})` }]);
  });
  return readConfig(yaml, file);
}

// a full disk or a closed pipe at standard error changes neither what a command does nor its exit code
process.stderr.on('error', () => undefined);

main(process.argv.slice(2)).catch((error: unknown) => {
  const { message, code, stack } = serializeError(error);
  process.stderr.write(
    toPrintable(
      `ecr-pull-secrets: ${message}\n${code === undefined && stack !== undefined ? `${stack}\n` : ''}`,
    ),
  );
  process.exit(error instanceof ConfigError ? 2 : 1);
});
