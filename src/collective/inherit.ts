/** A process may leave its place in a job to a child: the command line does so for the training process. */

/**
 * Options for `fork` whose child can call `openCollective` in place of its parent, which then must not. Open MPI's
 * launcher is found through the environment alone; MPICH's and `srun --mpi=pmi2` talk over an open file, whose number is
 * in PMI_FD and which Node would not hand on.
 */
export function inherited(env: NodeJS.ProcessEnv = process.env) {
  const standard = ["inherit", "inherit", "inherit", "ipc"] as const;
  return env.PMI_FD
    ? { stdio: [...standard, Number(env.PMI_FD)], env: { ...env, PMI_FD: `${standard.length}` } }
    : { stdio: [...standard], env };
}
