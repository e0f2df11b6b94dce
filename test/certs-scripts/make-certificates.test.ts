// Tests the files, permissions, manifests and exit codes of the script that makes certificates.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { parse } from 'yaml';
import { parseKeyPair } from '../../src/certificates/key-pair.ts';

const script = join(import.meta.dirname, '../../certs-scripts/make-certificates.ts');
const root = mkdtempSync(join(tmpdir(), 'certs-script-'));
after(() => rmSync(root, { recursive: true }));

const forService = ['--service', 'web', '--namespace', 'apps'];

describe('certificates as files', () => {
  const out = join(root, 'new', 'folder');
  const at = (name: string) => readFileSync(join(out, name), 'utf8');

  it('are a CA and a key pair that it signed, with keys that only the owner can read', () => {
    const more = ['--dns', 'localhost', '--ip', '127.0.0.1', '--ip', '::1', '--days', '7', '--out', out];
    assert.equal(run(...forService, ...more).code, 0);
    assert.deepEqual(readdirSync(out).sort(), ['ca.crt', 'ca.key', 'tls.crt', 'tls.key']);
    for (const key of ['ca.key', 'tls.key']) {
      assert.equal(statSync(join(out, key)).mode & 0o777, 0o600);
    }
    const keyPair = parseKeyPair(at('tls.crt'), at('tls.key'));
    assert.deepEqual(keyPair.dnsNames, ['web.apps.svc', 'web.apps.svc.cluster.local', 'localhost']);
    assert.deepEqual(keyPair.ipAddresses, ['127.0.0.1', '0:0:0:0:0:0:0:1']);
    assert.equal(days(keyPair.notAfter), 7);
    assert.equal(days(parseKeyPair(at('ca.crt'), at('ca.key')).notAfter), 3650);
  });

  it('are not overwritten, even if one of them is missing', () => {
    const before = at('tls.crt');
    rmSync(join(out, 'ca.crt'));
    const { code, stderr } = run(...forService, '--out', out);
    assert.equal(code, 1);
    assert.match(stderr, /^make-certificates: files exist, use --force to overwrite them: .*ca\.key.*\n$/);
    assert.equal(at('tls.crt'), before);
    assert.ok(!readdirSync(out).includes('ca.crt'));
  });

  it('are overwritten with --force, and a key that others could read becomes private', () => {
    const before = at('tls.crt');
    rmSync(join(out, 'tls.key'));
    writeFileSync(join(out, 'tls.key'), 'old', { mode: 0o644 });
    assert.equal(run(...forService, '--out', out, '--force').code, 0);
    assert.notEqual(at('tls.crt'), before);
    assert.equal(statSync(join(out, 'tls.key')).mode & 0o777, 0o600);
    parseKeyPair(at('tls.crt'), at('tls.key'));
  });
});

describe('certificates as a Secret', () => {
  it('are a manifest of type kubernetes.io/tls, with the caBundle in a comment above it', () => {
    const { code, stdout } = run(...forService, '--secret', 'web-tls');
    assert.equal(code, 0);
    const { data, ...secret } = parse(stdout);
    const metadata = { name: 'web-tls', namespace: 'apps' };
    assert.deepEqual(secret, { apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls' });
    assert.deepEqual(Object.keys(data).sort(), ['ca.crt', 'tls.crt', 'tls.key']);
    const text = (key: string) => Buffer.from(data[key], 'base64').toString();
    assert.equal(days(parseKeyPair(text('tls.crt'), text('tls.key')).notAfter), 365);
    assert.equal(stdout.split('\n')[1], `# ${data['ca.crt']}`);
    assert.doesNotMatch(text('ca.crt'), /PRIVATE/);
  });

  it('can be issued without a Service', () => {
    const { stdout } = run('--ip', '10.0.0.1', '--secret', 'web-tls');
    assert.deepEqual(parse(stdout).metadata, { name: 'web-tls' });
  });
});

it('--help prints the usage and exits with 0', () => {
  const { code, stdout } = run('--help');
  assert.equal(code, 0);
  for (const flag of [
    '--service',
    '--namespace',
    '--dns',
    '--ip',
    '--days',
    '--ca-days',
    '--out',
    '--force',
    '--secret',
  ]) {
    assert.ok(stdout.includes(`  ${flag} `), flag);
  }
});

describe('an invalid flag prints one line and exits with 2', () => {
  const wrong: [string[], RegExp][] = [
    [[], /at least one DNS name or IP address/],
    [['--colour', 'red'], /--colour/],
    [['apps'], /apps/],
    [['--service', 'web'], /--service requires --namespace/],
    [['--dns', 'Web'], /not a DNS name: "Web"/],
    [['--ip', '1.2.3'], /not an IP address: "1\.2\.3"/],
    [['--dns', 'web', '--days', '0'], /--days must be a whole number/],
    [['--dns', 'web', '--ca-days', '1.5'], /--ca-days must be a whole number/],
    [['--dns', 'web', '--secret', 'a', '--force'], /--secret writes no files/],
  ];
  for (const [args, message] of wrong) {
    it(args.join(' ') || 'no flags', () => {
      const { code, stdout, stderr } = run(...args);
      assert.deepEqual([code, stdout, stderr.split('\n').length], [2, '', 2]);
      assert.match(stderr, message);
    });
  }
});

function run(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const done = spawnSync(process.execPath, [script, ...args], { cwd: root, encoding: 'utf8' });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
}

/** Whole days from now until `end`, ms. */
function days(end: number): number {
  return Math.round((end - Date.now()) / 86_400_000);
}
