// The addresses of the pages. All of them load at once: they are small, and a
// checkout that has yet to be fetched may fail on a bad network while time runs.
import { createBrowserRouter, type RouteObject } from "react-router";
import { CheckoutPage } from "../features/checkout/checkout-page";
import { OrderPage } from "../features/orders/order-page";
import { OrdersPage } from "../features/orders/orders-page";
import { SalePage } from "../features/sales/sale-page";
import { SalesPage } from "../features/sales/sales-page";
import { RequireSession } from "../features/session/require-session";
import { SignInPage } from "../features/session/sign-in-page";
import { SignUpPage } from "../features/session/sign-up-page";
import { CrashPage, NotFoundPage } from "./error-pages";
import { Layout } from "./layout";

export const routes: RouteObject[] = [
  {
    element: <Layout />,
    errorElement: <CrashPage />,
    children: [
      { index: true, element: <SalesPage /> },
      { path: "sales/:id", element: <SalePage /> },
      { path: "sign-in", element: <SignInPage /> },
      { path: "sign-up", element: <SignUpPage /> },
      {
        element: <RequireSession />,
        children: [
          {
            path: "sales/:id/checkout",
            element: <CheckoutPage />,
          },
          {
            path: "orders",
            element: <OrdersPage />,
          },
          {
            path: "orders/:id",
            element: <OrderPage />,
          },
        ],
      },
      { path: "*", element: <NotFoundPage /> },
    ],
  },
];

export function createRouter() {
  return createBrowserRouter(routes);
}
