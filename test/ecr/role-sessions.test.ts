// Tests that roles are assumed with the keys of their own profile only, also after these keys were rotated.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { getTokenError, hourMs, registry, startAwsTokensFixture } from './token-fixtures.ts';

const roleArn = 'arn:aws:iam::210987654321:role/puller';
const rules = ['blue', 'green'].map((profile) => ({
  ...{ namespaces: { names: [profile] }, roleArn, credentials: { profile } },
}));
const timeouts = { connectMs: 20_000, requestMs: 60_000 }; // for busy machines

it('the same role of two profiles is assumed with the keys of each, and with new ones after AWS rejected the old', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sessions-'));
  await using aws = await startAwsTokensFixture({ rules, timeouts });
  const [blue, green, rotated] = ['blue', 'green', 'blue'].map((name) =>
    aws.double.createUser(`arn:aws:iam::123456789012:user/${name}`),
  );
  assert.ok(blue && green && rotated);
  const file = join(directory, 'credentials');
  process.env['AWS_SHARED_CREDENTIALS_FILE'] = file;
  const write = (key: { readonly accessKeyId: string; readonly secretAccessKey: string }) =>
    writeFile(
      file,
      Object.entries({ blue: key, green })
        .map(
          ([profile, { accessKeyId, secretAccessKey }]) =>
            `[${profile}]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`,
        )
        .join(''),
    );
  const get = (namespace: string, region: string) => aws.tokens.get(namespace, registry(region));
  const keysInUse = () => aws.double.callsOf('AssumeRole').map(({ accessKeyId }) => accessKeyId);

  await write(blue);
  await Promise.all([get('blue', 'eu-west-1'), get('green', 'eu-west-1')]);
  assert.deepEqual(new Set(keysInUse()), new Set([blue.accessKeyId, green.accessKeyId]));
  await write(rotated);
  aws.pass(7 * hourMs); // the sessions have expired
  aws.double.fail({ error: 'InvalidClientTokenId', status: 403 }, { operation: 'AssumeRole' });
  await getTokenError(get('blue', 'eu-west-2'));
  aws.double.heal();
  aws.pass(hourMs / 60);
  await Promise.all([get('blue', 'eu-west-2'), get('green', 'eu-west-2')]);
  assert.deepEqual(keysInUse().slice(0, 3).at(-1), blue.accessKeyId);
  assert.deepEqual(new Set(keysInUse().slice(3)), new Set([rotated.accessKeyId, green.accessKeyId]));
  await rm(directory, { recursive: true });
});
