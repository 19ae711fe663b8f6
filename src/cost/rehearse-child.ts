/** Entry of the process of a rehearsal. */
import { type Answer, rehearseHere, type Request } from "./rehearse.ts";

process.on("disconnect", () => process.exit()); // nobody is waiting any more
process.once("message", ({ recipe, options }: Request) => void answer({ recipe, options }));

async function answer({ recipe, options }: Request) {
  try {
    send({ rehearsal: await rehearseHere(recipe, options) });
  } catch (error) {
    const { message, stack = "" } = error as Error;
    send({ message, stack });
  }
}

function send(message: Answer) {
  process.send!(message, () => process.disconnect());
}
