// A real browser: Debian's Chromium, driven by Playwright.

import { mkdir } from 'node:fs/promises';
import { chromium } from 'playwright-core';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const artifacts = new URL('../artifacts/', import.meta.url);

// Chromium refuses to run as root inside a sandbox, and looks for updates and hosts that tests must not need.
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
export const desk = { viewport: { width: 1280, height: 800 } };

export async function startBrowser() {
  return chromium.launch({ executablePath, args });
}

/** A person with a browser of their own: their own cookies and storage. Errors of the page fail the test. */
export async function newPerson(browser, base, options = desk) {
  const context = await browser.newContext({ baseURL: base, locale: 'en-US', ...options });
  const page = await context.newPage();
  const errors = [];
  page.on('pageerror', (error) => errors.push(error));
  const person = { context, page, errors, session: undefined };
  page.on('request', (request) => {
    const sid = new URL(request.url()).searchParams.get('sid');
    if (sid) person.session = sid;
  });
  page.on('websocket', (socket) => {
    // Opened at once on a WebSocket, a session is named by its first packet.
    socket.on('framereceived', ({ payload }) => {
      const [, sid] = String(payload).match(/^0\{"sid":"([^"]+)"/) ?? [];
      if (sid) person.session = sid;
    });
  });
  return person;
}

/** The number of the push node that holds the person's newest session. */
export async function pushNode(person) {
  person.session = undefined;
  await person.page.reload();
  while (person.session === undefined) await person.page.waitForTimeout(20);
  return person.session.split('-')[0];
}

/** Keeps a picture of the page for whoever wants to look. */
export async function picture(page, name) {
  await mkdir(artifacts, { recursive: true });
  await page.screenshot({ path: new URL(`${name}.png`, artifacts).pathname, animations: 'disabled' });
}
