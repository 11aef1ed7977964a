import type { Socket } from "socket.io-client";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { saleChanged } from "../sales/sales-slice";
import { createLive } from "./socket";

const LATER_AT_MOST_MS = 5_000;

/** A socket that is connected at once and answers each question with the next of these. */
function answering(answers: unknown[]) {
  const asked: unknown[] = [];
  const listeners = new Map<string, () => void>();
  const socket = {
    connected: false,
    on: (event: string, listener: () => void) => listeners.set(event, listener),
    connect() {
      socket.connected = true;
      listeners.get("connect")?.();
    },
    timeout: () => socket,
    async emitWithAck(event: string, payload: unknown) {
      asked.push([event, payload]);
      const answer = answers.shift();
      if (answer === null) throw new Error("no answer in time");
      return answer;
    },
  };
  return { asked, open: () => socket as unknown as Socket };
}

describe("watching a sale", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const watching = { sale: "7", state: "open", starts_at: "", ends_at: "" };
  const question = ["watch", { sale: "7" }];

  async function watch(answers: unknown[]) {
    const { asked, open } = answering(answers);
    const dispatched: unknown[] = [];
    const live = createLive(open, (action) => dispatched.push(action));
    live.watch("7");
    live.connectAs(null);
    await vi.advanceTimersByTimeAsync(0);
    return { live, asked, dispatched };
  }

  it("is_asked_for_again_after_no_answer_and_after_a_refusal_for_now", async () => {
    const { asked, dispatched } = await watch([null, { code: "overloaded" }, watching]);
    expect(asked).toEqual([question]);
    await vi.advanceTimersByTimeAsync(LATER_AT_MOST_MS);
    await vi.advanceTimersByTimeAsync(LATER_AT_MOST_MS);
    expect(asked).toEqual([question, question, question]);
    expect(dispatched).toContainEqual(
      expect.objectContaining({ type: saleChanged.type, payload: watching }),
    );
    await vi.advanceTimersByTimeAsync(LATER_AT_MOST_MS);
    expect(asked).toHaveLength(3);
  });

  it("is_asked_for_again_once_however_often_it_did_not_work", async () => {
    const { live, asked } = await watch([{ code: "overloaded" }, null, watching]);
    live.watch("7");
    await vi.advanceTimersByTimeAsync(2 * LATER_AT_MOST_MS);
    expect(asked).toEqual([question, question, question]);
  });

  it("is_not_asked_for_again_where_there_is_no_such_sale", async () => {
    const { asked } = await watch([{ code: "no_such_sale" }]);
    await vi.advanceTimersByTimeAsync(LATER_AT_MOST_MS);
    expect(asked).toEqual([question]);
  });
});
