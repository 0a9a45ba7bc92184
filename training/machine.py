"""The machine's load while it trains: processor, memory, GPU and heat, where the kernel reports them.

Read straight from /proc and /sys (proc(5), and the kernel's Documentation/ABI/testing/sysfs-class-thermal), so that
it works on a Pi and a Jetson without a library. What cannot be read is left out. ``nvidia-smi`` is optional.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

JETSON_LOADS = ("sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load")
"""Files with a Jetson's GPU load, in tenths of a per cent."""
NVIDIA_QUERY = ("--query-gpu=utilization.gpu,memory.used,temperature.gpu", "--format=csv,noheader,nounits")


class Machine:
    """Readings of this machine; ``root`` stands for ``/``. Processor load is since the reading before."""

    def __init__(self, root: Path = Path("/"), nvidia_smi: str | None = None) -> None:
        self._root = root
        self._nvidia_smi = nvidia_smi or shutil.which("nvidia-smi")
        self._jiffies = self._processor_times()

    def read(self) -> dict[str, float]:
        """Return all readings available now: ``machine/cpu_percent``, ``memory_mb``, ``process_mb``, ``temperature_c``,
        ``gpu_percent``, ``gpu_memory_mb``, ``gpu_temperature_c``."""
        found = {**self._processor(), **self._memory(), **self._heat(), **self._gpu()}
        return {f"machine/{name}": value for name, value in found.items()}

    def _text(self, path: str) -> str:
        try:
            return (self._root / path).read_text(encoding="ascii", errors="replace")
        except OSError:
            return ""

    def _processor_times(self) -> tuple[float, float]:
        """Return busy and all jiffies since boot: user nice system idle iowait irq softirq steal, of all cores."""
        fields = [float(v) for v in self._text("proc/stat").partition("\n")[0].split()[1:9]]
        idle = sum(fields[3:5])
        return sum(fields) - idle, sum(fields)

    def _processor(self) -> dict[str, float]:
        before, self._jiffies = self._jiffies, self._processor_times()
        busy, all_ = (now - then for now, then in zip(self._jiffies, before, strict=True))
        return {"cpu_percent": 100 * busy / all_} if all_ > 0 else {}

    def _memory(self) -> dict[str, float]:
        out = {}
        system = _kilobytes(self._text("proc/meminfo"))
        if {"MemTotal", "MemAvailable"} <= system.keys():
            out["memory_mb"] = (system["MemTotal"] - system["MemAvailable"]) / 1024
        process = _kilobytes(self._text("proc/self/status"))
        if "VmRSS" in process:
            out["process_mb"] = process["VmRSS"] / 1024
        return out

    def _heat(self) -> dict[str, float]:
        """Return the hottest thermal zone, degrees Celsius; a disabled zone reads as nothing or below zero."""
        zones = sorted((self._root / "sys/class/thermal").glob("thermal_zone*/temp"))
        texts = [self._text(str(zone.relative_to(self._root))).strip() for zone in zones]
        degrees = [int(text) / 1000 for text in texts if text.isdigit()]
        return {"temperature_c": max(degrees)} if degrees else {}

    def _gpu(self) -> dict[str, float]:
        for path in JETSON_LOADS:
            if (load := self._text(path).strip()).isdigit():
                return {"gpu_percent": int(load) / 10}
        return self._nvidia() if self._nvidia_smi else {}

    def _nvidia(self) -> dict[str, float]:
        try:
            answer = subprocess.run(
                [str(self._nvidia_smi), *NVIDIA_QUERY], capture_output=True, text=True, timeout=5, check=True
            ).stdout
            values = [float(v) for v in answer.partition("\n")[0].split(",")]
        except (OSError, subprocess.SubprocessError, ValueError):
            return {}  # a driver that is not loaded, or "[N/A]" for what this GPU does not report
        return dict(zip(("gpu_percent", "gpu_memory_mb", "gpu_temperature_c"), values, strict=False))


def _kilobytes(text: str) -> dict[str, float]:
    """Parse ``Name:  123 kB`` lines as name -> 123."""
    rows = (line.split() for line in text.splitlines() if line.endswith("kB"))
    return {row[0].rstrip(":"): float(row[1]) for row in rows if len(row) == 3}
