// scrypt (RFC 7914) with r = 8 and p = 1: what age locks key files with. Browsers do not offer it.

import { join } from "./bytes.js";
import { hmac } from "./sha256.js";

const WORDS = 256; // of a block of 128 times r bytes
const PAUSE = 8192; // steps after which the page may breathe

// One iteration of PBKDF2 with HMAC-SHA-256, which is all that scrypt takes.
function stretch(password, salt, length) {
  const count = Math.ceil(length / 32);
  const pieces = Array.from({ length: count }, (_, place) => hmac(password, join(salt, Uint8Array.of(0, 0, 0, place + 1))));
  return join(...pieces).slice(0, length);
}

// Adds 16 words to the state and runs Salsa20/8 over it; written out, or it would take half a minute.
function salsa(state, block, at) {
  let x0 = (state[0] ^= block[at + 0]), x1 = (state[1] ^= block[at + 1]), x2 = (state[2] ^= block[at + 2]), x3 = (state[3] ^= block[at + 3]);
  let x4 = (state[4] ^= block[at + 4]), x5 = (state[5] ^= block[at + 5]), x6 = (state[6] ^= block[at + 6]), x7 = (state[7] ^= block[at + 7]);
  let x8 = (state[8] ^= block[at + 8]), x9 = (state[9] ^= block[at + 9]), x10 = (state[10] ^= block[at + 10]), x11 = (state[11] ^= block[at + 11]);
  let x12 = (state[12] ^= block[at + 12]), x13 = (state[13] ^= block[at + 13]), x14 = (state[14] ^= block[at + 14]), x15 = (state[15] ^= block[at + 15]);
  let t;
  for (let round = 0; round < 8; round += 2) {
    t = x0 + x12; x4 ^= (t << 7) | (t >>> 25); t = x4 + x0; x8 ^= (t << 9) | (t >>> 23);
    t = x8 + x4; x12 ^= (t << 13) | (t >>> 19); t = x12 + x8; x0 ^= (t << 18) | (t >>> 14);
    t = x5 + x1; x9 ^= (t << 7) | (t >>> 25); t = x9 + x5; x13 ^= (t << 9) | (t >>> 23);
    t = x13 + x9; x1 ^= (t << 13) | (t >>> 19); t = x1 + x13; x5 ^= (t << 18) | (t >>> 14);
    t = x10 + x6; x14 ^= (t << 7) | (t >>> 25); t = x14 + x10; x2 ^= (t << 9) | (t >>> 23);
    t = x2 + x14; x6 ^= (t << 13) | (t >>> 19); t = x6 + x2; x10 ^= (t << 18) | (t >>> 14);
    t = x15 + x11; x3 ^= (t << 7) | (t >>> 25); t = x3 + x15; x7 ^= (t << 9) | (t >>> 23);
    t = x7 + x3; x11 ^= (t << 13) | (t >>> 19); t = x11 + x7; x15 ^= (t << 18) | (t >>> 14);
    t = x0 + x3; x1 ^= (t << 7) | (t >>> 25); t = x1 + x0; x2 ^= (t << 9) | (t >>> 23);
    t = x2 + x1; x3 ^= (t << 13) | (t >>> 19); t = x3 + x2; x0 ^= (t << 18) | (t >>> 14);
    t = x5 + x4; x6 ^= (t << 7) | (t >>> 25); t = x6 + x5; x7 ^= (t << 9) | (t >>> 23);
    t = x7 + x6; x4 ^= (t << 13) | (t >>> 19); t = x4 + x7; x5 ^= (t << 18) | (t >>> 14);
    t = x10 + x9; x11 ^= (t << 7) | (t >>> 25); t = x11 + x10; x8 ^= (t << 9) | (t >>> 23);
    t = x8 + x11; x9 ^= (t << 13) | (t >>> 19); t = x9 + x8; x10 ^= (t << 18) | (t >>> 14);
    t = x15 + x14; x12 ^= (t << 7) | (t >>> 25); t = x12 + x15; x13 ^= (t << 9) | (t >>> 23);
    t = x13 + x12; x14 ^= (t << 13) | (t >>> 19); t = x14 + x13; x15 ^= (t << 18) | (t >>> 14);
  }
  state[0] += x0; state[1] += x1; state[2] += x2; state[3] += x3;
  state[4] += x4; state[5] += x5; state[6] += x6; state[7] += x7;
  state[8] += x8; state[9] += x9; state[10] += x10; state[11] += x11;
  state[12] += x12; state[13] += x13; state[14] += x14; state[15] += x15;
}

function mix(block, other) {
  const state = block.slice(WORDS - 16);
  for (let i = 0; i < 16; i += 1) {
    salsa(state, block, 16 * i);
    other.set(state, 16 * (i >> 1) + (i & 1) * 128);
  }
  block.set(other);
}

const breath = () => new Promise((resume) => { setTimeout(resume); });

// `work` is the logarithm of N; memory is 1 KiB times N.
export async function scrypt(password, salt, work) {
  const count = 2 ** work;
  const start = stretch(password, salt, 4 * WORDS);
  const view = new DataView(start.buffer);
  const block = Int32Array.from({ length: WORDS }, (_, i) => view.getInt32(4 * i, true));
  const other = new Int32Array(WORDS);
  const kept = new Int32Array(count * WORDS);
  for (let step = 0; step < count; step += 1) {
    kept.set(block, step * WORDS);
    mix(block, other);
    if (step % PAUSE === 0) await breath();
  }
  for (let step = 0; step < count; step += 1) {
    const from = (block[WORDS - 16] & (count - 1)) * WORDS;
    for (let i = 0; i < WORDS; i += 1) block[i] ^= kept[from + i];
    mix(block, other);
    if (step % PAUSE === 0) await breath();
  }
  kept.fill(0);
  block.forEach((word, i) => view.setInt32(4 * i, word, true));
  return stretch(password, start, 32);
}
