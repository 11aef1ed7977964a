// The real socket.io-client against this server, on each of its transports. Run by tests/npm_client.rs, which serves
// the events used here and gives the server's address in SERVER_URL.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { io } from "socket.io-client";
import { next, settled, transports } from "./client.js";

const url = process.env.SERVER_URL;

/** Connects, runs `body` with the sockets, and disconnects them. */
async function withSockets(count, options, body) {
  const sockets = Array.from({ length: count }, () => io(url, { forceNew: true, reconnectionDelay: 10, ...options }));
  try {
    await Promise.all(sockets.map((socket) => next(socket, "connect")));
    await body(...sockets);
  } finally {
    sockets.forEach((socket) => socket.disconnect());
  }
}

for (const [name, options] of Object.entries(transports)) {
  describe(name, { timeout: 10_000 }, () => {
    it("tells the server its auth payload", () =>
      withSockets(1, { ...options, auth: { tag: "7" } }, async (socket) => {
        assert.deepEqual(await socket.emitWithAck("who"), { tag: "7" });
      }));

    it("is told why it is refused", async () => {
      const socket = io(url, { forceNew: true, auth: { tag: "nobody" }, ...options });
      const [error] = await next(socket, "connect_error");
      assert.equal(error.message, "unauthenticated");
      socket.disconnect();
    });

    it("joins a second namespace on the same connection", () =>
      withSockets(1, options, async (socket) => {
        const custom = socket.io.socket("/custom");
        await next(custom, "connect");
        assert.deepEqual(await custom.emitWithAck("echo", "there"), ["there"]);
        const unknown = socket.io.socket("/unknown");
        const [error] = await next(unknown, "connect_error");
        assert.equal(error.message, "Invalid namespace");
      }));

    it("gets its arguments back in an acknowledgement", () =>
      withSockets(1, options, async (socket) => {
        const sent = [1, "zwei ✓", { three: [true, null, 4.5] }];
        assert.deepEqual(await socket.emitWithAck("echo", ...sent), sent);
      }));

    it("gets binary arguments back", () =>
      withSockets(1, options, async (socket) => {
        const [text, buffer, nested] = await socket.emitWithAck("echo", "a", Buffer.from([1, 2, 3]), {
          inside: Buffer.from([4]),
        });
        assert.equal(text, "a");
        assert.deepEqual(new Uint8Array(buffer), Uint8Array.from([1, 2, 3]));
        assert.deepEqual(new Uint8Array(nested.inside), Uint8Array.from([4]));
      }));

    it("answers an event of the server", () =>
      withSockets(1, options, async (socket) => {
        socket.on("question", (number, answer) => answer(number * 2));
        assert.deepEqual(await socket.emitWithAck("ask me", 21), [42]);
      }));

    it("hears its room and no other", () =>
      withSockets(3, options, async (a, b, outsider) => {
        await Promise.all([a, b].map((socket) => socket.emitWithAck("join", "room")));
        const heardOutside = [];
        outsider.onAny((...args) => heardOutside.push(args));
        const heard = Promise.all([next(a, "news"), next(b, "news")]);
        await outsider.emitWithAck("tell", "room", "hello");
        assert.deepEqual(await heard, [["hello"], ["hello"]]);
        await a.emitWithAck("leave", "room");
        const heardAgain = next(b, "news");
        a.once("news", () => assert.fail("it has left"));
        await outsider.emitWithAck("tell", "room", "again");
        assert.deepEqual(await heardAgain, ["again"]);
        // What was sent before the answer to a later event has been heard by now.
        await outsider.emitWithAck("echo");
        await a.emitWithAck("echo");
        assert.deepEqual(heardOutside, []);
      }));

    it("gets events in the order in which they were emitted", () =>
      withSockets(1, options, async (socket) => {
        const numbers = [];
        socket.on("count", (number) => numbers.push(number));
        await socket.emitWithAck("count to", 500);
        assert.deepEqual(numbers, Array.from({ length: 500 }, (_, index) => index));
      }));

    it("does not come back when the server removes it", () =>
      withSockets(1, options, async (socket) => {
        await settled(socket);
        socket.emit("remove me");
        assert.deepEqual((await next(socket, "disconnect"))[0], "io server disconnect");
        assert.equal(socket.active, false);
      }));

    it("comes back by itself when its connection breaks", () =>
      withSockets(1, options, async (socket) => {
        const before = socket.id;
        socket.io.engine.close();
        await next(socket, "connect");
        assert.notEqual(socket.id, before);
        assert.deepEqual(await socket.emitWithAck("echo", 1), [1]);
      }));

    it("stays connected over many heart-beats", () =>
      withSockets(1, options, async (socket) => {
        socket.once("disconnect", (reason) => assert.fail(reason));
        for (let pings = 0; pings < 5; pings++) {
          await next(socket.io, "ping");
        }
        assert.deepEqual(await socket.emitWithAck("echo", 1), [1]);
        socket.removeAllListeners("disconnect");
      }));
  });
}

describe("default options", { timeout: 10_000 }, () => {
  it("end on a WebSocket", () =>
    withSockets(1, {}, async (socket) => {
      await settled(socket);
      assert.equal(socket.io.engine.transport.name, "websocket");
      assert.deepEqual(await socket.emitWithAck("echo", 1), [1]);
    }));
});
