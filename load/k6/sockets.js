// Socket.IO connections that watch a sale and stay. Passes if fewer than 1 % fail to connect or are lost.
// How to run it, and what the variables mean: README.md.

import { SharedArray } from 'k6/data';
import exec from 'k6/execution';
import { Counter, Rate, Trend } from 'k6/metrics';
import { WebSocket } from 'k6/websockets';

const url = (__ENV.URL || 'http://127.0.0.1:8080').replace(/^http/, 'ws');
const sale = __ENV.SALE;
const sockets = Number(__ENV.SOCKETS || 500);
const perUser = Number(__ENV.SOCKETS_PER_VU || 50);
const connectOver = Number(__ENV.CONNECT_OVER_S || 10);
const hold = Number(__ENV.HOLD_S || 30);

if (!sale) {
  throw new Error('which sale? Set it: -e SALE=1');
}

// Without a file of tokens the sockets are anonymous.
const tokens = new SharedArray('tokens', () => (__ENV.TOKENS ? open(__ENV.TOKENS).split('\n').filter(Boolean) : []));

const connectTime = new Trend('socket_connect_ms', true);
const openingsHeard = new Counter('socket_openings_heard');
const eventsHeard = new Counter('socket_events_heard');
const failed = new Rate('socket_failed');
const lost = new Rate('socket_lost');

const users = Math.ceil(sockets / perUser);

export const options = {
  scenarios: {
    sockets: {
      executor: 'per-vu-iterations',
      vus: users,
      iterations: 1,
      maxDuration: `${connectOver + hold + 30}s`,
    },
  },
  thresholds: {
    socket_failed: ['rate<0.01'],
    socket_lost: ['rate<0.01'],
    socket_connect_ms: ['med<1000'],
  },
};

export default function () {
  const user = exec.vu.idInTest - 1;
  for (let index = user; index < sockets; index += users) {
    setTimeout(() => watch(index), (index / sockets) * connectOver * 1000);
  }
}

// One socket: Engine.IO's packets by their first character, Socket.IO's by the one behind a 4.
function watch(index) {
  const began = Date.now();
  const socket = new WebSocket(`${url}/socket.io/?EIO=4&transport=websocket`);
  let isWatching = false;
  let isDone = false;

  socket.onmessage = ({ data }) => {
    if (data === '2') {
      socket.send('3');
    } else if (data.startsWith('0')) {
      socket.send(tokens.length ? `40${JSON.stringify({ token: tokens[index % tokens.length] })}` : '40');
    } else if (data.startsWith('40')) {
      socket.send(`420${JSON.stringify(['watch', { sale }])}`);
    } else if (data.startsWith('430')) {
      if (JSON.parse(data.slice(3))[0].code) {
        socket.close();
        return;
      }
      isWatching = true;
      failed.add(false);
      connectTime.add(Date.now() - began);
      setTimeout(() => {
        isDone = true;
        lost.add(false);
        socket.close();
      }, (connectOver + hold) * 1000 - (index / sockets) * connectOver * 1000);
    } else if (data.startsWith('44')) {
      socket.close();
    } else if (data.startsWith('42')) {
      const [name, payload] = JSON.parse(data.slice(2));
      eventsHeard.add(1, { event: name });
      if (name === 'sale' && payload.sale === sale && payload.state === 'open') {
        openingsHeard.add(1);
      }
    }
  };
  // A close is heard once, whatever led to it.
  socket.onclose = () => {
    if (!isWatching) {
      failed.add(true);
    } else if (!isDone) {
      lost.add(true);
    }
  };
  // What went wrong is told by the close that follows.
  socket.onerror = () => {};
}
