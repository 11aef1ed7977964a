// Who is signed in on this device. The token is kept in localStorage (see
// `app/persist`) and sent as Bearer and in the socket's `auth`.
import { createSlice, type PayloadAction } from "@reduxjs/toolkit";
import type { SignedIn, User } from "../../api/types";
import type { AppThunk } from "../../app/store";

export interface Session {
  token: string;
  expires_at_ms: number;
  user: User;
}

export interface SessionState {
  session: Session | null;
  /** The last session was ended by the server or by time, not by its person. */
  ended: boolean;
}

const initialState: SessionState = { session: null, ended: false };

const slice = createSlice({
  name: "session",
  initialState,
  reducers: {
    signedIn: {
      prepare: ({ access_token, expires_in, user }: SignedIn) => ({
        payload: {
          token: access_token,
          expires_at_ms: Date.now() + expires_in * 1000,
          user,
        },
      }),
      reducer(state, action: PayloadAction<Session>) {
        state.session = action.payload;
        state.ended = false;
      },
    },
    signedOut(state) {
      state.session = null;
      state.ended = false;
    },
    /** Carries the token that was refused: a later session is not ended by it. */
    sessionEnded(state, action: PayloadAction<string>) {
      if (state.session?.token !== action.payload) return;
      state.session = null;
      state.ended = true;
    },
  },
  selectors: {
    selectUser: (state) => state.session?.user ?? null,
    selectToken: (state) => state.session?.token ?? null,
    selectSessionEnded: (state) => state.ended,
  },
});

export const { signedIn, signedOut, sessionEnded } = slice.actions;
export const { selectUser, selectToken, selectSessionEnded } = slice.selectors;
export const sessionReducer = slice.reducer;

/** Resolves to null when signed in, else to the problem's code. */
export function signIn(body: {
  email: string;
  password: string;
}): AppThunk<Promise<string | null>> {
  return async (dispatch, _getState, { api }) => {
    const answer = await api.signIn(body);
    if (!answer.ok) return answer.problem.code;
    dispatch(signedIn(answer.body));
    return null;
  };
}

/** Makes the account and signs in; resolves like `signIn`. */
export function signUp(body: {
  email: string;
  name: string;
  password: string;
}): AppThunk<Promise<string | null>> {
  return async (dispatch, _getState, { api }) => {
    const answer = await api.signUp(body);
    if (!answer.ok) return answer.problem.code;
    dispatch(signedIn(answer.body));
    return null;
  };
}
