// The buy API at a constant arrival rate. Passes if fewer than 1 % fail and the median is below a second.
// How to run it, and what the variables mean: README.md.

import { SharedArray } from 'k6/data';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Rate } from 'k6/metrics';

const url = __ENV.URL || 'http://127.0.0.1:8080';
const sale = __ENV.SALE;
const answer = __ENV.ANSWER || '';
const rate = Number(__ENV.RATE || 1000);
const duration = __ENV.DURATION || '30s';

if (!sale) {
  throw new Error('which sale? Set it: -e SALE=1');
}

// Read once, and shared by all virtual users.
const tokens = new SharedArray('tokens', () => open(__ENV.TOKENS || 'tokens.txt').split('\n').filter(Boolean));

// A full sale says so with 200, and a repetition with the claim's status; both are good answers.
const isGood = http.expectedStatuses(200, 202);
const accepted = new Counter('buy_accepted');
const soldOut = new Counter('buy_sold_out');
const failed = new Rate('buy_failed');

export const options = {
  discardResponseBodies: false,
  scenarios: {
    buy: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration,
      // One that waits for an answer is busy for as long: enough for a second, and twice that in need.
      preAllocatedVUs: rate,
      maxVUs: rate * 2,
    },
  },
  thresholds: {
    http_req_failed: ['rate<0.01'],
    http_req_duration: ['med<1000'],
    buy_failed: ['rate<0.01'],
    // An arrival that found nobody free to send it was not measured, and is not to be passed over.
    dropped_iterations: ['count<1'],
  },
};

export default function () {
  const person = exec.scenario.iterationInTest % tokens.length;
  const response = http.post(`${url}/api/v1/sales/${sale}/requests`, JSON.stringify({ answer }), {
    headers: { Authorization: `Bearer ${tokens[person]}`, 'Content-Type': 'application/json' },
    responseCallback: isGood,
    timeout: '10s',
    tags: { name: 'buy' },
  });
  const isAnswered = response.status === 200 || response.status === 202;
  failed.add(!isAnswered);
  if (response.status === 202) {
    accepted.add(1);
  } else if (isAnswered && response.json('status') === 'sold_out') {
    soldOut.add(1);
  }
}
