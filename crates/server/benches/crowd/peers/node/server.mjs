// The reference Socket.IO server with its default settings, on WebSocket only: sign in, watch, be told.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Server } from "socket.io";

const IDLE_GC_MS = 5_000;

const http = createServer();
const io = new Server(http, { transports: ["websocket"] });

io.on("connection", (socket) => {
  socket.emit("clock", { now: new Date().toISOString(), sales: [] });
  socket.on("watch", ({ sale }, acknowledge) => {
    socket.join(`sale:${sale}`);
    acknowledge({ sale, state: "scheduled" });
  });
});

createInterface({ input: process.stdin }).on("line", (line) => {
  const event = JSON.parse(line);
  io.to(`sale:${event.sale}`).emit("sale", event);
});

setInterval(() => globalThis.gc(), IDLE_GC_MS);
http.listen(0, "127.0.0.1", 4096, () => console.log(`127.0.0.1:${http.address().port}`));
