"""A small HTTP server that logs its requests with logdrive.

    pip install flask gunicorn
    logdrive receive --listen 127.0.0.1:9092 --dir /tmp/received &
    gunicorn --workers 2 --preload --chdir examples/python httpd:app
    curl 'http://127.0.0.1:8000/hello?name=ada'
    logdrive cat /tmp/received

Nothing is said about workers anywhere: each gets rings and threads of its own at its first record.
"""

import logging
import os
import time

import flask
import logdrive

client = logdrive.Client(os.environ.get("LOGDRIVE_URL", "receivers://127.0.0.1:9092/httpd"), linger="5ms")
access = client.stream("httpd-access")

# What Flask and the application log through the standard library goes the same way.
logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[logdrive.Handler(client)])

app = flask.Flask(__name__)


@app.before_request
def begin():
    flask.g.begin = time.perf_counter()


@app.after_request
def log_request(response):
    request = flask.request
    access.info(
        f"{request.method} {request.path}",
        status=response.status_code,
        milliseconds=round((time.perf_counter() - flask.g.begin) * 1000, 3),
        remote=request.remote_addr,
    )
    return response


@app.get("/hello")
def hello():
    name = flask.request.args.get("name", "world")
    app.logger.info("greeting %s", name)
    return f"hello, {name}\n"


@app.get("/fail")
def fail():
    raise RuntimeError("failed on purpose")
