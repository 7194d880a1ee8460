// age files (age-encryption.org/v1) to X25519 keys. The key itself is handed to the browser, which does
// not give it out again.

import { base64, join, same, unbase64, utf8, words } from "./bytes.js";
import { seal, unseal } from "./chacha.js";
import { scrypt } from "./scrypt.js";
import { hkdf, hmac } from "./sha256.js";

const VERSION = "age-encryption.org/v1\n";
const MOST_WORK = 20; // logarithm of scrypt's N that is taken on: 1 GiB
const CHUNK = 64 * 1024; // bytes of plain text
const LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const PKCS8 = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20);
const X25519 = { name: "X25519" };
const BASE = new Uint8Array(32);
BASE[0] = 9;

export class KeyFileError extends Error {}
export class AgeError extends Error {}

function checksum(prefix, values) {
  const letters = [...prefix].map((letter) => letter.charCodeAt(0));
  let sum = 1;
  for (const value of [...letters.map((code) => code >> 5), 0, ...letters.map((code) => code & 31), ...values]) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3].forEach((poly, bit) => {
      if ((top >> bit) & 1) sum ^= poly;
    });
  }
  return sum >>> 0;
}

function regroup(values, from, to, pad) {
  const out = [];
  let held = 0;
  let bits = 0;
  for (const value of values) {
    held = ((held << from) | value) & 0xfff;
    for (bits += from; bits >= to; bits -= to) out.push((held >> (bits - to)) & ((1 << to) - 1));
  }
  if (pad && bits) out.push((held << (to - bits)) & ((1 << to) - 1));
  return out;
}

// BIP 173, without its limit of length.
function fromBech32(prefix, line) {
  const text = line.toLowerCase();
  const values = [...text.slice(prefix.length + 1)].map((letter) => LETTERS.indexOf(letter));
  const sound = text.startsWith(`${prefix}1`) && !values.includes(-1) && checksum(prefix, values) === 1;
  const raw = Uint8Array.from(sound ? regroup(values.slice(0, -6), 5, 8, false) : []);
  if (raw.length !== 32) throw new KeyFileError("The key in this file is damaged. Pick another copy of it.");
  return raw;
}

function toBech32(prefix, raw) {
  const values = regroup(raw, 8, 5, true);
  const sum = checksum(prefix, [...values, 0, 0, 0, 0, 0, 0]) ^ 1;
  const tail = [5, 4, 3, 2, 1, 0].map((place) => (sum >>> (5 * place)) & 31);
  return `${prefix}1${[...values, ...tail].map((value) => LETTERS[value]).join("")}`;
}

const publicKey = (raw) => crypto.subtle.importKey("raw", raw, X25519, false, []);

async function exchange(key, share) {
  const other = { name: "X25519", public: await publicKey(share) };
  return new Uint8Array(await crypto.subtle.deriveBits(other, key, 256));
}

// Opens what was locked with a passphrase.
class Passphrase {
  constructor(text) {
    this.text = utf8(text);
  }

  async unwrap(type, [salt, work], body) {
    if (type !== "scrypt") return null;
    if (!/^[1-9][0-9]?$/.test(work) || Number(work) > MOST_WORK) throw new AgeError("this key file asks for too much work");
    const key = await scrypt(this.text, join(utf8("age-encryption.org/v1/scrypt"), unbase64(salt)), Number(work));
    return unseal(key, new Uint8Array(12), body);
  }
}

export const isLocked = (file) => file.includes("age-encryption.org/v1\n-> scrypt ");

// An officer's key: it opens age files, and can not be read back.
export class Identity {
  constructor(key, raw) {
    this.key = key;
    this.raw = raw; // of the public half
    this.recipient = toBech32("age", raw);
  }

