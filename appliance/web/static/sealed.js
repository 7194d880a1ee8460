// Records of the log as docs/spec/audit-log.md has them: leaves, epochs, seals, proofs.

import { base64, hex, join, same, unbase64, unhex, utf8, uuid, words } from "./bytes.js";
import { decrypt } from "./age.js";
import { expand, hkdf, hmac, sha256 } from "./sha256.js";

const HEADER = 136; // bytes of a leaf that blobs are bound to
const MARKS = 56; // bytes in front of a metadata blob
const STEP = 512; // a ratchet's state is kept every so many steps
const TYPES = ["", "prompt", "answer", "admin", "auth", "access", "epoch-open", "epoch-close", "heartbeat",
  "hold", "shred", "prune", "fault", "clock-step", "witness"];
export const GROUPS = ["compliance", "security"];
const RATCHET = utf8("cloister-audit/v2 ratchet");
const INDEX = utf8("cloister-audit/v2 index");
const META = utf8("cloister-audit/v2 meta");
const HALF = utf8("cloister-audit/v2 half");
const CONTENT = utf8("cloister-audit/v2 content");
const TERMS = utf8("cloister-audit/v2 terms");
const SHARE = new RegExp("^cloister-audit/v2 share\norigin: (\\S+)\nepoch: (\\d+)\ngroup: (\\w+)\n"
  + "metadata: ([0-9a-f]{64})\nshare: ([0-9a-f]{64})\n$");
const BOND = 16; // bytes in front of the content of a record about a subject
const BOUND = 2; // flag of such a leaf
export const HAS_CONTENT = 1; // flag of a leaf that a content belongs to
export const PLAIN = 8; // flag of a leaf whose metadata are not sealed

export class SealError extends Error {}

export function readLeaf(raw) {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
  const nanoseconds = view.getBigUint64(24);
  return {
    raw,
    kind: TYPES[raw[4]] ?? `type ${raw[4]}`,
    flags: raw[5],
    index: Number(view.getBigUint64(8)),
    epoch: view.getUint32(16),
    seq: view.getUint32(20),
    when: new Date(Number(nanoseconds / 1000000n)),
    event: uuid(raw.slice(56, 72)),
    actor: hex(raw.slice(72, 88)),
    subject: hex(raw.slice(88, 104)),
    metaHash: raw.slice(136, 168),
    contentHash: raw.slice(168, 200),
  };
}

export const logId = (origin, key) =>
  sha256(join(utf8("cloister-audit/v2 log\0"), utf8(origin), Uint8Array.of(0), key));

// A forward ratchet; states on the way are kept, so that going back costs little.
class Ratchet {
  constructor(secret) {
    this.states = [secret];
  }

  at(place) {
    const { states } = this;
    while ((states.length - 1) * STEP + STEP <= place) states.push(this.on(states.at(-1), STEP));
    return this.on(states[Math.floor(place / STEP)], place % STEP);
  }

  on(start, steps) {
    let state = start;
    for (let step = 0; step < steps; step += 1) state = expand(state, RATCHET);
    return state;
  }
}

async function gcm(usage, key, nonce, bound, text) {
  const aes = await crypto.subtle.importKey("raw", key, "AES-GCM", false, [usage]);
  const how = { name: "AES-GCM", iv: nonce, additionalData: bound };
  return new Uint8Array(await crypto.subtle[usage](how, aes, text));
}

// Opens one blob; `parts` are what it is bound to.
export async function unseal(key, blob, bound) {
  if (!same(blob.slice(0, 32), key.slice(32))) throw new SealError("the blob was not sealed under this record's key");
  try {
    return await gcm("decrypt", key.slice(0, 32), new Uint8Array(12), bound, blob.slice(32));
  } catch {
    throw new SealError("the blob or its leaf was changed");
  }
}

// One epoch, as far as an officer's key opens it.
export class Epoch {
  constructor(number, group, metadata, share) {
    this.number = number;
    this.group = group;
    this.contents = new Ratchet(share);
    this.metadata = new Ratchet(metadata);
    this.index = expand(metadata, INDEX);
    this.terms = expand(metadata, TERMS);
  }

  // Null where the key opens neither grant.
  static async open(given, origin, identity) {
    for (const group of GROUPS) {
      const text = await decrypt(unbase64(given.grants[group]), identity);
      const found = text && SHARE.exec(words(text));
      if (text && !(found && found[1] === origin && Number(found[2]) === given.number && found[3] === group)) {
        throw new SealError(`the grant of epoch ${given.number} holds another share: verify the log`);
      }
      if (found) return new Epoch(given.number, group, unhex(found[4]), unhex(found[5]));
    }
    return null;
  }

