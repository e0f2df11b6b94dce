// The worker thread of tcp-balancer.ts: sends its port to the parent, receives the ports of the servers, forwards bytes.
import { type AddressInfo, connect, createServer } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

let ports: readonly number[] = workerData;
let next = 0;
parentPort?.on('message', (changed) => {
  ports = changed;
});

const server = createServer((client) => {
  const port = ports[next++ % ports.length];
  if (port === undefined) {
    client.destroy();
    return;
  }
  const upstream = connect(port, '127.0.0.1');
  for (const [from, to] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    from.pipe(to);
    from.on('error', () => to.destroy());
  }
});
server.listen(0, '127.0.0.1', () => parentPort?.postMessage((server.address() as AddressInfo).port));
