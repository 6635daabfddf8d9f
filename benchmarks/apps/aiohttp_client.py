"""The peer aiohttp: its client, on asyncio's own event loop."""

from __future__ import annotations

import asyncio
import json
import os

import aiohttp
from asking import AT_ONCE, Count, backend


async def fetch(session: aiohttp.ClientSession, url: str) -> int:
    """Ask once, read the answer."""
    async with session.get(url) as response:
        return response.status if await response.read() else 0


async def main() -> None:
    """Ask, always so many at a time, and report."""
    url, count = backend(), Count(float(os.environ["BENCH_SECONDS"]))
    async with aiohttp.ClientSession() as session:
        while count.goes_on():
            count.add(await asyncio.gather(*[fetch(session, url) for _ in range(AT_ONCE)]))
    print(json.dumps(count.report()))


if __name__ == "__main__":
    asyncio.run(main())
