"""The Python side of `bowline bench`: the usual code for the same tasks, with the standard library only.

Called as `python3 peer.py OUT TASK ARGUMENTS...`; writes its result to OUT as JSON. A document becomes a bag of words (a
dictionary of counts), one after the other, by a pool of threads, or by a pool of processes.
"""

import json
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

WORD = re.compile(r"(?u)\b\w\w+\b")


def bag_of_words(job):
    path, latency = job
    if latency:
        time.sleep(latency)
    with open(path, "rb") as file:
        text = file.read().decode("utf-8", "replace")
    return Counter(WORD.findall(text.lower()))


def fork():
    return multiprocessing.get_context("fork")


def bags(way, workers, jobs):
    if way == "sequential":
        return [bag_of_words(job) for job in jobs]
    if way == "threads":
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(bag_of_words, jobs))
    with ProcessPoolExecutor(workers, mp_context=fork()) as pool:
        return list(pool.map(bag_of_words, jobs, chunksize=max(1, min(64, len(jobs) // (4 * workers)))))


def embed(way, workers, latency, listing):
    with open(listing, "rb") as file:
        paths = file.read().split(b"\0")[:-1]
    vocabulary, tokens, nonzeros = {}, 0, 0
    began = time.perf_counter()
    made = bags(way, int(workers), [(path, float(latency)) for path in paths])
    bag_seconds = time.perf_counter() - began
    for bag in made:
        tokens += sum(bag.values())
        nonzeros += len(bag)
        for word in bag:
            vocabulary.setdefault(word, len(vocabulary))
    return {"tokens": tokens, "columns": len(vocabulary), "nonzeros": nonzeros, "bag_seconds": bag_seconds}


class Box:
    value = 0


def add(counter, lock, updates):
    if lock is None:
        for _ in range(updates):
            value = counter.value
            counter.value = value + 1
    else:
        for _ in range(updates):
            with lock:
                counter.value += 1


def timed(start, works):
    """Seconds that threads or processes take, each with its function and arguments, from the first start to the last end."""
    team = [start(target=work, args=arguments) for work, *arguments in works]
    began = time.perf_counter()
    for member in team:
        member.start()
    for member in team:
        member.join()
    return time.perf_counter() - began


def counters(workers, updates):
    workers, updates, found = int(workers), int(updates), []
    for mode in ("threads", "processes"):
        for way in ("unsynchronised", "lock"):
            if mode == "threads":
                counter, start = Box(), threading.Thread
                lock = threading.Lock() if way == "lock" else None
            else:
                counter, start = fork().RawValue("q", 0), fork().Process
                lock = fork().Lock() if way == "lock" else None
            seconds = timed(start, [(add, counter, lock, updates // workers)] * workers)
            found.append({"mode": mode, "way": way, "seconds": seconds,
                          "truth": updates // workers * workers, "value": counter.value})
    return found


def enter(means, depth, rounds):
    for _ in range(rounds):
        with means:
            if depth > 1:
                with means:
                    pass


def set_and_wait(event, rounds):
    for _ in range(rounds):
        event.set()
        event.wait()
        event.clear()


def hand_over(mine, theirs, begins, rounds):
    for _ in range(rounds):
        if begins:
            theirs.set()
        mine.wait()
        mine.clear()
        if not begins:
            theirs.set()


def put_or_take(condition, place, puts, rounds):
    """A queue with one place: both put and take (`puts` is None), one puts, or one takes."""
    for _ in range(rounds):
        for does_put in (True, False) if puts is None else (puts,):
            with condition:
                while bool(place.value) == does_put:
                    condition.wait()
                place.value = int(does_put)
                condition.notify_all()


def locks(workers, rounds, waking_rounds):
    """The cost of a round of each means: alone, and between `workers` (semaphores: twice as many; hand-overs: two)."""
    workers, rounds, waking, found = int(workers), int(rounds), int(waking_rounds), []
    for mode, start, kit in (("threads", threading.Thread, threading), ("processes", fork().Process, fork())):
        place = Box() if mode == "threads" else fork().RawValue("q", 0)
        condition, there, back = kit.Condition(), kit.Event(), kit.Event()
        alone_and_together = [
            ("lock", rounds, [(enter, kit.Lock(), 1)], workers),
            ("re-entrant lock", rounds, [(enter, kit.RLock(), 2)], workers),
            ("semaphore", rounds, [(enter, kit.Semaphore(2), 1)], 2 * workers),
            ("event", rounds, [(set_and_wait, there)], 1),
            ("event", waking, [(hand_over, back, there, True), (hand_over, there, back, False)], 1),
            ("condition", rounds, [(put_or_take, condition, place, None)], 1),
            ("condition", waking, [(put_or_take, condition, place, puts) for puts in (True, False)], 1),
        ]
        for means, all_rounds, works, most in alone_and_together:
            for times in sorted({1, most}):
                team = works * times
                # A hand-over, and an item that is put and taken, are one round of two.
                each = all_rounds // times
                seconds = timed(start, [(*work, each) for work in team])
                found.append({"means": means, "mode": mode, "workers": len(team),
                              "nanoseconds": seconds * 1e9 / (each * times)})
    return found


def work_or_die(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return number


def crash(way):
    """Runs eight tasks, of which the fourth kills its worker by SIGKILL; returns the number of results."""
    jobs, done = range(8), 0
    if way == "ThreadPoolExecutor":
        with ThreadPoolExecutor(2) as pool:
            done = len(list(pool.map(work_or_die, jobs)))
    elif way == "multiprocessing.Pool":
        with fork().Pool(2) as pool:
            done = len(pool.map(work_or_die, jobs))
    else:
        with ProcessPoolExecutor(2, mp_context=fork()) as pool:
            done = len(list(pool.map(work_or_die, jobs)))
    return {"done": done}


def about():
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    return {"version": ".".join(map(str, sys.version_info[:3])), "has_lock": has_lock}


if __name__ == "__main__":
    result = {"about": about, "embed": embed, "counters": counters, "locks": locks, "crash": crash}[sys.argv[2]](*sys.argv[3:])
    with open(sys.argv[1], "w") as out:
        json.dump(result, out)
