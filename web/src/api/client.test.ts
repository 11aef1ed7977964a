import { describe, expect, it, vi } from "vitest";
import { fakeServer } from "../test/fake-server";
import { createApi } from "./client";

function client(token: string | null = "token-1") {
  const server = fakeServer();
  const onUnauthenticated = vi.fn();
  const onServerTime = vi.fn();
  const api = createApi({
    fetch: server.fetch,
    token: () => token,
    language: () => "zh-TW",
    onUnauthenticated,
    onServerTime,
  });
  return { server, api, onUnauthenticated, onServerTime };
}

describe("the HTTP client", () => {
  it("says_who_asks_and_in_which_language", async () => {
    const { server, api } = client();
    await api.listOrders("a b");
    expect(server.calls[0]?.route).toBe("GET /orders?after=a%20b");
    expect(server.calls[0]?.headers).toMatchObject({
      Authorization: "Bearer token-1",
      "Accept-Language": "zh-TW",
    });
  });

  it("answers_with_the_problems_code_and_how_long_to_wait", async () => {
    const { server, api } = client();
    server.replies["GET /sales/1"] = [
      { status: 503, body: { code: "overloaded" }, retry_after_s: 2 },
    ];
    expect(await api.getSale("1")).toEqual({
      ok: false,
      problem: { status: 503, code: "overloaded", retry_after_ms: 2_000 },
    });
  });

  it("calls_a_server_out_of_reach_offline", async () => {
    const { server, api } = client();
    server.replies["GET /sales/1"] = [null];
    const answer = await api.getSale("1");
    expect(answer).toMatchObject({ ok: false, problem: { code: "offline" } });
  });

  it("tells_of_a_refused_session_but_not_of_a_refused_checkout_token", async () => {
    const { server, api, onUnauthenticated } = client();
    const refused = { status: 401, body: { code: "unauthenticated" } };
    server.replies["POST /checkout"] = [refused];
    await api.checkOut("checkout-1", {
      payment: { method: "sandbox", card: "4242424242424242" },
      shipping: { name: "", phone: "", address: "" },
    });
    expect(onUnauthenticated).not.toHaveBeenCalled();
    server.replies["GET /orders"] = [refused];
    await api.listOrders(null);
    expect(onUnauthenticated).toHaveBeenCalledExactlyOnceWith("token-1");
  });

  it("passes_the_servers_time_on_unless_a_cache_kept_the_answer", async () => {
    const body = JSON.stringify({ server_time: "2026-11-22T06:00:00.000Z" });
    const onServerTime = vi.fn();
    const headers: Record<string, string> = {};
    const api = createApi({
      fetch: async () => new Response(body, { headers }),
      token: () => null,
      language: () => "en",
      onUnauthenticated: vi.fn(),
      onServerTime,
    });
    headers.Age = "12";
    await api.getSale("1");
    expect(onServerTime).not.toHaveBeenCalled();
    delete headers.Age;
    await api.getSale("1");
    expect(onServerTime).toHaveBeenCalledTimes(1);
  });
});
