// Lookups of names that no DNS server responds to, beside lookups of others.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { type LookupOptions, promises } from 'node:dns';
import { once } from 'node:events';
import type { AddressInfo, LookupFunction } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { createLookup, type LookupDependencies } from '../../src/ecr/dns-lookup.ts';
import { createSharedHttpHandler, type SharedHttpHandler } from '../../src/ecr/http-handler.ts';
import { classifyError } from '../../src/ecr/token-error.ts';

type HttpRequest = Parameters<SharedHttpHandler['handle']>[0];
type Result = Parameters<Parameters<LookupFunction>[2]>;

const addresses = [
  { address: '192.0.2.1', family: 4 },
  { address: '2001:db8::1', family: 6 },
];

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** A resolver that responds as the name says: `dropped`, a code such as `enotfound`, or else addresses. */
function fakeResolver(queried: string[] = []) {
  const canceled: (() => void)[] = [];
  const respond = (hostname: string): Promise<string[]> => {
    queried.push(hostname);
    const [kind = ''] = hostname.split('.');
    if (kind.startsWith('dropped')) {
      return new Promise((_, reject) => canceled.push(() => reject(failure('ECANCELLED'))));
    }
    return /^e[a-z]+$/.test(kind)
      ? Promise.reject(failure(kind.toUpperCase()))
      : Promise.resolve(['192.0.2.1']);
  };
  return {
    resolve4: respond,
    resolve6: (hostname: string) =>
      hostname.startsWith('only4') ? Promise.reject(failure('ENODATA')) : respond(hostname),
    cancel: () => {
      for (const reject of canceled.splice(0)) {
        reject();
      }
    },
  };
}

/** A getaddrinfo that ends each call when the test says so. */
class FakeGetaddrinfo {
  readonly calls: { hostname: string; options: LookupOptions; end: (...result: Result) => void }[] = [];
  readonly lookup: LookupFunction = (hostname, options, end) => {
    this.calls.push({ hostname, options, end });
  };
  get names(): string[] {
    return this.calls.map(({ hostname }) => hostname);
  }
}

function setUp(t: TestContext, more: Partial<LookupDependencies> = {}) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const queried: string[] = [];
  const system = new FakeGetaddrinfo();
  const lookup = createLookup({
    createResolver: () => fakeResolver(queried),
    getaddrinfo: system.lookup,
    readHosts: async () => '',
    ...more,
  });
  const start = (hostname: string, options: LookupOptions = { all: true }) =>
    new Promise<Result>((resolve) => lookup(hostname, options, (...result) => resolve(result)));
  return { queried, system, start };
}

