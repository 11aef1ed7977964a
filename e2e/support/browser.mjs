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
  return { context, page, errors };
}

/** Keeps a picture of the page for whoever wants to look. */
export async function picture(page, name) {
  await mkdir(artifacts, { recursive: true });
  await page.screenshot({ path: new URL(`${name}.png`, artifacts).pathname, animations: 'disabled' });
}
