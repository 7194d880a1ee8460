"""The script in an export that checks it with what any Linux has."""

from __future__ import annotations

from typing import Final

SCRIPT_NAME: Final = "verify.sh"

SCRIPT: Final = """\
#!/bin/sh
# Checks this export with sha256sum and openssl alone: that no file was changed, and that the
# newest checkpoint is signed by the key of the last epoch. It can not show that this key was
# promised by the one before and so on back to the commissioned one, nor that the tree leads to the
# checkpoint. This does: cloister-audit verify . --vkey-file commissioning.vkey
set -eu
cd "$(dirname "$0")"

sha256sum --check --quiet --strict SHA256SUMS
listed=$(wc -l < SHA256SUMS)
there=$(find . -type f ! -name SHA256SUMS | wc -l)
[ "$listed" -eq "$there" ] || { echo "TAMPERED: $there files, but $listed are listed"; exit 1; }
echo "All $there files are as SHA256SUMS says."

# The signed text: origin, size, root. The signature: 4 bytes of key id, then 64 of Ed25519.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed -n 1,3p log/checkpoint > "$work/text"
sed -n 5p log/checkpoint | cut -d ' ' -f 3 | base64 -d | tail -c +5 > "$work/signature"
if [ $# -eq 1 ]; then
    # $1: the epoch's verifier key, <origin>+<id>+<base64 of 0x01 and the public key>
    { printf '\\060\\052\\060\\005\\006\\003\\053\\145\\160\\003\\041\\000'
      echo "$1" | cut -d + -f 3- | base64 -d | tail -c +2; } > "$work/key.der"
    openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/key.der" -rawin \\
        -in "$work/text" -sigfile "$work/signature" > /dev/null
    echo "The checkpoint of $(sed -n 2p log/checkpoint) records is signed by that key."
else
    echo "Give the epoch's verifier key to check the signature too: sh verify.sh VKEY"
fi
"""
