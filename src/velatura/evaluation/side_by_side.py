"""A plan's parts in several processes on this machine.

The networks of an experiment on a small model are small: one process leaves a GPU, or a processor of many cores, idle
for most of the time. As everything is cached in the plan's folder, whoever runs it afterwards finds it done.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from velatura.diffusion import device, extractors
from velatura.errors import InputError, VelaturaError
from velatura.evaluation.arms import PLAIN
from velatura.evaluation.parts import Part, parts
from velatura.evaluation.protocol import Protocol, Say, Setup


def do_parts(setup: Setup, processes: int, say: Say) -> None:
    """All parts of the plan but the last, the result; arms are finished in their order.

    A part that fails stops those that need it, and only those; what failed is said in the end.
    """
    threads = max(1, (os.cpu_count() or 1) // processes)
    _measure_precisions(setup, threads)
    waiting: dict[int, Part] = dict(enumerate(parts(setup)[:-1]))
    names = {number: part.what for number, part in waiting.items()}
    done: set[int] = set()
    failed: list[str] = []
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    pool = ProcessPoolExecutor(processes, context, _begin, (setup.protocol, setup.out, threads))
    try:
        running: dict[Future[str], int] = {}
        while waiting or running:
            ready = [number for number, part in waiting.items() if done.issuperset(part.after)]
            for number in ready[: processes - len(running)]:
                running[pool.submit(_do, number)] = number
                del waiting[number]
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number = running.pop(future)
                if wrong := future.result():
                    failed.append(f"{names[number]}: {wrong}")
                else:
                    done.add(number)
                    say(names[number], 1, 1)
    except BrokenProcessPool:
        raise InputError(
            f"expected memory for {processes} processes, got one that was killed: the same command with fewer "
            f"--processes continues in {setup.out}"
        ) from None
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    if failed:
        raise VelaturaError("; ".join(failed))


def _measure_precisions(setup: Setup, threads: int) -> None:
    """While nothing else runs; the processes find the answers in the cache."""
    usual = torch.get_num_threads()
    torch.set_num_threads(threads)
    arms = (arm for arm in setup.protocol.arms if arm.folder is None and arm.method not in PLAIN)
    for name in sorted({name for arm in arms for name in setup.extractors(arm)}):
        device.tune(extractors.load(name, setup.protocol.device))
    torch.set_num_threads(usual)


_parts: list[Part] = []


def _begin(protocol: Protocol, out: Path, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    torch.set_num_threads(threads)
    _parts[:] = parts(Setup(protocol, out))


def _do(number: int) -> str:
    """What went wrong, in a line: errors of ours do not all travel between processes, and one arm stops no other."""
    try:
        _parts[number].do(lambda what, done, total: None)
    except (VelaturaError, OSError, RuntimeError) as error:  # of torch's, a GPU without memory
        return str(error).partition("\n")[0] or type(error).__name__
    return ""
