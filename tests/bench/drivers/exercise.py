"""The same exercise for every driver: evaluate one by one, many at once, a huge answer, a burst of events.

Only the standard library and psutil: it runs in each competitor's own environment, as a plain script's neighbour.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable
from typing import Any, Protocol

import psutil

BIG = 20_000_000
PREPARE = """
(() => {
  const bytes = new Uint8Array(65520);
  let text = '';
  while (text.length < %d) {
    crypto.getRandomValues(bytes);
    let piece = '';
    for (let i = 0; i < bytes.length; i += 1) piece += String.fromCharCode(bytes[i]);
    text += btoa(piece);
  }
  globalThis.big = text.slice(0, %d);
  return globalThis.big.length;
})()
"""
BURST = "(() => { const text = 'x'.repeat(120); for (let i = 0; i < %d; i += 1) told(text + i); return %d; })()"


class Where:
    """The page to drive, and how much to do."""

    def __init__(self) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument("--target", required=True)
        parser.add_argument("--browser-url", required=True)
        parser.add_argument("--page-url", required=True)
        for name, number in (("serial", 1000), ("parallel", 5000), ("in-flight", 100), ("big", 3), ("burst", 10_000)):
            parser.add_argument(f"--{name}", type=int, default=number)
        given = parser.parse_args()
        self.port: int = given.port
        self.target: str = given.target
        self.browser_url: str = given.browser_url
        self.page_url: str = given.page_url
        self.serial: int = given.serial
        self.parallel: int = given.parallel
        self.in_flight: int = given.in_flight
        self.big: int = given.big
        self.burst: int = given.burst


class Driver(Protocol):
    """What a library has to offer for the exercise."""

    async def open(self, where: Where) -> None:
        """Connect, and have the page's Runtime domain enabled."""
        ...

    async def evaluate(self, expression: str) -> Any:
        """``Runtime.evaluate`` by value."""
        ...

    async def hear(self, told: Callable[[str], None]) -> None:
        """Make the binding ``told`` and call the function with each payload from then on."""
        ...

    async def close(self) -> None: ...


class _Meter:
    """Processor time and memory of this process and everything below it (a driver may bring a process of its own)."""

    def __init__(self) -> None:
        self._me = psutil.Process()

    def _all(self) -> list[psutil.Process]:
        return [self._me, *self._me.children(recursive=True)]

    def cpu(self) -> float:
        below = sum(sum(process.cpu_times()[:2]) for process in self._me.children(recursive=True))
        return time.process_time() + below

    def memory(self) -> int:
        return sum(process.memory_info().rss for process in self._all())


async def _serial(driver: Driver, count: int) -> float:
    times: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        await driver.evaluate("1+1")
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def _parallel(driver: Driver, count: int, in_flight: int) -> float:
    async def lane(number: int) -> None:
        for _ in range(number):
            await driver.evaluate("1+1")

    began = time.perf_counter()
    await asyncio.gather(*(lane(count // in_flight) for _ in range(in_flight)))
    return time.perf_counter() - began


async def _big(driver: Driver, count: int) -> float:
    await driver.evaluate(PREPARE % (BIG, BIG))
    times: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        got = await driver.evaluate("globalThis.big")
        times.append(time.perf_counter() - began)
        if len(got) != BIG:
            raise RuntimeError(f"{len(got)} characters came instead of {BIG}")
    return statistics.median(times)


async def _burst(driver: Driver, count: int) -> float:
    """Seconds from the command until the last of ``count`` events had been handed over."""
    heard = 0
    whole = asyncio.Event()

    def told(_payload: str) -> None:
        nonlocal heard
        heard += 1
        if heard == count:
            whole.set()

    await driver.hear(told)
    began = time.perf_counter()
    await driver.evaluate(BURST % (count, count))
    await asyncio.wait_for(whole.wait(), 120)
    return time.perf_counter() - began


async def _exercise(driver: Driver, where: Where) -> dict[str, float]:
    meter = _Meter()
    await driver.open(where)
    try:
        await _serial(driver, 50)
        base = meter.memory()
        serial = await _serial(driver, where.serial)
        cpu = meter.cpu()
        lanes = where.parallel // where.in_flight * where.in_flight
        parallel = await _parallel(driver, lanes, where.in_flight)
        cpu = meter.cpu() - cpu
        big = await _big(driver, where.big)
        grown = meter.memory()
        burst = await _burst(driver, where.burst)
    finally:
        await driver.close()
    return {
        "serial_s": serial,
        "parallel_per_s": lanes / parallel,
        "parallel_cpu_s": cpu / lanes,
        "big_s": big,
        "burst_per_s": where.burst / burst,
        "base_bytes": base,
        "after_big_bytes": grown,
    }


def main(driver: Driver) -> None:
    """Run the exercise and print its figures as the last line of standard output."""
    print(json.dumps(asyncio.run(_exercise(driver, Where()))), flush=True)
