// The pages on a site in one process.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newPerson, phone, picture, startBrowser } from './support/browser.mjs';
import { patience, race } from './support/race.mjs';
import { startSite } from './support/site.mjs';

let site;
let browser;

before(async () => {
  site = await startSite();
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await site?.close();
});

test('two people race for one unit', async () => {
  await race(site, browser);
});

test('in Traditional Chinese, the pages and their language say so', async () => {
  const person = await newPerson(browser, site.base, { ...phone, locale: 'zh-TW' });
  await person.page.goto('/');
  await person.page.locator('html[lang^="zh-Hant"]').waitFor({ ...patience, state: 'attached' });
  await picture(person.page, 'list-zh-phone');
  await person.page.getByRole('button', { name: 'English' }).click();
  await person.page.locator('html[lang="en"]').waitFor({ ...patience, state: 'attached' });
  assert.deepEqual(person.errors, []);
});
