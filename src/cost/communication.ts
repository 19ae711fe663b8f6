/** What a step costs on processes that share its batch: a model, nothing but arithmetic on what was counted and measured. */

/** The wire between processes; all have one like it, and use it in both directions at once. */
export interface Network {
  readonly bytesPerSecond: number;
  /** Seconds from the start of a message to its arrival, without its length. */
  readonly latency: number;
}

/** Bytes, and in how many messages they go, one after the other. */
export interface Message {
  readonly bytes: number;
  readonly messages: number;
}

/** What a step asks of its processes. */
export interface StepDemand {
  readonly batch: number;
  /** Seconds for an image, on the process that has it: the encoder there and back. */
  readonly imageSeconds: number;
  /** Seconds for the loss over the whole batch, on every process. */
  readonly lossSeconds: number;
  /** Seconds in which a process moves the weights. */
  readonly updateSeconds: number;
  /** The whole batch's encoded rows, which all processes need. */
  readonly gathered: Message;
  /** The gradient, which is summed over all processes. */
  readonly reduced: Message;
}

/** Seconds of a step, one after the other: nothing overlaps. */
export interface StepCost {
  readonly encode: number;
  readonly loss: number;
  readonly update: number;
  readonly communication: number;
  readonly total: number;
  /** Bytes that every process sends, and receives. */
  readonly sent: number;
}

/** What is sent by every process, and how long that takes. */
export interface Exchange {
  readonly sent: number;
  readonly seconds: number;
}

/** Ring all-gather: in each of N - 1 rounds every process hands on 1/N of the bytes. */
export function allGather(message: Message, processes: number, network: Network): Exchange {
  return rounds(processes - 1, message, processes, network);
}

/** Ring all-reduce: a reduce-scatter and an all-gather, 2 (N - 1) rounds of 1/N of the bytes. */
export function allReduce(message: Message, processes: number, network: Network): Exchange {
  return rounds(2 * (processes - 1), message, processes, network);
}

function rounds(count: number, { bytes, messages }: Message, processes: number, network: Network): Exchange {
  const sent = (count * bytes) / processes;
  return { sent, seconds: count * messages * network.latency + sent / network.bytesPerSecond };
}

/** The cost of a step; `undefined` where so many processes cannot share the batch equally. */
export function stepCost(demand: StepDemand, processes: number, network: Network): StepCost | undefined {
  const share = demand.batch / processes;
  if (!Number.isInteger(share)) return undefined;
  const exchanges = [allGather(demand.gathered, processes, network), allReduce(demand.reduced, processes, network)];
  const [encode, loss, update] = [share * demand.imageSeconds, demand.lossSeconds, demand.updateSeconds];
  const communication = exchanges.reduce((sum, { seconds }) => sum + seconds, 0);
  const sent = exchanges.reduce((sum, each) => sum + each.sent, 0);
  return { encode, loss, update, communication, total: encode + loss + update + communication, sent };
}