  // Reads a key file, unlocking it first where it is locked.
  static async read(raw, passphrase) {
    let text = Array.from(raw, (byte) => String.fromCharCode(byte)).join("");
    if (isLocked(text)) {
      const opened = await decrypt(raw, new Passphrase(passphrase));
      if (!opened) throw new KeyFileError("The passphrase is wrong, or the key file is damaged.");
      text = words(opened);
    }
    const lines = text.split(/\s+/).filter((part) => part.startsWith("AGE-SECRET-KEY-"));
    const line = lines.find((part) => part.startsWith("AGE-SECRET-KEY-1"));
    if (!line) {
      throw new KeyFileError(lines.length
        ? "This is a post-quantum key, which browsers can not use yet. Use cloister-audit on your own machine."
        : "This file holds no officer's key: no line in it begins with AGE-SECRET-KEY-1.");
    }
    const secret = fromBech32("age-secret-key-", line);
    try {
      const key = await crypto.subtle.importKey("pkcs8", join(PKCS8, secret), X25519, false, ["deriveBits"]);
      return new Identity(key, await exchange(key, BASE));
    } catch (error) {
      if (error.name !== "NotSupportedError" && crypto.subtle) throw error;
      throw new KeyFileError("This browser can not use officers' keys (X25519). Bring it up to date, or use cloister-audit on your own machine.");
    } finally {
      secret.fill(0);
    }
  }

  async unwrap(type, [text], body) {
    if (type !== "X25519") return null;
    const share = unbase64(text);
    let shared;
    try {
      shared = await exchange(this.key, share);
    } catch {
      throw new AgeError("a recipient's key is of low order");
    }
    const key = hkdf(shared, join(share, this.raw), utf8("age-encryption.org/v1/X25519"));
    return unseal(key, new Uint8Array(12), body);
  }
}

function stanzas(head) {
  const found = [];
  for (const part of head.split("\n-> ").slice(1)) {
    const [first, ...lines] = part.split("\n");
    const [type, ...values] = first.split(" ");
    found.push([type, values, unbase64(lines.join(""))]);
  }
  return found;
}

function nonceOf(count, last) {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setUint32(7, count);
  nonce[11] = last ? 1 : 0;
  return nonce;
}

// The text of an age file, or null where this key is none of its recipients.
export async function decrypt(file, identity) {
  const text = Array.from(file.slice(0, 64 * 1024), (byte) => String.fromCharCode(byte)).join("");
  const end = text.indexOf("\n--- ");
  if (!text.startsWith(VERSION) || end < 0) throw new AgeError("this is not an age file");
  const after = text.indexOf("\n", end + 1);
  for (const [type, values, body] of stanzas(text.slice(0, end))) {
    const fileKey = await identity.unwrap(type, values, body);
    if (fileKey) {
      const mac = hmac(hkdf(fileKey, new Uint8Array(), utf8("header")), file.slice(0, end + 4));
      if (!same(mac, unbase64(text.slice(end + 5, after)))) throw new AgeError("the header of this age file was changed");
      return payload(fileKey, file.slice(after + 1));
    }
  }
  return null;
}

function payload(fileKey, body) {
  const key = hkdf(fileKey, body.slice(0, 16), utf8("payload"));
  const sealed = body.slice(16);
  const pieces = [];
  for (let start = 0, count = 0; count === 0 || start < sealed.length; count += 1, start += CHUNK + 16) {
    const last = start + CHUNK + 16 >= sealed.length;
    const piece = unseal(key, nonceOf(count, last), sealed.slice(start, start + CHUNK + 16));
    if (!piece) throw new AgeError("this age file was changed or cut");
    pieces.push(piece);
  }
  return join(...pieces);
}

const unpadded = (bytes) => base64(bytes).replace(/=+$/, "");

// An age file of one chunk to one recipient.
export async function encrypt(text, recipient) {
  const raw = fromBech32("age", recipient);
  const pair = await crypto.subtle.generateKey(X25519, true, ["deriveBits"]);
  const share = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const fileKey = crypto.getRandomValues(new Uint8Array(16));
  const wrap = hkdf(await exchange(pair.privateKey, raw), join(share, raw), utf8("age-encryption.org/v1/X25519"));
  const body = unpadded(seal(wrap, new Uint8Array(12), fileKey));
  const head = `${VERSION}-> X25519 ${unpadded(share)}\n${body}\n---`;
  const mac = unpadded(hmac(hkdf(fileKey, new Uint8Array(), utf8("header")), utf8(head)));
  const nonce = crypto.getRandomValues(new Uint8Array(16));
  const sealed = seal(hkdf(fileKey, nonce, utf8("payload")), nonceOf(0, true), text);
  return join(utf8(`${head} ${mac}\n`), nonce, sealed);
}
