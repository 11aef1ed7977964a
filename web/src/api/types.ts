// The shapes that cross the wire, over HTTP and Socket.IO, as the contract
// fixes them. Not for anything the pages compute: see each feature's slice.

/** An amount in decimal digits of a currency, such as `{amount:"199.00",currency:"USD"}`. */
export interface Money {
  amount: string;
  /** ISO 4217. */
  currency: string;
}

export type SaleState = "scheduled" | "open" | "sold_out" | "paused" | "ended";

export interface Question {
  text: string;
  choices: string[];
}

/** A sale; texts are in the language asked for, times are RFC 3339 UTC. */
export interface Sale {
  id: string;
  title: string;
  /** May be empty. */
  description: string;
  image: string | null;
  price: Money;
  list_price: Money | null;
  stock: number;
  state: SaleState;
  starts_at: string;
  ends_at: string;
  hold_seconds: number;
  question: Question | null;
  server_time: string;
}

export type ClaimStatus =
  | "none"
  | "queued"
  | "reserved"
  | "standby"
  | "rejected"
  | "paying"
  | "paid"
  | "expired"
  | "released"
  | "left"
  | "refunded";

/** What one person has in one sale; also the payload of the `claim` event. */
export interface Claim {
  sale: string;
  status: ClaimStatus;
  /** Counts the changes of the row from 1; 0 where there is no row. */
  rev: number;
  seq?: number;
  /** Place in standby, from 1, at the moment of the look-up. */
  position?: number;
  deadline?: string;
  checkout_token?: string;
  /** The order's id, once paid. */
  order?: string;
  server_time: string;
}

/** The answer to a buy call: `sold_out`, `queued`, or the status of the claim held. */
export interface BuyAnswer {
  status: ClaimStatus | "sold_out";
}

export interface User {
  id: string;
  email: string;
  name: string;
  role: string | null;
}

export interface SignedIn {
  access_token: string;
  /** Seconds. */
  expires_in: number;
  user: User;
}

export interface Shipping {
  name: string;
  phone: string;
  address: string;
}

export interface OrderLine {
  title: string;
  quantity: number;
  unit_price: Money;
  total: Money;
}

export interface Order {
  id: string;
  number: string;
  sale: string;
  status: "paid" | "refunded";
  lines: OrderLine[];
  totals: { net: Money; tax: Money; shipping: Money; discount: Money; total: Money };
  shipping: Shipping;
  created_at: string;
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

export interface CheckoutBody {
  payment: { method: "sandbox"; card: string };
  shipping: Shipping;
}

/** `sale` event: once at each change of a sale's state. */
export interface SaleEvent {
  sale: string;
  state: SaleState;
  /** The secret that the buy call must carry, where the sale asks for one. */
  entry?: string;
  starts_at?: string;
  ends_at?: string;
}

/** `standby` event: shared by all who watch a sale. */
export interface StandbyEvent {
  sale: string;
  /** The `seq` served last. */
  serving_seq: number;
  /** How many stand by. */
  standing: number;
  /** Every unit is paid; places are kept in case one comes back. */
  all_paid?: boolean;
}

/** `clock` event: sent by the server on each connection. */
export interface ClockEvent {
  now: string;
  sales: { id: string; starts_at: string }[];
}

/** The acknowledgement of `watch`; `claim` only for a signed-in socket. */
export interface WatchAck extends SaleEvent {
  claim?: Claim;
  standby?: Omit<StandbyEvent, "sale"> & { sale?: string };
}
