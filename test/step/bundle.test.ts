/** What lies between the objectives and the step runs anywhere: a bundler can take it into a browser. */
import { fileURLToPath } from "node:url";
import { build, type Rolldown } from "vite";
import { expect, it } from "vitest";

const source = fileURLToPath(new URL("../../src/", import.meta.url)); // of the compiled files
const entry = "virtual:entry";

/** The files that a browser would get with `code`, and what in them comes from elsewhere. */
async function bundle(code: string): Promise<{ modules: string[]; external: string[] }> {
  const result = await build({
    configFile: false,
    logLevel: "silent",
    plugins: [
      {
        name: "entry",
        resolveId: (id) => (id === entry ? `\0${entry}` : undefined),
        load: (id) => (id === `\0${entry}` ? code : undefined),
      },
    ],
    build: { write: false, minify: false, rolldownOptions: { input: entry, treeshake: false } },
  });
  const { output } = (Array.isArray(result) ? result[0] : result) as Rolldown.RolldownOutput;
  const chunks = output.filter((each) => each.type === "chunk");
  const modules = chunks.flatMap(({ moduleIds }) => moduleIds);
  // Vite puts an empty module in the place of a built-in one
  const external = modules.filter((id) => /__vite-browser-external|onnxruntime|koffi/.test(id));
  return { modules, external: [...external, ...chunks.flatMap(({ imports }) => imports)] };
}

it("objectives and the step need nothing of Node, no MPI and no runtime", async () => {
  const files = ["objectives/mae", "objectives/mocov3", "objectives/joint", "objectives/classify", "step/take-steps"];
  const code = [...files, "step/step", "collective/collective", "optim/schedules"]
    .map((file, i) => `import * as m${i} from ${JSON.stringify(`${source}${file}.js`)}; console.log(m${i});`)
    .join("\n");
  const { modules, external } = await bundle(code);
  expect(external).toEqual([]);
  expect(modules.some((id) => id.endsWith("graph/grad.js"))).toBe(true);
});

it("would see what does", async () => {
  const { external } = await bundle(
    `import { cpu } from ${JSON.stringify(`${source}backend/cpu.js`)}; console.log(cpu);`,
  );
  expect(external.length).toBeGreaterThan(0);
}, 60_000);
