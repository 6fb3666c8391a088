"""What a studio would write today: FastAPI on uvicorn with uvloop, the raw body's HMAC, aio-pika with confirms."""

import hashlib
import hmac
import json
import os
from contextlib import asynccontextmanager

import aio_pika
import uvicorn
from fastapi import FastAPI, Request, Response

HEADER = os.environ["BENCH_HEADER"]
PREFIX = os.environ["BENCH_PREFIX"]
SECRET = os.environ["BENCH_SECRET"].encode()
EXCHANGE = os.environ["BENCH_EXCHANGE"]
ROUTING_KEY = os.environ["BENCH_ROUTING_KEY"]


@asynccontextmanager
async def lifespan(app: FastAPI):
    connection = await aio_pika.connect(os.environ["BENCH_AMQP"])
    channel = await connection.channel(publisher_confirms=True)
    app.state.exchange = await channel.get_exchange(EXCHANGE, ensure=False)
    yield
    await connection.close()


app = FastAPI(lifespan=lifespan)


@app.post(os.environ["BENCH_PATH"])
async def deliver(request: Request) -> Response:
    body = await request.body()
    wanted = PREFIX + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(request.headers.get(HEADER, ""), wanted):
        return Response(status_code=401)
    try:
        json.loads(body)
    except ValueError:
        return Response(status_code=422)
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
    # It returns when the broker has confirmed.
    await app.state.exchange.publish(message, routing_key=ROUTING_KEY)
    return Response(status_code=200)


@app.get("/healthz")
async def healthz() -> Response:
    return Response(status_code=200)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), log_level="error", access_log=False)
