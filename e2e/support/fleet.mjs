// A whole site on real services: two processes of each role behind Nginx.

import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const binary = resolve(process.env.MIAOSHA ?? '../target/quick/miaosha');
const services = join(dirname(binary), 'services');

/** Starts services and site, and waits until they are ready. `await site.close()` ends them and forgets their data. */
export async function startFleet() {
  const dataDir = await mkdtemp(join(tmpdir(), 'miaosha-e2e-'));
  const child = spawn(services, ['--site', binary], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise((done) => child.once('exit', done));
  const settings = {};
  const base = await new Promise((found, failed) => {
    child.once('error', failed);
    exited.then((code) => failed(new Error(`the services ended with ${code} before the site was ready`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, name, value] = line.match(/^(\w+)=(.*)$/) ?? [];
      if (name) settings[name] = value;
      if (line.startsWith('http://')) found(line);
    });
  });
  const env = { ...process.env, ...settings };
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
