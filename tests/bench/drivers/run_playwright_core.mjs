// The exercise with playwright-core for Node, by its CDP session. Figures and steps as in exercise.py.
import { createRequire } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';

const BIG = 20_000_000;
const text = { type: 'string' };
const { values } = parseArgs({
  options: {
    modules: text, port: text, target: text, 'browser-url': text, 'page-url': text,
    serial: text, parallel: text, 'in-flight': text, big: text, burst: text,
  },
});
const number = (name, usual) => Number(values[name] ?? usual);
const serial = number('serial', 1000);
const parallel = number('parallel', 5000);
const inFlight = number('in-flight', 100);
const bigRounds = number('big', 3);
const burst = number('burst', 10_000);

const require = createRequire(path.join(values.modules, 'package.json'));
const { chromium } = require('playwright-core');

const PREPARE = `(() => {
  const bytes = new Uint8Array(65520);
  let text = '';
  while (text.length < ${BIG}) {
    crypto.getRandomValues(bytes);
    let piece = '';
    for (let i = 0; i < bytes.length; i += 1) piece += String.fromCharCode(bytes[i]);
    text += btoa(piece);
  }
  globalThis.big = text.slice(0, ${BIG});
  return globalThis.big.length;
})()`;
const BURST = `(() => { const text = 'x'.repeat(120); for (let i = 0; i < ${burst}; i += 1) told(text + i); })()`;

const now = () => performance.now() / 1000;
const cpu = () => { const used = process.cpuUsage(); return (used.user + used.system) / 1e6; };
const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

async function sessionOf(browser, target) {
  for (const page of browser.contexts()[0].pages()) {
    const session = await browser.contexts()[0].newCDPSession(page);
    const about = await session.send('Target.getTargetInfo');
    if (about.targetInfo.targetId === target) return session;
  }
  throw new Error('the page was not found');
}

const browser = await chromium.connectOverCDP(`http://127.0.0.1:${values.port}`);
const session = await sessionOf(browser, values.target);
await session.send('Runtime.enable');
const evaluate = async (expression) =>
  (await session.send('Runtime.evaluate', { expression, returnByValue: true })).result.value;

async function oneByOne(count) {
  const times = [];
  for (let i = 0; i < count; i += 1) {
    const began = now();
    await evaluate('1+1');
    times.push(now() - began);
  }
  return median(times);
}

await oneByOne(50);
const base = process.memoryUsage.rss();
const serialSeconds = await oneByOne(serial);
const perLane = Math.floor(parallel / inFlight);
const usedBefore = cpu();
const began = now();
await Promise.all(Array.from({ length: inFlight }, async () => {
  for (let i = 0; i < perLane; i += 1) await evaluate('1+1');
}));
const parallelSeconds = now() - began;
const used = cpu() - usedBefore;

await evaluate(PREPARE);
const bigTimes = [];
for (let i = 0; i < bigRounds; i += 1) {
  const start = now();
  const got = await evaluate('globalThis.big');
  bigTimes.push(now() - start);
  if (got.length !== BIG) throw new Error(`${got.length} characters came`);
}
const grown = process.memoryUsage.rss();

let heard = 0;
let whole;
const all = new Promise((resolve) => { whole = resolve; });
session.on('Runtime.bindingCalled', () => { heard += 1; if (heard === burst) whole(); });
await session.send('Runtime.addBinding', { name: 'told' });
const burstBegan = now();
await evaluate(BURST);
await all;
const burstSeconds = now() - burstBegan;

console.log(JSON.stringify({
  serial_s: serialSeconds,
  parallel_per_s: (perLane * inFlight) / parallelSeconds,
  parallel_cpu_s: used / (perLane * inFlight),
  big_s: median(bigTimes),
  burst_per_s: burst / burstSeconds,
  base_bytes: base,
  after_big_bytes: grown,
}));
process.exit(0);
