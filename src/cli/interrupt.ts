/**
 * Work that Ctrl-C ends in good order; a second Ctrl-C ends it at once. SIGUSR1 and SIGUSR2 do the same: mpirun and Slurm
 * pass them on to the processes of a job, while they answer Ctrl-C by ending them at once, and other trainers take SIGUSR1.
 */
export async function interruptible<T>(onInterrupt: () => void, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(130);
    onInterrupt();
    controller.abort();
  };
  for (const name of signals) process.on(name, interrupt);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of signals) process.off(name, interrupt);
  }
}

const signals = ["SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"] as const;
