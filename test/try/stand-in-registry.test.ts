// Tests that the registry of the ECR stand-in serves a whole image to valid tokens only.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { createImage, createRegistry } from '../../try/registry.ts';
import type { IssuedPassword } from '../doubles/ecr/aws-responses.ts';
import type { TokenIssuer } from '../doubles/ecr/registry-access.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const layer = Buffer.alloc(1024, 'layer');

function token(name: string, region: string): IssuedPassword {
  const auth = Buffer.from(`AWS:${name}`).toString('base64');
  return {
    ...{ password: name, auth, service: 'ecr' as const, region },
    ...{ principal: 'user', accessKeyId: 'AKIA', origin: undefined, expiresAt: 0 },
  };
}

const valid = token('valid', 'eu-central-1');
const otherRegion = token('other', 'us-east-1');
const expired = token('expired', 'eu-central-1');
const ecr: TokenIssuer = {
  issued: [valid, otherRegion, expired],
  isUnexpired: (password) => password !== 'expired',
};

describe('the registry of the ECR stand-in', () => {
  const lines: string[] = [];
  const image = createImage({ layer, entrypoint: ['/pause'], arch: 'x64' });
  const registry = createRegistry({ ecr, image, log: (line) => lines.push(line) });
  before(() => new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve)));
  after(() => registry.close());

  const get = (path: string, auth?: string, init: RequestInit = {}): Promise<Response> => {
    const { port } = registry.address() as AddressInfo;
    // The parameter with which containerd names the registry that it replaces by this one.
    return fetch(`http://127.0.0.1:${port}${path}?ns=${host}`, {
      ...init,
      ...(auth !== undefined && { headers: { authorization: `Basic ${auth}` } }),
    });
  };

  const manifestPath = '/v2/shop/cart/manifests/1.4';

  it('refuses clients without a valid token of the region, with the challenge of ECR', async () => {
    for (const auth of [undefined, otherRegion.auth, 'QVdTOmd1ZXNz']) {
      const { status, headers } = await get(manifestPath, auth);
      assert.deepEqual(
        [status, headers.get('www-authenticate')],
        [401, `Basic realm="https://${host}/",service="ecr.amazonaws.com"`],
      );
    }
    assert.equal((await get(manifestPath, expired.auth)).status, 403);
  });

  it('serves an image whose digests are right', async () => {
    assert.equal((await get('/v2/', valid.auth)).status, 200);
    const head = await get(manifestPath, valid.auth, { method: 'HEAD' });
    const response = await get(manifestPath, valid.auth);
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.equal(head.headers.get('docker-content-digest'), digestOf(bytes));
    const byDigest = await get(`/v2/shop/cart/manifests/${digestOf(bytes)}`, valid.auth);
    assert.deepEqual(Buffer.from(await byDigest.arrayBuffer()), bytes);
    const manifest = JSON.parse(bytes.toString());
    assert.equal(response.headers.get('content-type'), manifest.mediaType);
    const [config, packed] = await Promise.all([manifest.config, manifest.layers[0]].map(getBlob));
    assert.ok(config && packed);
    const { rootfs, architecture, os } = JSON.parse(config.toString());
    assert.deepEqual([os, architecture, rootfs.diff_ids], ['linux', 'amd64', [digestOf(layer)]]);
    assert.deepEqual(gunzipSync(packed), layer);
  });

  async function getBlob({ digest, size }: { digest: string; size: number }): Promise<Buffer> {
    const response = await get(`/v2/shop/cart/blobs/${digest}`, valid.auth);
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.deepEqual([response.status, digestOf(bytes), bytes.length], [200, digest, size]);
    return bytes;
  }

  it('has nothing else, and is read-only', async () => {
    assert.equal((await get('/v2/shop/cart/blobs/sha256:0', valid.auth)).status, 404);
    assert.equal((await get('/v2/shop/cart/tags/list', valid.auth)).status, 404);
    assert.equal((await get('/v2/shop/cart/blobs/uploads/', valid.auth, { method: 'POST' })).status, 405);
  });

  it('logs each request without its token', async () => {
    lines.length = 0;
    await get('/v2/', valid.auth);
    assert.deepEqual(lines, [`registry: GET /v2/?ns=${host}: 200`]);
  });
});

function digestOf(data: Buffer): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}
