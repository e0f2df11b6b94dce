/**
 * Ends waiting after `ms`: the work's signal is aborted and the result rejects, even if the work goes on. Otherwise it
 * ends as the work does.
 * @param name the name of the error, by which it is told apart as errors of the AWS SDK are
 */
export async function withTimeout<T>(
  ms: number,
  name: 'TimeoutError' | 'CredentialsTimeoutError',
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(Object.assign(new Error(`not done within ${ms} ms`), { name }));
      controller.abort();
    }, ms);
  });
  try {
    return await Promise.race([work(controller.signal), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
