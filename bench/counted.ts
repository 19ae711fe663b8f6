/** A backend that counts what its graphs do. The graphs by which it moves its own state are not seen. */
import type { Tensor } from "../src/tensor/tensor.ts";
import { lowerGraph } from "../src/onnx/lower.ts";
import type { Backend, Handles } from "../src/backend/backend.ts";

export interface Counts {
  runs: number;
  /** Operators of the models that were run; the runtime may execute fewer. */
  nodes: number;
  /** That went from the host to graphs and came back, beside what is bound. */
  bytesIn: number;
  bytesOut: number;
}

export function counted(backend: Backend): { backend: Backend; counts: Counts } {
  const counts: Counts = { runs: 0, nodes: 0, bytesIn: 0, bytesOut: 0 };
  const target = backend.name === "webgpu" ? "device" : "cpu";
  const compile: Backend["compile"] = async (outputs, bound) => {
    const program = await backend.compile(outputs, bound);
    const nodes = lowerGraph(outputs, { target }).graph.node.length;
    return {
      ...program,
      async run(feeds) {
        const results = await program.run(feeds);
        counts.runs++;
        counts.nodes += nodes;
        counts.bytesIn += bytesOf(feeds ?? {});
        counts.bytesOut += bytesOf(results);
        return results;
      },
    };
  };
  return { backend: { ...backend, compile }, counts };
}

/** Of the tensors that lie on the host. */
function bytesOf(handles: Handles): number {
  return Object.values(handles).reduce(
    (sum, handle) => sum + ("data" in handle ? (handle as Tensor).data.byteLength : 0),
    0,
  );
}
