import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

// WebAssembly may use several threads in a page that is isolated from others only. Whoever hosts it sets the same headers.
const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  // within this repository the package is what `npm run build` made; elsewhere it is found in node_modules
  resolve: { alias: { "layergraft/browser": fileURLToPath(new URL("../../../dist/src/browser.js", import.meta.url)) } },
  optimizeDeps: { exclude: ["onnxruntime-web"] }, // it finds its .wasm files beside itself
  build: { target: "es2022", chunkSizeWarningLimit: 1000 },
  server: { headers, fs: { allow: ["../../.."] } },
  preview: { headers },
});
