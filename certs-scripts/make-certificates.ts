import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { CertificateError } from '../src/certificates/certificate-error.ts';
import {
  getServiceDnsNames,
  issueCaCertificate,
  issueServingCertificate,
} from '../src/certificates/issue.ts';

const usage = `Makes a certificate authority and a serving certificate for the webhook.

  node certs-scripts/make-certificates.ts --service NAME --namespace NAMESPACE [options]

For whom (at least one name):
  --service NAME         the webhook's Service; with --namespace gives NAME.NAMESPACE.svc
  --namespace NAMESPACE  the Service's namespace, also written into the Secret
  --dns NAME             one more DNS name; may be repeated
  --ip ADDRESS           one more IP address; may be repeated

For how long:
  --days N               the serving certificate, default 365 (never longer than the authority)
  --ca-days N            the authority, default 3650

Where to:
  --out DIR              ca.crt, ca.key, tls.crt, tls.key in DIR (made if need be); default: here
  --force                overwrite files that are there
  --secret NAME          instead of files, a Secret manifest on standard output, with the caBundle

  --help
`;

const options = {
  service: { type: 'string' },
  namespace: { type: 'string' },
  dns: { type: 'string', multiple: true },
  ip: { type: 'string', multiple: true },
  days: { type: 'string', default: '365' },
  'ca-days': { type: 'string', default: '3650' },
  out: { type: 'string' },
  force: { type: 'boolean', default: false },
  secret: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

type Made = { readonly caCert: string; readonly caKey: string; readonly cert: string; readonly key: string };

/** The caller's mistake: one line, exit code 2. Anything else that goes wrong: one line, exit code 1. */
class UsageError extends Error {}

async function main(args: readonly string[]): Promise<string> {
  const flags = readFlags(args);
  if (flags.help) return usage;
  if (flags.secret !== undefined && (flags.out !== undefined || flags.force)) {
    throw new UsageError('--secret writes no files: it goes without --out and --force');
  }
  const lives = { days: days('--days', flags.days), caDays: days('--ca-days', flags['ca-days']) };
  const made = await make(namesOf(flags), flags.ip ?? [], lives);
  if (flags.secret !== undefined) return secretManifest(flags.secret, flags.namespace, made);
  return writeFiles(flags.out ?? '.', flags.force, made);
}

function readFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function namesOf(flags: ReturnType<typeof readFlags>): string[] {
  const { service, namespace, dns = [] } = flags;
  if (service === undefined) return dns;
  if (namespace === undefined) throw new UsageError('--service goes with --namespace');
  return [...getServiceDnsNames(service, namespace), ...dns];
}

function days(flag: string, text: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number > 0) return number * 86_400_000;
  throw new UsageError(`${flag} wants a whole number of days from 1 to 99999, not ${JSON.stringify(text)}`);
}

async function make(
  dnsNames: string[],
  ipAddresses: string[],
  lives: { days: number; caDays: number },
): Promise<Made> {
  const now = Date.now();
  const ca = await issueCaCertificate({ commonName: 'ecr-pull-secrets CA', now, validForMs: lives.caDays });
  const request = { ca, dnsNames, ipAddresses, now, validForMs: lives.days };
  const serving = await issueServingCertificate(request);
  return { caCert: ca.certPem, caKey: ca.keyPem, cert: serving.certPem, key: serving.keyPem };
}

function secretManifest(name: string, namespace: string | undefined, made: Made): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    type: 'kubernetes.io/tls',
    data: { 'ca.crt': base64(made.caCert), 'tls.crt': base64(made.cert), 'tls.key': base64(made.key) },
  };
  const caBundle = `# caBundle of the webhook configuration, the same as ca.crt below:\n# ${base64(made.caCert)}\n`;
  return caBundle + stringify(secret, { lineWidth: 0 });
}

async function writeFiles(folder: string, force: boolean, made: Made): Promise<string> {
  const files = [
    { path: join(folder, 'ca.crt'), text: made.caCert, mode: 0o644 },
    { path: join(folder, 'ca.key'), text: made.caKey, mode: 0o600 },
    { path: join(folder, 'tls.crt'), text: made.cert, mode: 0o644 },
    { path: join(folder, 'tls.key'), text: made.key, mode: 0o600 },
  ];
  const present = force ? [] : (await Promise.all(files.map(presence))).flat();
  if (present.length > 0) throw new Error(`already there, and --force was not given: ${present.join(', ')}`);
  await mkdir(folder, { recursive: true });
  for (const { path, text, mode } of files) {
    // Removed first: the mode counts only for a new file, and wx follows no symlink that somebody put there.
    await rm(path, { force: true });
    await writeFile(path, text, { mode, flag: 'wx' });
  }
  return files.map(({ path }) => `${path}\n`).join('');
}

async function presence({ path }: { path: string }): Promise<string[]> {
  return access(path).then(
    () => [path],
    () => [],
  );
}

try {
  process.stdout.write(await main(process.argv.slice(2)));
} catch (error) {
  const badUsage =
    error instanceof UsageError || (error instanceof CertificateError && error.code === 'bad-name');
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`make-certificates: ${message}${badUsage ? '; see --help' : ''}\n`);
  process.exitCode = badUsage ? 2 : 1;
}
