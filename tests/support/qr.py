"""Reading QR codes with somebody else's decoder: zbarimg (Debian's zbar-tools) or OpenCV."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest


def decode(picture: Path) -> str:
    """The text of the one code on a picture; skips the test where no decoder is here."""
    if (zbarimg := shutil.which("zbarimg")) is not None:
        done = subprocess.run(
            [zbarimg, "--quiet", "--raw", "--oneshot", picture],
            capture_output=True,
            check=True,
            timeout=60,
        )
        return done.stdout.decode().removesuffix("\n")
    if importlib.util.find_spec("cv2") is None:
        pytest.skip("the QR code was not read: neither zbarimg nor OpenCV is here")
    import cv2  # type: ignore[import-not-found,unused-ignore] # only where it is installed

    text, *_ = cv2.QRCodeDetector().detectAndDecode(cv2.imread(str(picture)))
    return str(text)
