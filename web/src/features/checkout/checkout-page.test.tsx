import { act, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it } from "vitest";
import type { Order } from "../../api/types";
import {
  aClaim,
  aSale,
  type FakeServer,
  fakeServer,
  SIGNED_IN,
} from "../../test/fake-server";
import { renderApp } from "../../test/render-app";
import { claimReported } from "../claim/claim-slice";

const usd = (amount: string) => ({ amount, currency: "USD" });
const ORDER: Order = {
  id: "900",
  number: "M7K2-49QX",
  sale: "1",
  status: "paid",
  lines: [
    { title: "Console", quantity: 1, unit_price: usd("49.90"), total: usd("49.90") },
  ],
  totals: {
    net: usd("49.90"),
    tax: usd("0.00"),
    shipping: usd("0.00"),
    discount: usd("0.00"),
    total: usd("49.90"),
  },
  shipping: { name: "Mei Lin", phone: "0912345678", address: "1 Songgao Rd" },
  created_at: "2026-11-22T06:05:00.000Z",
};

let server: FakeServer;

beforeEach(() => {
  server = fakeServer();
  server.replies["GET /sales/1"] = [{ status: 200, body: aSale() }];
  server.replies["GET /orders/900"] = [{ status: 200, body: ORDER }];
});

const held = (over = {}) =>
  aClaim({
    status: "reserved",
    rev: 1,
    deadline: new Date(Date.now() + 600_000).toISOString(),
    checkout_token: "checkout-1",
    ...over,
  });

async function openCheckout() {
  const app = renderApp("/sales/1/checkout", server, SIGNED_IN);
  act(() => void app.store.dispatch(claimReported(held())));
  await screen.findByRole("button", { name: "Pay $49.90" });
  return app;
}

async function fillIn(card: RegExp) {
  await userEvent.type(screen.getByLabelText("Phone"), "0912 345 678");
  await userEvent.type(screen.getByLabelText("Address"), "1 Songgao Rd");
  await userEvent.click(screen.getByRole("button", { name: card }));
}

const pay = () => userEvent.click(screen.getByRole("button", { name: "Pay $49.90" }));

describe("the checkout", () => {
  it("names_what_is_missing_at_each_field_and_moves_to_the_first", async () => {
    await openCheckout();
    await pay();
    const phone = screen.getByLabelText("Phone");
    expect(phone).toHaveFocus();
    expect(phone).toHaveAccessibleDescription(/at least 6 digits/);
    expect(screen.getByLabelText("Card number")).toBeInvalid();
    expect(server.count("POST /checkout")).toBe(0);
  });

  it("pays_with_the_checkout_token_and_shows_the_order", async () => {
    server.replies["POST /checkout"] = [{ status: 201, body: ORDER }];
    const { path } = await openCheckout();
    await fillIn(/4242/);
    await pay();
    expect(await screen.findByRole("heading", { name: "Order M7K2-49QX" }));
    expect(path()).toBe("/orders/900");
    const call = server.calls.find(({ route }) => route === "POST /checkout");
    expect(call?.headers.Authorization).toBe("Bearer checkout-1");
    expect(call?.body).toEqual({
      payment: { method: "sandbox", card: "4242424242424242" },
      shipping: { name: "Mei Lin", phone: "0912 345 678", address: "1 Songgao Rd" },
    });
  });

  it("says_a_declined_card_at_its_field_and_lets_another_be_tried", async () => {
    server.replies["POST /checkout"] = [
      { status: 402, body: { code: "payment_declined" } },
    ];
    await openCheckout();
    await fillIn(/0002/);
    await pay();
    const card = await screen.findByLabelText("Card number");
    await waitFor(() => expect(card).toHaveAccessibleDescription(/declined/));
    expect(card).toHaveFocus();
  });

  it("waits_for_the_claim_after_a_202_and_takes_no_stale_report_for_a_decline", async () => {
    server.replies["POST /checkout"] = [{ status: 202, body: { status: "paying" } }];
    const { path } = await openCheckout();
    await fillIn(/0259/);
    await pay();
    const under_way = await screen.findByRole("button", { name: "Payment under way…" });
    act(() => server.push("claim", held()));
    expect(under_way).toHaveTextContent("Payment under way…");
    act(() => server.push("claim", aClaim({ status: "paying", rev: 2 })));
    expect(under_way).toHaveTextContent("Payment under way…");
    act(() => server.push("claim", aClaim({ status: "paid", rev: 3, order: "900" })));
    await waitFor(() => expect(path()).toBe("/orders/900"));
  });

  it("says_that_it_is_paid_before_it_is_known_by_which_order", async () => {
    const { path } = await openCheckout();
    const paid = aClaim({ status: "paid", rev: 3 });
    act(() => server.push("claim", paid));
    expect(screen.getByRole("heading", { name: "Paid. It's yours" })).toBeInTheDocument();
    expect(screen.getByRole("main")).toHaveTextContent("See the order");
    expect(path()).toBe("/sales/1/checkout");
    act(() => server.push("claim", { ...paid, order: "900" }));
    await waitFor(() => expect(path()).toBe("/orders/900"));
  });

  it("tells_a_decline_that_comes_by_the_claim", async () => {
    server.replies["POST /checkout"] = [{ status: 202, body: { status: "paying" } }];
    await openCheckout();
    await fillIn(/0259/);
    await pay();
    await screen.findByRole("button", { name: "Payment under way…" });
    act(() => server.push("claim", held({ rev: 3 })));
    expect(await screen.findByText(/card was declined/)).toBeInTheDocument();
  });

  it("tells_that_the_time_ran_out_while_filling_in_the_form", async () => {
    await openCheckout();
    act(() => server.push("claim", aClaim({ status: "expired", rev: 2 })));
    expect(screen.getByRole("heading", { name: "The time ran out" })).toBeInTheDocument();
  });

  it("leads_a_stranger_to_sign_in_and_back", () => {
    const { path } = renderApp("/sales/1/checkout", server);
    expect(path()).toBe("/sign-in");
  });
});
