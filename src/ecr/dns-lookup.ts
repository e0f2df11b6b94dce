// DNS lookups of the AWS clients. Image names choose the regions, so a name may be one that no DNS server responds to.
import { type LookupAddress, type LookupOptions, lookup, promises } from 'node:dns';
import { readFile } from 'node:fs/promises';
import { isIP, type LookupFunction } from 'node:net';
import pLimit from 'p-limit';

/** Asks DNS servers. `cancel` rejects what is in flight with the code `ECANCELLED`. */
interface Resolver {
  resolve4(hostname: string): Promise<readonly string[]>;
  resolve6(hostname: string): Promise<readonly string[]>;
  cancel(): void;
}

export interface LookupDependencies {
  /** Called for each lookup, so that changes of /etc/resolv.conf take effect. */
  readonly createResolver: () => Resolver;
  /** The lookup that decides. It occupies a thread of libuv's pool until it ends. */
  readonly getaddrinfo: LookupFunction;
  /** Returns the text of /etc/hosts. */
  readonly readHosts: () => Promise<string>;
}

/** How long DNS servers may take to respond, in ms, before a name counts as unanswered. */
const responseTimeoutMs = 1_500;

/** c-ares repeats a lost query, or queries the next server, after 0.25 to 0.5 s: its timer is coarse. */
const queryOptions = { timeout: 250, tries: 3 };

/**
 * How many calls of getaddrinfo run at a time, and wait. With the 16 threads of the image, 8 may run getaddrinfo, so that
 * at least 3 remain for names that have addresses. For an unanswered name one call can take 40 s: 5 s per attempt, server
 * and search domain.
 */
const unansweredNames = { concurrency: 1, maxWaiting: 16 };
const namesWithoutAddress = { concurrency: 4, maxWaiting: 64 };

const systemDependencies: LookupDependencies = {
  createResolver: () => new promises.Resolver(queryOptions),
  getaddrinfo: lookup,
  readHosts: () => readFile('/etc/hosts', 'utf8'),
};

type Callback = Parameters<LookupFunction>[2];
type Result = Parameters<Callback>;

/**
 * Creates a `lookup` for agents that calls `dns.lookup`, and returns what it returns, but cannot be blocked by names that
 * DNS servers do not respond to: `dns.lookup` cannot be canceled, and shares few threads. Therefore a resolver that needs
 * no thread (c-ares) queries the name first. Its response only decides how many lookups of that kind may run at a time,
 * because /etc/hosts and search domains may know a name that DNS does not. Concurrent lookups of one name share one call.
 * Nothing is cached. When too many lookups wait, further ones fail with the code `EAI_AGAIN`.
 *
 * Node does not use it for the host of a proxy, which the operator chooses.
 */
export function createLookup({
  createResolver,
  getaddrinfo,
  readHosts,
}: LookupDependencies = systemDependencies): LookupFunction {
  const inFlight = new Map<string, Promise<Result>>();
  const queueUnanswered = createBoundedQueue(unansweredNames);
  const queueWithoutAddress = createBoundedQueue(namesWithoutAddress);

  async function resolve(hostname: string, options: LookupOptions): Promise<Result> {
    const call = () =>
      new Promise<Result>((settle) => {
        getaddrinfo(hostname, options, (...result) => settle(result));
      });
    if (isIP(hostname) !== 0 || listsHost(await readHosts().catch(() => ''), hostname)) {
      return call();
    }
    const response = await queryAddresses(createResolver(), hostname);
    if (response === 'addresses') {
      return call();
    }
    return response === 'none' ? queueUnanswered(call) : queueWithoutAddress(call);
  }

  return (hostname, options, callback) => {
    const { family, hints, all, order, verbatim } = options;
    const key = JSON.stringify([hostname, family, hints, all, order, verbatim]);
    let result = inFlight.get(key);
    if (result === undefined) {
      result = resolve(hostname, options).finally(() => inFlight.delete(key));
      inFlight.set(key, result);
    }
    result.then(
      ([error, addresses, family]) => callback(error, copyAddresses(addresses), family),
      (error) => callback(error, ''),
    );
  };
}

/** What DNS servers respond for a name: addresses, an error, or nothing in time. */
async function queryAddresses(resolver: Resolver, hostname: string): Promise<'addresses' | 'error' | 'none'> {
  const timer = setTimeout(() => resolver.cancel(), responseTimeoutMs);
  try {
    await Promise.any([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
    return 'addresses';
  } catch (error) {
    const errors: readonly { code?: string }[] = error instanceof AggregateError ? error.errors : [];
    return errors.every(({ code }) => code === 'ETIMEOUT' || code === 'ECANCELLED') ? 'none' : 'error';
  } finally {
    clearTimeout(timer);
    resolver.cancel();
  }
}

/** Whether a hosts file lists a name. Such names need no DNS server, even if none works. */
function listsHost(hosts: string, hostname: string): boolean {
  const wanted = hostname.toLowerCase();
  return hosts.split('\n').some((line) => {
    const [, ...names] = line.replace(/#.*/, '').trim().toLowerCase().split(/\s+/);
    return names.includes(wanted);
  });
}

function createBoundedQueue({ concurrency, maxWaiting }: { concurrency: number; maxWaiting: number }) {
  const limit = pLimit(concurrency);
  return async <T>(call: () => Promise<T>): Promise<T> => {
    if (limit.pendingCount >= maxWaiting) {
      throw Object.assign(new Error('too many DNS lookups without a response'), { code: 'EAI_AGAIN' });
    }
    return limit(call);
  };
}

/** Callers that share a lookup may change what they receive. After an error there are no addresses, despite the type. */
function copyAddresses(addresses: string | LookupAddress[]): string | LookupAddress[] {
  return Array.isArray(addresses) ? addresses.map((address) => ({ ...address })) : addresses;
}
