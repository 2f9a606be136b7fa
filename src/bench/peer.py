"""What people write in Python: the other side of `bowline bench`, with the standard library only.

Called as `python3 peer.py OUT TASK ARGUMENTS...`; leaves its result in OUT as JSON. A document becomes a bag of words (a
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
        return map(bag_of_words, jobs)
    if way == "threads":
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(bag_of_words, jobs))
    with ProcessPoolExecutor(workers, mp_context=fork()) as pool:
        return list(pool.map(bag_of_words, jobs, chunksize=max(1, min(64, len(jobs) // (4 * workers)))))


def embed(way, workers, latency, listing):
    with open(listing, "rb") as file:
        paths = file.read().split(b"\0")[:-1]
    vocabulary, tokens, nonzeros = {}, 0, 0
    for bag in bags(way, int(workers), [(path, float(latency)) for path in paths]):
        tokens += sum(bag.values())
        nonzeros += len(bag)
        for word in bag:
            vocabulary.setdefault(word, len(vocabulary))
    return {"tokens": tokens, "columns": len(vocabulary), "nonzeros": nonzeros}


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
            team = [start(target=add, args=(counter, lock, updates // workers)) for _ in range(workers)]
            began = time.perf_counter()
            for member in team:
                member.start()
            for member in team:
                member.join()
            seconds = time.perf_counter() - began
            found.append({"mode": mode, "way": way, "seconds": seconds,
                          "truth": updates // workers * workers, "value": counter.value})
    return found


def work_or_die(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return number


def crash(way):
    """Eight pieces of work, and a SIGKILL for whoever does the fourth; how many results arrive."""
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
    result = {"about": about, "embed": embed, "counters": counters, "crash": crash}[sys.argv[2]](*sys.argv[3:])
    with open(sys.argv[1], "w") as out:
        json.dump(result, out)
