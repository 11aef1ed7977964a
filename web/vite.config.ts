// Builds, serves and tests the pages. `MIAOSHA_DEV_SERVER` says where the
// real server is while developing (`npm run dev`); the built pages need no
// address, since the binary that holds them also answers their calls.
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const server = process.env.MIAOSHA_DEV_SERVER ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  build: {
    target: "baseline-widely-available",
    modulePreload: { polyfill: false },
    // A strict content policy forbids data: addresses, and a file is cached.
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        codeSplitting: {
          // What changes rarely keeps its hash, and so stays in the browser's cache.
          groups: [
            { name: "react", test: /node_modules\/(react|react-dom|scheduler)\// },
            {
              name: "state",
              test: /node_modules\/(react-router|react-redux|@reduxjs|immer|redux|reselect)/,
            },
            {
              name: "live",
              test: /node_modules\/(socket\.io|engine\.io|@socket\.io)/,
            },
          ],
        },
      },
    },
  },
  server: {
    proxy: {
      "/api": { target: server },
      "/socket.io": { target: server, ws: true },
    },
  },
  test: {
    environment: "happy-dom",
    setupFiles: ["src/test/setup.ts"],
    restoreMocks: true,
    retry: 0,
    testTimeout: 20_000,
  },
});
