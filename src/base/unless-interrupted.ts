const tidyMs = 500;

/**
 * The result of `work`, or the reason of `signal` thrown soon after it fires: work that listens to the signal too has a
 * moment to tidy up. Other work goes on unobserved until the process ends, so what it writes must be nothing before its end.
 */
export async function unlessInterrupted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let onAbort = (): void => {};
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    onAbort = () => {
      timer = setTimeout(resolve, tidyMs);
    };
  });
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([work.catch(() => {}), patience]);
    signal.throwIfAborted();
    return await work;
  } finally {
    signal.removeEventListener('abort', onAbort);
    clearTimeout(timer);
  }
}
