"""Prints how late an event loop wakes a coroutine while another thread fits a vectorizer.

    python python/tests/event_loop.py DIRECTORY
"""

import asyncio
import pathlib
import sys
import time
from typing import Any

import sklearn.feature_extraction.text as text

import bowline


async def watch(delays: list[float]) -> None:
    while True:
        start = time.perf_counter()
        await asyncio.sleep(0.001)
        delays.append(time.perf_counter() - start - 0.001)


async def main(documents: list[str]) -> None:
    for module in (bowline, text):
        kind: Any = module.TfidfVectorizer
        delays: list[float] = []
        watcher = asyncio.create_task(watch(delays))
        start = time.perf_counter()
        vectorizer = kind()
        X = await asyncio.to_thread(vectorizer.fit_transform, documents)
        elapsed = time.perf_counter() - start
        for query in documents[:20]:
            q = await asyncio.to_thread(vectorizer.transform, [query[:200]])
            await asyncio.to_thread((X @ q.T).toarray)
        watcher.cancel()
        delays.sort()
        print(
            f"{module.__name__}: fit {elapsed:.2f} s; event loop late by {delays[len(delays) // 2] * 1000:.2f} ms (median), "
            f"{delays[len(delays) * 99 // 100] * 1000:.2f} ms (99 of 100), {delays[-1] * 1000:.2f} ms (most), "
            f"woken {len(delays)} times"
        )


if __name__ == "__main__":
    paths = sorted(path for path in pathlib.Path(sys.argv[1]).rglob("*") if path.is_file())
    asyncio.run(main([path.read_text(encoding="utf-8", errors="replace") for path in paths]))
