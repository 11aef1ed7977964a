// Starts the pages: the store with the real network, what was kept from the
// last visit, the timers, and the router.
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Provider } from "react-redux";
import { RouterProvider } from "react-router/dom";
import { io } from "socket.io-client";
import "./app/app.css";
import { keepDocument } from "./app/document";
import { keepPersisted, restored } from "./app/persist";
import { createRouter } from "./app/router";
import { keepSchedule } from "./app/schedule";
import { createAppStore } from "./app/store";

const store = createAppStore({
  fetch: window.fetch.bind(window),
  openSocket: (token) =>
    io({
      autoConnect: false,
      // A socket of its own for each session, and straight to the cheap transport.
      forceNew: true,
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      reconnectionDelayMax: 10_000,
      auth: token === null ? {} : { token },
    }),
  preloaded: restored(),
});
keepPersisted(store);
keepDocument(store);
keepSchedule(store);

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has an element #root");
createRoot(root).render(
  <StrictMode>
    <Provider store={store}>
      <RouterProvider router={createRouter()} />
    </Provider>
  </StrictMode>,
);