  trapdoor(field, value) {
    return hex(hmac(this.index, utf8(`${field}\0${value}`)));
  }

  // What of a record is opened by one officer.
  async read(leaf, blob, log) {
    if (!same(sha256(blob), leaf.metaHash)) throw new SealError("its metadata were changed");
    if (leaf.flags & PLAIN) return { meta: JSON.parse(words(blob)) };
    const key = hkdf(this.metadata.at(leaf.seq), new Uint8Array(32), META, 64);
    const marks = blob.slice(0, MARKS);
    const bound = join(log, leaf.raw.slice(0, HEADER), utf8("m"), marks);
    return JSON.parse(words(await unseal(key, blob.slice(MARKS), bound)));
  }

  // What this officer's group gives for the content of one record; it opens no other.
  half(seq) {
    return expand(this.contents.at(seq), HALF);
  }

  // Seals something to whoever opens this epoch's metadata: the appliance does not learn it.
  async sealToOfficers(value, salt) {
    const nonce = crypto.getRandomValues(new Uint8Array(12));
    const sealed = await gcm("encrypt", hkdf(this.terms, utf8(salt), TERMS), nonce, new Uint8Array(), utf8(JSON.stringify(value)));
    return { epoch: this.number, sealed: base64(join(nonce, sealed)) };
  }

  async openToOfficers(sealed, salt) {
    const raw = unbase64(sealed);
    return JSON.parse(words(await gcm("decrypt", hkdf(this.terms, utf8(salt), TERMS), raw.slice(0, 12), new Uint8Array(), raw.slice(12))));
  }
}

// What the key of a record about a subject needs beside the halves; `word` is the appliance's.
function subjectKey(leaf, word) {
  if (!(leaf.flags & BOUND)) return new Uint8Array(32);
  if (word.startsWith("erased ")) throw new SealError(`its subject was erased on two officers' word: record ${word.slice(7)}`);
  if (!/^[0-9a-f]{64}$/.test(word)) throw new SealError("it is about a subject, and the appliance has no key for it");
  return unhex(word);
}

// A record's content, with the halves of both groups by name.
export async function openContent(leaf, blob, halves, log, word) {
  if (!blob) throw new SealError("it was pruned at the end of its term");
  if (!same(sha256(blob), leaf.contentHash)) throw new SealError("its content was changed");
  const key = hkdf(join(...GROUPS.map((group) => halves[group])), subjectKey(leaf, word), CONTENT, 64);
  const front = leaf.flags & BOUND ? BOND : 0;
  const bound = join(log, leaf.raw.slice(0, HEADER), utf8("c"), blob.slice(0, front));
  const packed = await unseal(key, blob.slice(front), bound);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

// Whether a C2SP tlog-proof leads from a leaf to its checkpoint; gives what the checkpoint says.
export function followProof(leaf, proof) {
  const [head, ...rest] = proof.split("\n\n");
  const note = rest.join("\n\n");
  const [title, line, ...path] = head.split("\n");
  const [origin, size, root] = note.split("\n");
  let node = sha256(join(Uint8Array.of(0), leaf.raw));
  let position = leaf.index;
  const hashes = path.map(unbase64);
  for (let last = Number(size) - 1; last; last = Math.floor(last / 2), position = Math.floor(position / 2)) {
    if (position % 2 || position !== last) {
      const sibling = hashes.shift();
      if (!sibling) return { holds: false };
      node = sha256(position % 2 ? join(Uint8Array.of(1), sibling, node) : join(Uint8Array.of(1), node, sibling));
    }
  }
  const holds = title === "c2sp.org/tlog-proof@v1" && line === `index ${leaf.index}` && !hashes.length
    && leaf.index < Number(size) && same(node, unbase64(root));
  return { holds, origin, size: Number(size), root, note };
}

// Whether an epoch's key signed a checkpoint; null where this browser has no Ed25519.
export async function isSigned(note, origin, key) {
  const [text, lines] = [note.slice(0, note.indexOf("\n\n") + 1), note.slice(note.indexOf("\n\n") + 2)];
  const line = lines.split("\n").find((one) => one.startsWith(`\u2014 ${origin} `));
  if (!line) return false;
  const raw = unbase64(line.split(" ")[2]);
  try {
    const signer = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
    return await crypto.subtle.verify({ name: "Ed25519" }, signer, raw.slice(4), utf8(text));
  } catch {
    return null;
  }
}
