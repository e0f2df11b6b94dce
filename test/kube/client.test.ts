// Tests the error for a kubeconfig that cannot be used.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { KubeConfigError, loadKubeConfig } from '../../src/kube/client.ts';

const canaryText = 'token-canary';

describe('the kubeconfig', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
  });
  after(() => rmSync(folder, { recursive: true }));
  const failure = (text: string | undefined): unknown => {
    const kubeconfigPath = join(folder, 'config');
    if (text !== undefined) {
      writeFileSync(kubeconfigPath, text);
    }
    try {
      loadKubeConfig({ kubeconfigPath, requestTimeoutMs: 1, userAgent: '' });
    } catch (error) {
      return error;
    }
    return undefined;
  };

  for (const [what, text, code] of [
    ['is missing', undefined, 'invalid-kubeconfig'],
    ['is not YAML', `users: [{token: ${canaryText}`, 'invalid-kubeconfig'],
    ['is something else', `${canaryText}`, 'no-cluster'],
    ['contains no cluster', `{"users":[{"name":"a","user":{"token":"${canaryText}"}}]}`, 'no-cluster'],
  ] as const) {
    it(`fails with ${code} if the file ${what}, without quoting it`, () => {
      const error = failure(text);
      assert.ok(error instanceof KubeConfigError);
      assert.equal(error.code, code);
      assert.ok(
        error.message.includes(folder) &&
          !`${error.message}${error.stack}${error.cause}`.includes(canaryText),
      );
    });
  }

  it('that is missing is named, with the setting that names it', (t) => {
    const missing = join(folder, 'none');
    const load = (kubeconfigPath?: string) => () =>
      loadKubeConfig({ kubeconfigPath, requestTimeoutMs: 1, userAgent: '' });
    const message = (setting: string) => ({
      message: `kubeconfig ${missing} does not exist; check ${setting}`,
    });
    assert.throws(load(missing), message('kubernetes.kubeconfig'));
    const before = process.env['KUBECONFIG'];
    t.after(() => {
      process.env['KUBECONFIG'] = before ?? '';
    });
    process.env['KUBECONFIG'] = missing;
    assert.throws(load(), message('KUBECONFIG'));
  });
});
