"""Requests to an app without a server."""

from __future__ import annotations

import asyncio

import httpx
from fastapi import FastAPI


def send(app: FastAPI, method: str, url: str, body: object = None) -> httpx.Response:
    """Send a request, with a JSON body if one is given."""

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, url, json=body)

    return asyncio.run(run())
