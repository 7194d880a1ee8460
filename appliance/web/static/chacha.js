// ChaCha20-Poly1305 (RFC 8439), which age files are sealed with and browsers do not offer. Grants have
// some hundred bytes: plain arithmetic is fast enough.

import { join, same } from "./bytes.js";

const TAG = 16; // bytes
const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];
const PRIME = (1n << 130n) - 5n;

const turn = (word, bits) => (word << bits) | (word >>> (32 - bits));

function quarter(s, a, b, c, d) {
  s[a] += s[b]; s[d] = turn(s[d] ^ s[a], 16);
  s[c] += s[d]; s[b] = turn(s[b] ^ s[c], 12);
  s[a] += s[b]; s[d] = turn(s[d] ^ s[a], 8);
  s[c] += s[d]; s[b] = turn(s[b] ^ s[c], 7);
}

function block(key, nonce, counter) {
  const k = new DataView(key.buffer, key.byteOffset);
  const n = new DataView(nonce.buffer, nonce.byteOffset);
  const start = Int32Array.of(...CONSTANTS, ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => k.getInt32(4 * i, true)),
    counter, ...[0, 1, 2].map((i) => n.getInt32(4 * i, true)));
  const state = Int32Array.from(start);
  for (let round = 0; round < 10; round += 1) {
    for (let i = 0; i < 4; i += 1) quarter(state, i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i += 1) quarter(state, i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4));
  }
  const out = new DataView(new ArrayBuffer(64));
  state.forEach((word, i) => out.setInt32(4 * i, word + start[i], true));
  return new Uint8Array(out.buffer);
}

function stream(key, nonce, text) {
  const out = Uint8Array.from(text);
  for (let start = 0; start < out.length; start += 64) {
    const pad = block(key, nonce, start / 64 + 1);
    for (let i = start; i < Math.min(start + 64, out.length); i += 1) out[i] ^= pad[i - start];
  }
  return out;
}

const number = (bytes) => bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);

function poly1305(key, message) {
  const r = number(key.slice(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let start = 0; start < message.length; start += 16) {
    const piece = message.slice(start, start + 16);
    sum = ((sum + number(piece) + (1n << BigInt(8 * piece.length))) * r) % PRIME;
  }
  let tag = sum + number(key.slice(16, 32));
  return Uint8Array.from({ length: TAG }, () => {
    const byte = Number(tag & 255n);
    tag >>= 8n;
    return byte;
  });
}

// age binds no associated data.
function tagOf(key, nonce, sealed) {
  const lengths = new DataView(new ArrayBuffer(16));
  lengths.setUint32(8, sealed.length, true);
  const padding = new Uint8Array((16 - (sealed.length % 16)) % 16);
  return poly1305(block(key, nonce, 0), join(sealed, padding, new Uint8Array(lengths.buffer)));
}

export function seal(key, nonce, text) {
  const sealed = stream(key, nonce, text);
  return join(sealed, tagOf(key, nonce, sealed));
}

// The text, or null where key and sealed text do not belong together.
export function unseal(key, nonce, whole) {
  const sealed = whole.slice(0, -TAG);
  if (whole.length < TAG || !same(tagOf(key, nonce, sealed), whole.slice(-TAG))) return null;
  return stream(key, nonce, sealed);
}
