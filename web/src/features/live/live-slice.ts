// What the pages know of the live connection: whether it stands, and the
// server's clock. The socket itself is owned by `socket.ts`.
import { createSlice, type PayloadAction } from "@reduxjs/toolkit";
import { type ClockSample, keepBetter } from "./clock";

export interface LiveState {
  /** `lost` after a connection that stood was cut, until it stands again. */
  connection: "connecting" | "live" | "lost";
  clock: ClockSample | null;
}

const initialState: LiveState = { connection: "connecting", clock: null };

const slice = createSlice({
  name: "live",
  initialState,
  reducers: {
    connected(state) {
      state.connection = "live";
    },
    disconnected(state) {
      state.connection = "lost";
    },
    clockSampled(state, action: PayloadAction<ClockSample>) {
      state.clock = keepBetter(state.clock, action.payload);
    },
  },
  selectors: {
    selectConnection: (state) => state.connection,
    /** Milliseconds to add to this device's clock; 0 before the first sample. */
    selectOffsetMs: (state) => state.clock?.offset_ms ?? 0,
  },
});

export const { connected, disconnected, clockSampled } = slice.actions;
export const { selectConnection, selectOffsetMs } = slice.selectors;
export const liveReducer = slice.reducer;
