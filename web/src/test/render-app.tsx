// Shows the whole site at an address, with a fake server behind it.
import { render } from "@testing-library/react";
import { Provider } from "react-redux";
import { createMemoryRouter, RouterProvider } from "react-router";
import { routes } from "../app/router";
import { type AppStore, createAppStore, type RootState } from "../app/store";
import type { FakeServer } from "./fake-server";

export function renderApp(
  path: string,
  server: FakeServer,
  preloaded?: Partial<RootState>,
): { store: AppStore; path: () => string } {
  const store = createAppStore({
    ...server,
    ...(preloaded === undefined ? {} : { preloaded }),
  });
  const router = createMemoryRouter(routes, { initialEntries: [path] });
  render(
    <Provider store={store}>
      <RouterProvider router={router} />
    </Provider>,
  );
  return { store, path: () => router.state.location.pathname };
}
