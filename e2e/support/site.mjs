// The real binary, serving on a free port from a temporary directory.

import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const binary = resolve(process.env.MIAOSHA ?? '../target/quick/miaosha');

/** Starts a site and waits until it says where it listens. `await site.close()` ends it and forgets its data. */
export async function startSite({ environment = {} } = {}) {
  const dataDir = await mkdtemp(join(tmpdir(), 'miaosha-e2e-'));
  const env = { ...process.env, ...environment };
  const child = spawn(binary, ['serve', '--listen', '127.0.0.1:0', '--data-dir', dataDir], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = new Promise((done) => child.once('exit', done));
  const lines = createInterface({ input: child.stderr });
  const base = await new Promise((found, failed) => {
    child.once('error', failed);
    exited.then((code) => failed(new Error(`the server ended with ${code} before it listened`)));
    lines.on('line', (line) => {
      const address = line.match(/http:\/\/[\d.]+:\d+/);
      if (address) found(address[0]);
    });
  });
  const cli = async (...args) => {
    const { stdout } = await promisify(execFile)(binary, [...args, '--data-dir', dataDir, '--json'], { env });
    return JSON.parse(stdout);
  };
  return {
    base,
    cli,
    createSale: (...args) => cli('sale', 'create', ...args),
    async close() {
      child.kill('SIGTERM');
      await exited;
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
