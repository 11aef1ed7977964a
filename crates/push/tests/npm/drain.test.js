// The real socket.io-client while its server drains. Run by tests/npm_client.rs, which gives in SERVER_URL the address of
// a relay that brings new connections to the second server once the first drains.

import assert from "node:assert/strict";
import { it } from "node:test";
import { io } from "socket.io-client";
import { next, settled, transports } from "./client.js";

const url = process.env.SERVER_URL;
const drainMs = 800;

it("finds every client on another server, one after the other, by itself", { timeout: 20_000 }, async () => {
  const clients = Object.entries(transports).flatMap(([name, options]) =>
    Array.from({ length: 4 }, () => ({ name, socket: io(url, { forceNew: true, reconnectionDelay: 10, ...options }) })),
  );
  await Promise.all(clients.map(({ socket }) => next(socket, "connect")));
  await Promise.all(clients.map(({ socket }) => settled(socket)));
  for (const { socket } of clients) {
    assert.equal(await socket.emitWithAck("where"), 1);
  }
  const moved = clients.map(async ({ name, socket }) => {
    const [reason] = await next(socket, "disconnect");
    const leftAt = performance.now();
    assert.equal(reason, "transport close", name);
    assert.equal(socket.active, true, `${name}: it comes back by itself`);
    await next(socket, "connect");
    assert.equal(await socket.emitWithAck("where"), 2, name);
    return leftAt;
  });
  clients[0].socket.emit("drain", drainMs);
  const leftAt = (await Promise.all(moved)).sort((a, b) => a - b);
  assert.ok(leftAt.at(-1) - leftAt[0] > drainMs / 3, `all left within ${leftAt.at(-1) - leftAt[0]} ms`);
  clients.forEach(({ socket }) => socket.disconnect());
});
