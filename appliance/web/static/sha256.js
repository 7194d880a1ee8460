// SHA-256 (FIPS 180-4), HMAC (RFC 2104) and HKDF (RFC 5869). The browser has them too, but only one
// promise at a time: a ratchet of 100,000 steps would take a minute.

import { join } from "./bytes.js";

const SIZE = 32; // bytes of a hash
const BLOCK = 64; // bytes

const isPrime = (number) => {
  for (let factor = 2; factor * factor <= number; factor += 1) if (number % factor === 0) return false;
  return true;
};
const PRIMES = Array.from({ length: 312 }, (_, number) => number).filter((number) => number > 1 && isPrime(number));
const fraction = (number) => Math.floor((number - Math.floor(number)) * 2 ** 32);
const START = Int32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
const ROUNDS = Int32Array.from(PRIMES.slice(0, 64), (prime) => fraction(Math.cbrt(prime)));
const schedule = new Int32Array(64);

const turn = (word, bits) => (word >>> bits) | (word << (32 - bits));

function mix(state, view, start) {
  const w = schedule;
  for (let t = 0; t < 16; t += 1) w[t] = view.getInt32(start + 4 * t);
  for (let t = 16; t < 64; t += 1) {
    const low = w[t - 15];
    const high = w[t - 2];
    w[t] = w[t - 16] + w[t - 7] + (turn(low, 7) ^ turn(low, 18) ^ (low >>> 3))
      + (turn(high, 17) ^ turn(high, 19) ^ (high >>> 10));
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let t = 0; t < 64; t += 1) {
    const first = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROUNDS[t] + w[t]) | 0;
    const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + first) | 0;
    d = c; c = b; b = a; a = (first + second) | 0;
  }
  state[0] += a; state[1] += b; state[2] += c; state[3] += d;
  state[4] += e; state[5] += f; state[6] += g; state[7] += h;
}

export function sha256(message) {
  const whole = new Uint8Array((Math.floor((message.length + 8) / BLOCK) + 1) * BLOCK);
  whole.set(message);
  whole[message.length] = 0x80;
  const view = new DataView(whole.buffer);
  view.setUint32(whole.length - 8, Math.floor(message.length / 2 ** 29));
  view.setUint32(whole.length - 4, message.length << 3);
  const state = Int32Array.from(START);
  for (let start = 0; start < whole.length; start += BLOCK) mix(state, view, start);
  const digest = new Uint8Array(SIZE);
  const out = new DataView(digest.buffer);
  state.forEach((word, place) => out.setInt32(4 * place, word));
  return digest;
}

export function hmac(key, message) {
  const short = key.length > BLOCK ? sha256(key) : key;
  const inner = new Uint8Array(BLOCK + message.length).fill(0x36, 0, BLOCK);
  const outer = new Uint8Array(BLOCK + SIZE).fill(0x5c, 0, BLOCK);
  short.forEach((byte, place) => { inner[place] ^= byte; outer[place] ^= byte; });
  inner.set(message, BLOCK);
  outer.set(sha256(inner), BLOCK);
  return sha256(outer);
}

// HKDF-Expand; `secret` must be uniformly random or come from HKDF-Extract.
export function expand(secret, info, length = SIZE) {
  const pieces = [];
  let last = new Uint8Array();
  for (let count = 1; (count - 1) * SIZE < length; count += 1) {
    last = hmac(secret, join(last, info, Uint8Array.of(count)));
    pieces.push(last);
  }
  return join(...pieces).slice(0, length);
}

export const hkdf = (secret, salt, info, length = SIZE) => expand(hmac(salt, secret), info, length);
