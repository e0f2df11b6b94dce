// Forwards the cluster IP of a Service to a program on this machine, as kube-proxy does, and can block the way.
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** `open`: connections are forwarded. `refusing`: nothing listens. `silent`: packets are dropped, as by a NetworkPolicy. */
type GatewayState = 'open' | 'refusing' | 'silent';

/** The network between the API server and the pods of a Service. */
export interface ServiceGateway {
  /** Closes all connections, and treats new ones in another way. */
  set(state: GatewayState): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts the gateway in state `open`.
 * @param from the cluster IP and port, which this machine must be able to listen on
 * @param to the port of the program on the loopback
 */
export async function startServiceGateway(
  from: { readonly host: string; readonly port: number },
  to: number,
): Promise<ServiceGateway> {
  const sockets = new Set<Socket>();
  let state: GatewayState = 'open';
  let server: Server | undefined;
  const accept = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
    if (state === 'open') {
      forward(socket, to);
    }
  };
  const close = async () => {
    for (const socket of sockets) {
      socket.destroy();
    }
    const closing = server;
    server = undefined;
    await new Promise<void>((resolve) =>
      closing === undefined ? resolve() : closing.close(() => resolve()),
    );
  };
  const set = async (wanted: GatewayState) => {
    await close();
    state = wanted;
    if (state !== 'refusing') {
      server = createServer(accept).listen(from);
      await once(server, 'listening');
    }
  };
  await set('open');
  return { set, stop: close };
}

function forward(socket: Socket, port: number): void {
  const onward = connect(port, '127.0.0.1');
  onward.on('error', () => socket.destroy());
  onward.on('close', () => socket.destroy());
  socket.on('close', () => onward.destroy());
  socket.pipe(onward).pipe(socket);
}
