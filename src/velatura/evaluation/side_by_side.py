"""A plan's parts in several processes on this machine.

The networks of an experiment on a small model are small: one process leaves a GPU, or a processor of many cores, idle
for most of the time. As everything is cached in the plan's folder, whoever runs it afterwards finds it done.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from velatura.diffusion import device, extractors
from velatura.errors import InputError, VelaturaError
from velatura.evaluation.experiment import Experiment, Say
from velatura.evaluation.plan import Part, parts, tasks
from velatura.evaluation.setup import Setup


def do_parts(setup: Setup, processes: int, say: Say) -> None:
    """All parts of the plan but the last, the result; arms are finished in their order.

    A part that fails stops those that need it, and only those; what failed is said in the end.
    """
    whole = dict(enumerate(parts(setup)[:-1]))
    left = {task.what for task in tasks(setup) if task.left}
    done = {number for number, part in whole.items() if part.what not in left}
    waiting = [number for number in whole if number not in done]
    if not waiting:
        return
    threads = max(1, torch.get_num_threads() // processes)
    _measure_precisions(setup, threads)
    failed: list[str] = []
    say(f"{len(waiting)} parts, {processes} at a time", 0, len(waiting))
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    pool = ProcessPoolExecutor(processes, context, _begin, (setup.experiment, setup.out, threads))
    try:
        running: dict[Future[str], int] = {}
        while True:
            ready = [number for number in waiting if done.issuperset(whole[number].after)]
            for number in ready[: processes - len(running)]:
                running[pool.submit(_do, number)] = number
                waiting.remove(number)
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number = running.pop(future)
                if wrong := future.result():
                    failed.append(f"{whole[number].what}: {wrong}")
                else:
                    done.add(number)
                    say(whole[number].what, 1, 1)
    except BaseException as error:
        for process in multiprocessing.active_children():
            process.terminate()
        if isinstance(error, BrokenProcessPool | torch.OutOfMemoryError):
            raise InputError(
                f"expected memory for {processes} processes, and one of them ended early: the same command with fewer "
                f"--processes continues in {setup.out}"
            ) from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    if failed:
        raise VelaturaError("; ".join(failed))


def _measure_precisions(setup: Setup, threads: int) -> None:
    """While nothing else runs; the processes find the answers in the cache."""
    if setup.experiment.device != "cpu":
        return
    usual = torch.get_num_threads()
    made_here = (setup.experiment.settings(arm) for arm in setup.experiment.arms if arm.row is not None)
    torch.set_num_threads(threads)
    try:
        for name in sorted({name for settings in made_here for name in settings.models}):
            device.tune(extractors.load(name))
    finally:
        torch.set_num_threads(usual)


_order: list[tuple[Experiment, Path]] = []
_parts: list[Part] = []


def _begin(experiment: Experiment, out: Path, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    _order[:] = [(experiment, out)]


def _end_with_parent() -> None:
    """Whatever ended it: a process left behind would wait for ever, and keep its share of the GPU."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(number: int) -> str:
    """What went wrong, in a line: errors of ours do not all travel between processes, and one arm stops no other."""
    try:
        if not _parts:
            _parts[:] = parts(Setup(*_order[0]))
        _parts[number].do(lambda what, done, total: None)
    except torch.OutOfMemoryError:  # the next part would fail here as well
        raise
    except VelaturaError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return ""
