"""``python -m polygrad``: the version, the backends and devices that run here, and why the others do not."""

from __future__ import annotations

import sys

import polygrad as pg


def report() -> str:
    """What ``python -m polygrad`` prints."""
    lines = [
        f"polygrad {pg.__version__} (Array API {pg.__array_api_version__}), Python {sys.version.split()[0]}",
        "",
    ]
    reasons = pg.backends()
    width = max((len(name) for name in reasons), default=0)
    lines.append("backends:")
    for name, reason in reasons.items():
        lines.append(f"  {name:<{width}}  {reason or 'ready'}")
    lines += ["", "devices:"]
    lines += [f"  {device.name}" for device in pg.devices()]
    try:
        lines += ["", f"default device: {pg.default_device().name}"]
    except pg.errors.PolygradError as error:
        lines += [f"no default device: {error}"]
    return "\n".join(lines)


if __name__ == "__main__":
    print(report())
