// Bytes, and the ways in which they are written.

export const utf8 = (text) => new TextEncoder().encode(text);
export const words = (bytes) => new TextDecoder("utf-8", { fatal: true }).decode(bytes);

export function join(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    whole.set(part, place);
    place += part.length;
  }
  return whole;
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export function unhex(text) {
  if (!/^([0-9a-f]{2})*$/.test(text)) throw new RangeError("not hexadecimal");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
export const unbase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

export function same(left, right) {
  if (left.length !== right.length) return false;
  let differs = 0;
  for (let place = 0; place < left.length; place += 1) differs |= left[place] ^ right[place];
  return differs === 0;
}

// A 128-bit id as it is written: 8-4-4-4-12 (RFC 9562).
export function uuid(bytes) {
  const digits = hex(bytes);
  return [0, 8, 12, 16, 20].map((start, place, all) => digits.slice(start, all[place + 1])).join("-");
}
