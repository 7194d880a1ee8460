// Opening the metadata of records with the key of the sitting.

import { unbase64 } from "./bytes.js";
import { readLeaf } from "./sealed.js";
import { current } from "./sitting.js";

export async function read({ leaf: raw, meta }) {
  const leaf = readLeaf(unbase64(raw));
  try {
    const epoch = current().opened.get(leaf.epoch);
    if (!epoch) return { leaf, reason: `your key does not open epoch ${leaf.epoch}` };
    return { leaf, opened: meta === null ? {} : await epoch.read(leaf, unbase64(meta), current().log) };
  } catch (error) {
    return { leaf, reason: error.message };
  }
}
