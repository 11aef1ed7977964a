import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it } from "vitest";
import { aSale, type FakeServer, fakeServer } from "../../test/fake-server";
import { renderApp } from "../../test/render-app";
import { nextPath } from "./require-session";

const ACCEPTED = {
  access_token: "token-9",
  expires_in: 3_600,
  user: { id: "9", email: "mei@example.com", name: "Mei", role: null },
};

let server: FakeServer;

beforeEach(() => {
  server = fakeServer();
  server.replies["GET /sales/1"] = [{ status: 200, body: aSale() }];
});

async function signUp() {
  await userEvent.type(screen.getByLabelText("Email"), "mei@example.com");
  await userEvent.type(screen.getByLabelText("Name"), "Mei");
  await userEvent.type(screen.getByLabelText("Password"), "long enough");
  await userEvent.click(screen.getByRole("button", { name: "Make the account" }));
}

describe("signing up", () => {
  it("leads_back_to_the_page_and_connects_as_the_person", async () => {
    server.replies["POST /users"] = [{ status: 201, body: ACCEPTED }];
    const { path } = renderApp("/sign-up?next=%2Fsales%2F1", server);
    await signUp();
    await waitFor(() => expect(path()).toBe("/sales/1"));
    expect(server.connections).toEqual([null, "token-9"]);
  });

  it("says_that_the_email_is_taken", async () => {
    server.replies["POST /users"] = [{ status: 409, body: { code: "email_taken" } }];
    renderApp("/sign-up", server);
    await signUp();
    expect(await screen.findByText(/account with this email/)).toBeInTheDocument();
  });

  it("names_what_is_missing_before_it_asks_the_server", async () => {
    renderApp("/sign-up", server);
    await userEvent.click(screen.getByRole("button", { name: "Make the account" }));
    expect(screen.getByLabelText("Email")).toHaveFocus();
    expect(screen.getByLabelText("Password")).toHaveAccessibleDescription(
      /Enter your password/,
    );
    expect(server.calls).toEqual([]);
  });
});

describe("signing in", () => {
  it("says_nothing_about_which_of_the_two_is_wrong", async () => {
    server.replies["POST /sessions"] = [
      { status: 401, body: { code: "bad_credentials" } },
    ];
    renderApp("/sign-in", server);
    await userEvent.type(screen.getByLabelText("Email"), "mei@example.com");
    await userEvent.type(screen.getByLabelText("Password"), "x");
    await userEvent.click(screen.getByRole("button", { name: "Sign in" }));
    expect(
      await screen.findByText("Email or password is not right."),
    ).toBeInTheDocument();
  });
});

describe("the way back", () => {
  it.each([
    ["/sales/1", "/sales/1"],
    ["//evil.example", "/"],
    ["/\\evil.example", "/"],
    ["https://evil.example", "/"],
    ["", "/"],
  ])("%s leads to %s, never to another site", (next, path) => {
    expect(nextPath(new URLSearchParams({ next }))).toBe(path);
  });
});
