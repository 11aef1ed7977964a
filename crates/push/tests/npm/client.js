// What the tests of the real socket.io-client share.

export const transports = {
  "default options": {},
  "websocket only": { transports: ["websocket"] },
  "polling only": { transports: ["polling"] },
};

/** The arguments of the next `event`. */
export function next(emitter, event) {
  return new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));
}

/** Waits until the socket is on the transport that it will stay on. */
export async function settled(socket) {
  const { engine } = socket.io;
  if (engine.transport.name === "polling" && engine.transports.includes("websocket")) {
    await next(engine, "upgrade");
  }
}
