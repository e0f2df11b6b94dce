// Tests when AWS credentials are read again, and which failures of their source are permanent.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { getTokenError, registry, startAwsTokensFixture } from './token-fixtures.ts';

/** Timeout that also suffices on a busy machine. */
const patient = { connectMs: 20_000, requestMs: 60_000 };

describe('credentials', () => {
  it('in a mounted file are read again after AWS rejected them, without a restart', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'credentials-'));
    await using aws = await startAwsTokensFixture({ timeouts: patient });
    const { AWS_ACCESS_KEY_ID: id = '', AWS_SECRET_ACCESS_KEY: secret = '' } = aws.double.env();
    delete process.env['AWS_ACCESS_KEY_ID'];
    delete process.env['AWS_SECRET_ACCESS_KEY'];
    const file = join(directory, 'credentials');
    process.env['AWS_SHARED_CREDENTIALS_FILE'] = file;
    const write = (key: string) =>
      writeFile(file, `[default]\naws_access_key_id = ${key}\naws_secret_access_key = ${secret}\n`);
    await write('AKIAEXAMPLE999999999');
    const refused = await getTokenError(aws.tokens.get('team', registry()));
    assert.equal(refused.code, 'UnrecognizedClientException');
    await write(id);
    aws.pass(60_000);
    await aws.tokens.get('team', registry());
    await rm(directory, { recursive: true });
  });

  it('that HTTP headers cannot contain are a permanent failure, until the file is corrected', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'credentials-'));
    t.after(() => rm(directory, { recursive: true }));
    await using aws = await startAwsTokensFixture({ timeouts: patient });
    const { AWS_ACCESS_KEY_ID: id = '', AWS_SECRET_ACCESS_KEY: secret = '' } = aws.double.env();
    delete process.env['AWS_ACCESS_KEY_ID'];
    delete process.env['AWS_SECRET_ACCESS_KEY'];
    const file = join(directory, 'credentials');
    process.env['AWS_SHARED_CREDENTIALS_FILE'] = file;
    const write = (key: string, lineEnd = '\n') =>
      writeFile(
        file,
        ['[default]', `aws_access_key_id = ${key}`, `aws_secret_access_key = ${secret}`, ''].join(lineEnd),
      );
    await write('AKIA\u2028canary');
    const failure = await getTokenError(aws.tokens.get('team', registry()));
    assert.deepEqual([failure.code, failure.permanent], ['invalid-credentials', true]);
    assert.match(failure.message, /contains a line break or another character that HTTP headers cannot/);
    assert.ok(!failure.message.includes('canary'));
    await write(id, '\r\n'); // the SDK takes the line ends of Windows
    aws.pass(60_000);
    await aws.tokens.get('team', registry());
  });

  it('from a provider whose response contains a line break are a permanent failure', async (t) => {
    await using aws = await startAwsTokensFixture({ timeouts: patient });
    const { AWS_ACCESS_KEY_ID: id = '', AWS_SECRET_ACCESS_KEY: secret = '' } = aws.double.env();
    const provider = createServer((_, response) => {
      const Expiration = new Date(Date.now() + 3_600_000).toISOString();
      response.end(
        JSON.stringify({ AccessKeyId: `${id}\n`, SecretAccessKey: secret, Token: '', Expiration }),
      );
    });
    t.after(() => provider.close());
    await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve));
    const { port } = provider.address() as AddressInfo;
    delete process.env['AWS_ACCESS_KEY_ID'];
    process.env['AWS_CONTAINER_CREDENTIALS_FULL_URI'] = `http://127.0.0.1:${port}/`;
    const failure = await getTokenError(aws.tokens.get('team', registry()));
    assert.deepEqual([failure.code, failure.permanent], ['invalid-credentials', true]);
  });

  it('are missing because of a file that cannot be read: the failure names the file and its variable', async () => {
    await using aws = await startAwsTokensFixture({
      timeouts: patient,
      environment: {
        AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/webhook',
        AWS_WEB_IDENTITY_TOKEN_FILE: '/var/run/none/token',
      },
    });
    Object.assign(process.env, {
      AWS_ACCESS_KEY_ID: '',
      AWS_SECRET_ACCESS_KEY: '',
      AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/webhook',
      AWS_WEB_IDENTITY_TOKEN_FILE: '/var/run/none/token',
    });
    const failure = await getTokenError(aws.tokens.get('team', registry()));
    assert.deepEqual([failure.code, failure.permanent], ['no-credentials', true]);
    assert.match(
      failure.message,
      /no AWS credentials, because the file \/var\/run\/none\/token of AWS_WEB_IDENTITY_TOKEN_FILE cannot be read \(ENOENT\)\. Check/,
    );
  });

  it('time out if their source hangs, and are requested again', async (t) => {
    const timeouts = { connectMs: 5_000, requestMs: 5_000, totalMs: 1_900 }; // the SDK warns if a source takes a second
    await using aws = await startAwsTokensFixture({ timeouts, getEndpointTrust: () => 'proven' });
    const { AWS_ACCESS_KEY_ID: id = '', AWS_SECRET_ACCESS_KEY: secret = '' } = aws.double.env();
    let hanging = true;
    const hung: ServerResponse[] = [];
    const respond = (response: ServerResponse) => {
      const Expiration = new Date(Date.now() + 3_600_000).toISOString();
      response.end(JSON.stringify({ AccessKeyId: id, SecretAccessKey: secret, Token: '', Expiration }));
    };
    const agent = createServer((_, response) => {
      if (hanging) {
        hung.push(response);
      } else {
        respond(response);
      }
    });
    t.after(() => {
      hung.forEach(respond);
      agent.close();
    });
    await new Promise<void>((resolve) => agent.listen(0, '127.0.0.1', resolve));
    const { port } = agent.address() as AddressInfo;
    delete process.env['AWS_ACCESS_KEY_ID'];
    process.env['AWS_CONTAINER_CREDENTIALS_FULL_URI'] = `http://127.0.0.1:${port}/`;
    assert.equal((await getTokenError(aws.tokens.get('team', registry()))).code, 'credentials-timeout');
    hanging = false;
    aws.pass(1_000);
    await aws.tokens.get('team', registry());
  });
});
