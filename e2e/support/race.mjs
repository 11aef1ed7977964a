// Two people race for one unit: the first gets it and lets the time run out; the second stands by, is promoted, pays.

import assert from 'node:assert/strict';
import { desk, newPerson, phone, picture } from './browser.mjs';

export const patience = { timeout: 30_000 };

async function signUp({ page }, name) {
  await page.goto('/sign-up');
  await page.getByLabel('Email').fill(`${name.toLowerCase()}@example.com`);
  await page.getByLabel('Name', { exact: true }).fill(name);
  await page.getByLabel('Password', { exact: true }).fill('correct horse');
  await page.getByRole('button', { name: 'Make the account' }).click();
  await page.getByRole('button', { name: `Account: ${name}` }).waitFor(patience);
}

const stage = (page, outcome) => page.locator(`[data-testid="stage"][data-outcome="${outcome}"]`);

async function answerAndBuy({ page }) {
  await page.getByRole('radio', { name: 'Sony' }).click();
  await page.getByRole('button', { name: 'Buy now' }).click();
}

/** Runs the journey. `betweenPages(ann, bob)` is called once both look at the sale, before it opens. */
export async function race(site, browser, { name = '', betweenPages = async () => {} } = {}) {
  const sale = await site.createSale(
    ...['--title', 'Console', '--stock', '1', '--standby', '5', '--starts-in', '12s', '--hold', '9s', '--lasts', '10m'],
    ...['--price', '199.00', '--question', 'Who makes it?', '--choices', 'Sony;Microsoft', '--answer', 'Sony'],
  );
  const ann = await newPerson(browser, site.base, desk);
  const bob = await newPerson(browser, site.base, phone);
  await signUp(ann, 'Ann');
  await signUp(bob, 'Bob');

  for (const person of [ann, bob]) {
    await person.page.goto('/');
    await person.page.getByRole('link', { name: 'Go to the sale' }).click();
    await person.page.waitForURL(`**/sales/${sale.id}`);
  }
  await betweenPages(ann, bob);
  await picture(ann.page, `${name}waiting-desk`);
  await ann.page.locator('[data-testid="stage"][data-state="open"]').waitFor(patience);

  await answerAndBuy(ann);
  await stage(ann.page, 'reserved').waitFor(patience);
  await picture(ann.page, `${name}reserved-desk`);

  await answerAndBuy(bob);
  await stage(bob.page, 'standby').waitFor(patience);
  assert.match(await bob.page.getByTestId('position').innerText(), /1/);
  await picture(bob.page, `${name}standby-phone`);

  // Nobody touches anything: Ann's time runs out, and both are told by push.
  await stage(ann.page, 'expired').waitFor(patience);
  await stage(bob.page, 'reserved').waitFor(patience);
  await picture(ann.page, `${name}expired-desk`);
  await picture(bob.page, `${name}promoted-phone`);

  await bob.page.getByRole('link', { name: 'Check out' }).click();
  await bob.page.getByLabel('Recipient').fill('Bob');
  await bob.page.getByLabel('Phone').fill('+1 555 0100');
  await bob.page.getByLabel('Address').fill('1 Main Street');
  await bob.page.getByLabel('Card number').fill('4242 4242 4242 4242');
  await picture(bob.page, `${name}checkout-phone`);
  await bob.page.getByRole('button', { name: 'Pay $199.00' }).click();
  await bob.page.getByTestId('order-status').waitFor(patience);
  await picture(bob.page, `${name}order-phone`);

  await bob.page.goto('/orders');
  await bob.page.getByText('Console').first().waitFor(patience);

  const verified = await site.cli('sale', 'verify', sale.id);
  assert.deepEqual({ ok: verified.ok, paid: verified.paid, orders: verified.orders }, { ok: true, paid: 1, orders: 1 });
  assert.deepEqual([...ann.errors, ...bob.errors], []);
}
