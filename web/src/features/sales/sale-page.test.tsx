import { act, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it } from "vitest";
import type { Claim, Sale } from "../../api/types";
import {
  aClaim,
  aSale,
  type FakeServer,
  fakeServer,
  SIGNED_IN,
} from "../../test/fake-server";
import { renderApp } from "../../test/render-app";
import { localeChosen } from "../settings/settings-slice";

const QUESTION = { text: "Who makes it?", choices: ["Sony", "Microsoft"] };

let server: FakeServer;

beforeEach(() => {
  server = fakeServer();
  server.replies["POST /sales/1/requests"] = [
    { status: 202, body: { status: "queued" } },
  ];
});

/** The page of a sale that is on just now, whatever the time is. */
async function openPage(over: Partial<Sale> = {}, signed_in = true) {
  const sale = aSale({
    starts_at: new Date(Date.now() - 60_000).toISOString(),
    ends_at: new Date(Date.now() + 600_000).toISOString(),
    server_time: new Date().toISOString(),
    ...over,
  });
  server.replies["GET /sales/1"] = [{ status: 200, body: sale }];
  const app = renderApp("/sales/1", server, signed_in ? SIGNED_IN : undefined);
  const stage = await screen.findByTestId("stage");
  act(() => server.connect());
  return { ...app, stage };
}

const pushClaim = (claim: Partial<Claim>) =>
  act(() => server.push("claim", aClaim(claim)));
const inMinutes = (minutes: number) =>
  new Date(Date.now() + minutes * 60_000).toISOString();

describe("before the opening", () => {
  it("a_stranger_is_asked_to_sign_in_and_led_back", async () => {
    await openPage({ state: "scheduled", starts_at: inMinutes(5) }, false);
    expect(screen.getByRole("link", { name: "Sign in before it opens" })).toHaveAttribute(
      "href",
      "/sign-in?next=%2Fsales%2F1",
    );
    expect(screen.getByRole("timer", { name: "Opens in" })).toBeInTheDocument();
  });

  it("the_button_can_be_focused_but_does_nothing", async () => {
    await openPage({ state: "scheduled", starts_at: inMinutes(5), question: QUESTION });
    const button = screen.getByRole("button", { name: "Not open yet" });
    await userEvent.click(button);
    expect(button).toHaveFocus();
    expect(button).toHaveAttribute("aria-disabled", "true");
    expect(server.count("POST /sales/1/requests")).toBe(0);
  });

  it("a_time_that_has_come_does_not_open_the_sale_by_itself", async () => {
    await openPage({ state: "scheduled", starts_at: inMinutes(-1) });
    expect(screen.getByRole("heading", { name: "Opening…" })).toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Not open yet" })).toBeInTheDocument();
  });

  it("the_push_opens_it_with_the_early_answer_and_the_focus_kept", async () => {
    await openPage({ state: "scheduled", starts_at: inMinutes(-1), question: QUESTION });
    await userEvent.click(screen.getByRole("radio", { name: "Sony" }));
    screen.getByRole("button", { name: "Not open yet" }).focus();
    act(() => server.push("sale", { sale: "1", state: "open" }));
    const buy = screen.getByRole("button", { name: "Buy now" });
    expect(buy).toHaveFocus();
    await userEvent.keyboard("{Enter}");
    expect(server.calls.at(-1)?.body).toEqual({ answer: "Sony" });
    expect(await screen.findByRole("heading", { name: "You are in the queue" }));
  });
});

describe("while it is open", () => {
  it("a_missing_answer_is_asked_for_and_nothing_is_sent", async () => {
    await openPage({ question: QUESTION });
    await userEvent.click(screen.getByRole("button", { name: "Buy now" }));
    const question = screen.getByRole("radiogroup", { name: "Who makes it?" });
    expect(question).toHaveAccessibleDescription("Choose an answer first.");
    expect(server.count("POST /sales/1/requests")).toBe(0);
  });

  it("a_wrong_answer_is_said_at_the_question", async () => {
    server.replies["POST /sales/1/requests"] = [
      { status: 422, body: { code: "wrong_answer" } },
    ];
    await openPage({ question: QUESTION });
    await userEvent.click(screen.getByRole("radio", { name: "Microsoft" }));
    await userEvent.click(screen.getByRole("button", { name: "Buy now" }));
    expect(await screen.findByRole("alert")).toHaveTextContent(/not the right answer/);
    expect(screen.getByRole("button", { name: "Buy now" })).toBeInTheDocument();
  });

  it("a_busy_server_is_said_and_can_be_left_alone", async () => {
    server.replies["POST /sales/1/requests"] = [
      { status: 503, body: { code: "overloaded" }, retry_after_s: 30 },
    ];
    await openPage();
    await userEvent.click(screen.getByRole("button", { name: "Buy now" }));
    expect(
      await screen.findByRole("heading", { name: "Busy, trying again" }),
    ).toBeInTheDocument();
    await userEvent.click(screen.getByRole("button", { name: "Stop trying" }));
    expect(screen.getByRole("button", { name: "Buy now" })).toBeInTheDocument();
  });
});