/** Lets promises settle; timers are the test's. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise(setImmediate);
  }
}

async function pass(t: TestContext, ms: number): Promise<void> {
  await settle();
  t.mock.timers.tick(ms);
  await settle();
}

describe('the lookup of the AWS clients', () => {
  it('returns what getaddrinfo returns, in both forms of the callback, with the options of the caller', async (t) => {
    const { system, start } = setUp(t);
    const options = { all: true, family: 0, hints: 32, order: 'ipv6first' } as const;
    const all = start('name.test', options);
    await settle();
    system.calls[0]?.end(null, addresses);
    assert.deepEqual(await all, [null, addresses, undefined]);
    const one = start('name.test', { family: 4 });
    await settle();
    system.calls[1]?.end(null, '192.0.2.1', 4);
    assert.deepEqual(await one, [null, '192.0.2.1', 4]);
    assert.deepEqual(
      system.calls.map((call) => call.options),
      [options, { family: 4 }],
    );
  });

  it('returns the error of getaddrinfo', async (t) => {
    const { system, start } = setUp(t);
    const result = start('enotfound.test');
    await settle();
    system.calls[0]?.end(failure('ENOTFOUND'), '');
    assert.equal((await result)[0]?.code, 'ENOTFOUND');
  });

  it('returns what getaddrinfo throws', async (t) => {
    const { start } = setUp(t, {
      getaddrinfo: () => {
        throw failure('ERR_INVALID_ARG_VALUE');
      },
    });
    assert.equal((await start('name.test'))[0]?.code, 'ERR_INVALID_ARG_VALUE');
  });

  for (const address of ['192.0.2.1', '2001:db8::1']) {
    it(`does not query ${address}`, async (t) => {
      const { queried, system, start } = setUp(t);
      void start(address);
      await settle();
      assert.deepEqual([queried, system.names], [[], [address]]);
    });
  }

  it('does not query names in the hosts file', async (t) => {
    const readHosts = async () =>
      '127.0.0.1 localhost\n192.0.2.1\tOther.test dropped.test # dropped-2.test\n';
    const { queried, system, start } = setUp(t, { readHosts });
    void start('dropped.test');
    void start('other.test');
    await settle();
    assert.deepEqual([queried, system.names], [[], ['dropped.test', 'other.test']]);
    void start('dropped-2.test');
    await settle();
    assert.equal(system.calls.length, 2);
  });

  it('manages without a hosts file', async (t) => {
    const { system, start } = setUp(t, { readHosts: () => Promise.reject(failure('ENOENT')) });
    void start('name.test');
    await settle();
    assert.deepEqual(system.names, ['name.test']);
  });

  for (const code of ['enotfound', 'enodata', 'econnrefused', 'erefused', 'eservfail', 'ebadname']) {
    it(`leaves it to getaddrinfo after ${code.toUpperCase()}, a few at a time`, async (t) => {
      const { system, start } = setUp(t);
      for (let index = 0; index < 6; index++) {
        void start(`${code}.test-${index}`);
      }
      await settle();
      assert.equal(system.calls.length, 4);
      void start('only4.test');
      await settle();
      assert.equal(system.calls.at(-1)?.hostname, 'only4.test');
      system.calls[0]?.end(failure('ENOTFOUND'), '');
      await settle();
      assert.equal(system.calls.at(-1)?.hostname, `${code}.test-4`);
    });
  }

  it('calls getaddrinfo for one unanswered name at a time, in a bounded queue', async (t) => {
    const { system, start } = setUp(t);
    const lookups = Array.from({ length: 18 }, (_, index) => start(`dropped.test-${index}`));
    await settle();
    assert.deepEqual(system.names, []);
    await pass(t, 1_500);
    assert.deepEqual(system.names, ['dropped.test-0']);
    const [error] = (await lookups[17]) ?? [];
    assert.equal(error?.code, 'EAI_AGAIN');
    assert.equal(classifyError(error, 'eu-west-1').code, 'network');
    const answered = start('name.test');
    await settle();
    system.calls[1]?.end(null, addresses);
    assert.deepEqual((await answered)[1], addresses);
    system.calls[0]?.end(null, addresses);
    assert.deepEqual((await lookups[0])?.[1], addresses);
    assert.equal(system.calls.at(-1)?.hostname, 'dropped.test-1');
  });

  it('shares one call among concurrent lookups of a name, and caches nothing', async (t) => {
    const { system, start } = setUp(t);
    const both = Promise.all([start('dropped.test'), start('dropped.test'), start('dropped.test')]);
    await pass(t, 1_500);
    assert.equal(system.calls.length, 1);
    system.calls[0]?.end(null, addresses);
    const [one, other] = await both;
    assert.deepEqual(one, other);
    assert.notEqual(one[1], other[1]);
    void start('dropped.test');
    await pass(t, 1_500);
    assert.equal(system.calls.length, 2);
  });

  it('queries the host names of HTTP and HTTPS endpoints', async (t) => {
    const queried: string[] = [];
    t.mock.method(promises.Resolver.prototype, 'resolve4', async (hostname: string) => {
      queried.push(hostname);
      throw failure('ENOTFOUND');
    });
    const handler = createSharedHttpHandler({ connectMs: 5_000, requestMs: 5_000 }, {});
    t.after(() => handler.close());
    for (const protocol of ['http:', 'https:']) {
      const hostname = `${protocol.slice(0, -1)}.invalid`;
      const request = { protocol, hostname, method: 'GET', path: '/', headers: {}, query: {} };
      await assert.rejects(handler.handle(request as HttpRequest));
    }
    assert.deepEqual(queried, ['http.invalid', 'https.invalid']);
  });
});

/** A DNS server on loopback that drops some names and has an address for each other. */
async function startDnsServer(t: TestContext): Promise<{ readonly address: string; dropped(): number }> {
  let dropped = 0;
  const socket = createSocket('udp4');
  t.after(() => socket.close());
  socket.on('message', (message, { port, address }) => {
    if (message.includes('dropped')) {
      dropped++;
      return;
    }
    const questionEnd = message.indexOf(0, 12) + 5;
    const isA = message.readUInt16BE(questionEnd - 4) === 1;
    const header = Buffer.from([0, 0, 0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0]);
    message.copy(header, 0, 0, 2);
    const answer = isA ? [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1] : [];
    socket.send(
      Buffer.concat([header, message.subarray(12, questionEnd), Buffer.from(answer)]),
      port,
      address,
    );
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address() satisfies AddressInfo;
  return { address: `127.0.0.1:${port}`, dropped: () => dropped };
}

describe('the lookup of the AWS clients with a DNS server that drops names', () => {
  it('completes promptly for other names, whatever threads the dropped ones would occupy', async (t) => {
    const server = await startDnsServer(t);
    const threads = pLimit(2); // as many as libuv has for getaddrinfo by default
    const { promise: never, resolve: end } = Promise.withResolvers<void>();
    t.after(() => end());
    const lookup = createLookup({
      createResolver: () => {
        const resolver = new promises.Resolver({ timeout: 250, tries: 3 });
        resolver.setServers([server.address]);
        return resolver;
      },
      getaddrinfo: (hostname, _, callback) =>
        void threads(() => (hostname.startsWith('dropped') ? never : Promise.resolve())).then(() =>
          callback(null, addresses),
        ),
      readHosts: async () => '',
    });
    const start = (hostname: string) =>
      new Promise<Result>((resolve) => lookup(hostname, { all: true }, (...result) => resolve(result)));
    const dropped = Array.from({ length: 20 }, (_, index) => start(`dropped-${index}.test`));
    const promptly = async (hostname: string) => {
      const late = sleep(1_000, 'late' as const, { ref: false });
      assert.notEqual(await Promise.race([start(hostname), late]), 'late');
    };
    await promptly('while-servers-may-respond.test');
    await sleep(2_000);
    await promptly('when-names-are-unanswered.test');
    // one call is in flight and 16 wait
    assert.equal((await Promise.any(dropped))[0]?.code, 'EAI_AGAIN');
    assert.ok(server.dropped() >= 40, `${server.dropped()} queries`);
  });
});
