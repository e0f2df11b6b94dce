// Binds a server to the address and port of the configuration.

interface ListeningServer {
  listen(options: { host: string; port: number }): Promise<string>;
}

interface Endpoint {
  /** All addresses if not given. */
  readonly address?: string | undefined;
  readonly port: number;
}

/**
 * @param setting the part of the configuration that holds the address and the port
 * @returns the URL
 * @throws {Error} with the code of the system error, and a message that names the setting
 */
export async function listenOn(
  server: ListeningServer,
  setting: 'webhook' | 'status',
  { address = '', port }: Endpoint,
): Promise<string> {
  try {
    return await server.listen({ host: address, port });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const message = describeListenError(code, setting, { address, port });
    throw message === undefined ? error : Object.assign(new Error(message, { cause: error }), { code });
  }
}

function describeListenError(
  code: unknown,
  setting: string,
  { address, port }: Endpoint,
): string | undefined {
  switch (code) {
    case 'EADDRINUSE':
      return `${setting}.port ${port} is already in use`;
    case 'EACCES':
      return `${setting}.port ${port} cannot be bound without more privileges; use a port from 1024`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${setting}.address ${address} is not an address of this host`;
    default:
      return undefined;
  }
}
