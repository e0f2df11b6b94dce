// Command line tool that issues a CA and a serving certificate for the webhook.
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
import type { PemKeyPair } from '../src/certificates/key-pair.ts';

const usage = `Issues a CA and a serving certificate for the webhook.

  node certs-scripts/make-certificates.ts --service NAME --namespace NAMESPACE [options]

Names (at least one):
  --service NAME         the webhook's Service; with --namespace adds NAME.NAMESPACE.svc
  --namespace NAMESPACE  namespace of the Service, and of the Secret
  --dns NAME             additional DNS name; may be repeated
  --ip ADDRESS           additional IP address; may be repeated

Lifetimes:
  --days N               lifetime of the serving certificate, default 365 (at most that of the CA)
  --ca-days N            lifetime of the CA, default 3650

Output:
  --out DIR              writes ca.crt, ca.key, tls.crt and tls.key to DIR, created if missing; default: the current directory
  --force                overwrites existing files
  --secret NAME          prints a Secret manifest with the caBundle instead of writing files

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

interface IssuedCertificates {
  readonly ca: PemKeyPair;
  readonly serving: PemKeyPair;
}

/** Invalid flags: one line, exit code 2. Other errors: one line, exit code 1. */
class UsageError extends Error {}

async function main(args: readonly string[]): Promise<string> {
  const flags = parseFlags(args);
  if (flags.help) {
    return usage;
  }
  if (flags.secret !== undefined && (flags.out !== undefined || flags.force)) {
    throw new UsageError('--secret writes no files, so it cannot be combined with --out or --force');
  }
  const lifetimes = {
    servingMs: parseDays('--days', flags.days),
    caMs: parseDays('--ca-days', flags['ca-days']),
  };
  const issued = await issueCertificates(listDnsNames(flags), flags.ip ?? [], lifetimes);
  if (flags.secret !== undefined) {
    return formatSecretManifest(flags.secret, flags.namespace, issued);
  }
  return await writeFiles(flags.out ?? '.', flags.force, issued);
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function listDnsNames(flags: ReturnType<typeof parseFlags>): string[] {
  const { service, namespace, dns = [] } = flags;
  if (service === undefined) {
    return dns;
  }
  if (namespace === undefined) {
    throw new UsageError('--service requires --namespace');
  }
  return [...getServiceDnsNames(service, namespace), ...dns];
}

/** @returns ms */
function parseDays(flag: string, text: string): number {
  const days = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (days > 0) {
    return days * 86_400_000;
  }
  throw new UsageError(`${flag} must be a whole number of days from 1 to 99999, not ${JSON.stringify(text)}`);
}

async function issueCertificates(
  dnsNames: string[],
  ipAddresses: string[],
  lifetimes: { servingMs: number; caMs: number },
): Promise<IssuedCertificates> {
  const now = Date.now();
  const ca = await issueCaCertificate({ commonName: 'ecr-pull-secrets CA', now, validForMs: lifetimes.caMs });
  const request = { ca, dnsNames, ipAddresses, now, validForMs: lifetimes.servingMs };
  return { ca, serving: await issueServingCertificate(request) };
}

function formatSecretManifest(
  name: string,
  namespace: string | undefined,
  { ca, serving }: IssuedCertificates,
): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    type: 'kubernetes.io/tls',
    data: {
      'ca.crt': base64(ca.certPem),
      'tls.crt': base64(serving.certPem),
      'tls.key': base64(serving.keyPem),
    },
  };
  const caBundle = `# caBundle of the webhook configuration, identical to ca.crt below:\n# ${base64(ca.certPem)}\n`;
  return caBundle + stringify(secret, { lineWidth: 0 });
}

async function writeFiles(
  folder: string,
  force: boolean,
  { ca, serving }: IssuedCertificates,
): Promise<string> {
  const files = [
    { path: join(folder, 'ca.crt'), text: ca.certPem, mode: 0o644 },
    { path: join(folder, 'ca.key'), text: ca.keyPem, mode: 0o600 },
    { path: join(folder, 'tls.crt'), text: serving.certPem, mode: 0o644 },
    { path: join(folder, 'tls.key'), text: serving.keyPem, mode: 0o600 },
  ];
  const existing = force ? [] : await listExisting(files.map(({ path }) => path));
  if (existing.length > 0) {
    throw new Error(`files exist, use --force to overwrite them: ${existing.join(', ')}`);
  }
  await mkdir(folder, { recursive: true });
  for (const { path, text, mode } of files) {
    // Removed first, because the mode applies to new files only. The flag wx does not follow a symlink.
    await rm(path, { force: true });
    await writeFile(path, text, { mode, flag: 'wx' });
  }
  return files.map(({ path }) => `${path}\n`).join('');
}

async function listExisting(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    paths.map((path) =>
      access(path).then(
        () => [path],
        () => [],
      ),
    ),
  );
  return found.flat();
}

try {
  process.stdout.write(await main(process.argv.slice(2)));
} catch (error) {
  const isUsageError =
    error instanceof UsageError || (error instanceof CertificateError && error.code === 'invalid-name');
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`make-certificates: ${message}${isUsageError ? '; see --help' : ''}\n`);
  process.exitCode = isUsageError ? 2 : 1;
}
