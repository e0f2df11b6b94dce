// Loaded before the program: the DNS knows no host of the region that image names misspell.
import dns, { type LookupAddress } from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import { misspeltRegion } from '../support/nonexistent-regions.ts';

type Callback = (error: NodeJS.ErrnoException | null, addresses?: LookupAddress[]) => void;

const lookup = dns.lookup;

Object.assign(dns, {
  lookup: (hostname: string, options: object, callback: Callback) => {
    if (hostname.includes(misspeltRegion)) {
      const error = new Error(`getaddrinfo ENOTFOUND ${hostname}`);
      process.nextTick(
        callback,
        Object.assign(error, { code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname }),
      );
    } else {
      lookup(hostname, options as { all: true }, callback);
    }
  },
});
syncBuiltinESMExports();