describe("the result", () => {
  it("a_reservation_shows_the_time_left_and_the_way_to_the_checkout", async () => {
    const { stage } = await openPage();
    pushClaim({ status: "reserved", rev: 1, deadline: inMinutes(10) });
    expect(stage).toHaveAttribute("data-outcome", "reserved");
    expect(screen.getByRole("timer", { name: "Time left to pay" })).toBeInTheDocument();
    expect(screen.getByRole("link", { name: "Check out" })).toHaveAttribute(
      "href",
      "/sales/1/checkout",
    );
    expect(within(stage).getAllByRole("status")[0]).toHaveTextContent(/yours to buy/);
  });

  it("a_place_in_standby_follows_the_shared_event", async () => {
    await openPage();
    pushClaim({ status: "standby", rev: 1, seq: 120, position: 12 });
    expect(screen.getByTestId("position")).toHaveTextContent("12");
    act(() => server.push("standby", { sale: "1", serving_seq: 119, standing: 30 }));
    expect(screen.getByTestId("position")).toHaveTextContent("1");
    expect(screen.getByText(/You are next/)).toBeInTheDocument();
    act(() =>
      server.push("standby", {
        sale: "1",
        serving_seq: 119,
        standing: 30,
        all_paid: true,
      }),
    );
    expect(screen.getByText(/You keep your place/)).toBeInTheDocument();
  });

  it("a_promotion_arrives_by_push_and_an_expiry_is_told", async () => {
    const { stage } = await openPage();
    pushClaim({ status: "standby", rev: 1, seq: 120, position: 1 });
    pushClaim({ status: "reserved", rev: 2, seq: 120, deadline: inMinutes(10) });
    expect(stage).toHaveAttribute("data-outcome", "reserved");
    pushClaim({ status: "expired", rev: 3, seq: 120 });
    expect(screen.getByRole("heading", { name: "The time ran out" })).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Ask again" })).toBeNull();
  });

  it("a_rejection_while_the_sale_is_open_offers_to_ask_again", async () => {
    const { stage } = await openPage();
    pushClaim({ status: "rejected" });
    expect(screen.getByRole("heading", { name: "Not this time" })).toBeInTheDocument();
    await userEvent.click(screen.getByRole("button", { name: "Ask again" }));
    expect(stage).toHaveAttribute("data-outcome", "queued");
  });

  it("giving_up_asks_once_more_and_names_the_rev", async () => {
    server.replies["DELETE /sales/1/claim?rev=4"] = [
      { status: 200, body: aClaim({ status: "left", rev: 5 }) },
    ];
    const { stage } = await openPage();
    pushClaim({ status: "standby", rev: 4, seq: 3 });
    await userEvent.click(screen.getByRole("button", { name: "Leave standby" }));
    const dialog = await screen.findByRole("dialog", { name: "Leave standby?" });
    expect(within(dialog).getByRole("button", { name: "Keep it" })).toHaveFocus();
    await userEvent.click(within(dialog).getByRole("button", { name: "Leave" }));
    await waitFor(() => expect(stage).toHaveAttribute("data-outcome", "left"));
  });
});

describe("the language", () => {
  it("when_changed_reads_the_sale_in_it_and_forgets_no_state", async () => {
    const { store } = await openPage();
    const chinese = aSale({ title: "主機", ends_at: inMinutes(10) });
    server.replies["GET /sales/1"] = [{ status: 200, body: chinese }];
    act(() => void store.dispatch(localeChosen("zh-TW")));
    expect(await screen.findByRole("heading", { name: "主機" })).toBeInTheDocument();
    expect(server.calls.at(-1)?.headers["Accept-Language"]).toBe("zh-TW");
    expect(screen.getByRole("button", { name: "立即搶購" })).toBeInTheDocument();
  });
});
