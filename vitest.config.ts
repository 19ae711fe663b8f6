import { defineConfig } from "vitest/config";

// Tests run on the compiled files: what is tested is what is shipped, worker processes included.
export default defineConfig({
  test: {
    include: ["dist/test/**/*.test.js"],
    pool: "forks",
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: 2,
  },
});
