import { act, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it } from "vitest";
import {
  aClaim,
  aSale,
  type FakeServer,
  fakeServer,
  SIGNED_IN,
} from "../../test/fake-server";
import { renderApp } from "../../test/render-app";

let server: FakeServer;

beforeEach(async () => {
  server = fakeServer();
  server.replies["GET /sales"] = [
    { status: 200, body: { items: [aSale()], next: null } },
  ];
  server.replies["GET /sales/1"] = [{ status: 200, body: aSale() }];
  renderApp("/", server, SIGNED_IN);
  await screen.findByRole("heading", { name: "Console" });
  act(() => server.connect());
});

const push = (claim: Parameters<typeof aClaim>[0]) =>
  act(() => server.push("claim", aClaim(claim)));

describe("away from the page of the sale", () => {
  it("a_promotion_is_told_with_the_way_to_the_checkout", () => {
    push({ status: "standby", rev: 1, seq: 9 });
    push({
      status: "reserved",
      rev: 2,
      seq: 9,
      deadline: new Date(Date.now() + 60_000).toISOString(),
    });
    expect(screen.getByText("A unit of Console is yours to buy.")).toBeInTheDocument();
    expect(screen.getByRole("link", { name: "Check out" })).toHaveAttribute(
      "href",
      "/sales/1/checkout",
    );
  });

  it("an_expiry_is_told_until_it_is_dismissed", async () => {
    push({ status: "reserved", rev: 1 });
    push({ status: "expired", rev: 2 });
    expect(screen.queryByRole("link", { name: "Check out" })).toBeNull();
    const told = screen.getByText("Time ran out for Console.");
    await userEvent.click(screen.getByRole("button", { name: "Close" }));
    expect(told).not.toBeInTheDocument();
  });
});
