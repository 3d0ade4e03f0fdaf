"""What machine this is, and how busy it was with something else."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

from console.stack.java import java_home
from jobs.settings import PROJECT_ROOT


def machine_facts() -> dict[str, Any]:
    """Facts that a measurement means nothing without."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "java": _first_line(str(java_home() / "bin" / "java"), "-version"),
        "commit": _first_line("git", "-C", str(PROJECT_ROOT), "describe", "--always", "--dirty"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def busy_cores(seconds: float = 2.0) -> float:
    """How many cores are at work right now: what is running beside the benchmark, if asked before it."""
    return psutil.cpu_percent(seconds) / 100 * (psutil.cpu_count() or 1)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _first_line(*command: str) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    return next(iter((answer.stdout or answer.stderr).splitlines()), "")
