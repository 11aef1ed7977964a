// The same race on a fleet behind Nginx, two processes of each role, the two browsers on different push nodes.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pushNode, startBrowser } from './support/browser.mjs';
import { startFleet } from './support/fleet.mjs';
import { race } from './support/race.mjs';

let site;
let browser;

before(async () => {
  site = await startFleet();
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await site?.close();
});

test('two people on different push nodes race for one unit', async () => {
  await race(site, browser, {
    name: 'fleet-',
    betweenPages: async (ann, bob) => {
      // Nginx leads new sessions to the nodes in turn; somebody else may have taken a turn between.
      const node = await pushNode(ann);
      for (let tries = 0; (await pushNode(bob)) === node; tries += 1) {
        assert.ok(tries < 10, 'both stay on one push node');
      }
    },
  });
});
