// A server in place of the API server whose responses a test writes itself, for responses that no API server sends.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { type ClusterConfig, type KubeConfigOptions, loadKubeConfig } from '../../src/kube/client.ts';
import { Listener } from '../doubles/api-server/http-listener.ts';

/** A server whose responses a test defines, in place of an API server. */
export interface RawServer {
  readonly config: ClusterConfig;
  readonly kubeconfigPath: string;
  stop(): Promise<void>;
}

export type RawServerOptions = Partial<
  Pick<KubeConfigOptions, 'requestTimeoutMs' | 'writeTimeoutMs' | 'onOverload'>
>;

export async function startRawServer(
  respond: (request: IncomingMessage, response: ServerResponse, url: URL) => void,
  options: RawServerOptions = {},
): Promise<RawServer> {
  const listener = await Listener.start();
  listener.setHandler((request, response) =>
    respond(request, response, new URL(request.url ?? '', listener.url)),
  );
  const folder = mkdtempSync(join(tmpdir(), 'raw-server-'));
  const path = join(folder, 'kubeconfig');
  const cluster = { server: listener.url, 'insecure-skip-tls-verify': true };
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'raw', cluster }],
    users: [{ name: 'raw', user: {} }],
    contexts: [{ name: 'raw', context: { cluster: 'raw', user: 'raw' } }],
    'current-context': 'raw',
  };
  writeFileSync(path, JSON.stringify(kubeconfig));
  const config = loadKubeConfig({
    kubeconfigPath: path,
    requestTimeoutMs: 20_000,
    userAgent: 'kube-test/1',
    ...options,
  });
  return {
    config,
    kubeconfigPath: path,
    stop: async () => {
      await config.close();
      await listener.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Writes blocks of a text until it is enough or the other side has gone. @returns how many bytes were written */
export async function writeBlocks(response: Writable, block: string, enoughBytes: number): Promise<number> {
  let written = 0;
  let room = Promise.withResolvers<void>();
  const onRoom = () => room.resolve();
  response.on('drain', onRoom).on('close', onRoom);
  while (written < enoughBytes && !response.destroyed) {
    room = Promise.withResolvers<void>();
    written += block.length;
    if (!response.write(block)) {
      await room.promise;
    }
  }
  response.off('drain', onRoom).off('close', onRoom);
  return written;
}
