"""The OpenAI SDK for Python against a gateway in front of mock models.

Environment: GATEWAY (its /v1), KEY, SMALL and LARGE (addresses of the mocks).
Each check prints its name; the first that fails ends the script.
"""

import json
import os
import time
import urllib.request

import openai
from openai import OpenAI
from pydantic import BaseModel

GATEWAY, KEY, SMALL, LARGE = (os.environ[name] for name in ("GATEWAY", "KEY", "SMALL", "LARGE"))
CHAT = [{"role": "user", "content": "Write a python function that reverses a list"}]
client = OpenAI(base_url=GATEWAY, api_key=KEY, max_retries=0)


def faults(mock, *names):
    """Makes a mock misbehave; without names it is honest again."""
    body = "\n".join(names).encode()
    urllib.request.urlopen(urllib.request.Request(f"http://{mock}/mock/faults", body, method="PUT")).read()


def stats(mock):
    return json.load(urllib.request.urlopen(f"http://{mock}/mock/stats"))


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def chat():
    answer = client.chat.completions.with_raw_response.create(model="auto", messages=CHAT)
    assert answer.headers["x-mixgate-expert"] == "small", answer.headers
    assert float(answer.headers["x-mixgate-saved-usd"]) > 0
    completion = answer.parse()
    assert completion.choices[0].message.content and completion.usage.completion_tokens > 0


def stream():
    chunks = list(client.chat.completions.create(model="auto", messages=CHAT, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].choices[0].finish_reason == "stop", "no usage chunk where none was asked for"
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="auto", messages=CHAT, stream=True, stream_options=options))
    assert chunks[-1].usage.completion_tokens > 0 and not chunks[-1].choices


def tools():
    function = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
    asked = [{"type": "function", "function": function}]
    answer = client.chat.completions.with_raw_response.create(model="auto", messages=CHAT, tools=asked)
    assert answer.headers["x-mixgate-expert"] == "large", "the small one has no tools"
    call = answer.parse().choices[0].message.tool_calls[0]
    assert call.function.name == "weather" and "city" in json.loads(call.function.arguments)
    with client.chat.completions.stream(model="auto", messages=CHAT, tools=asked) as events:
        final = events.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.name == "weather"


def json_schema():
    class Person(BaseModel):
        name: str
        age: int

    parsed = client.chat.completions.parse(model="auto", messages=CHAT, response_format=Person)
    assert isinstance(parsed.choices[0].message.parsed, Person)


def completions_and_embeddings():
    assert client.completions.create(model="small", prompt="Once upon a time").choices[0].text
    assert "".join(c.choices[0].text for c in client.completions.create(model="small", prompt="Once", stream=True))
    vectors = client.embeddings.create(model="small", input=["a", "b"]).data
    assert len(vectors) == 2 and len(vectors[0].embedding) > 1


def models():
    ids = [model.id for model in client.models.list()]
    assert ids[0] == "auto" and {"small", "large", "auto:frugal"} <= set(ids), ids
    assert client.models.retrieve("large").id == "large"


def errors():
    error = raises(openai.NotFoundError, lambda: client.chat.completions.create(model="smal", messages=CHAT))
    assert error.code == "model_not_found" and "small" in error.message
    raises(openai.NotFoundError, lambda: client.models.retrieve("nobody"))
    stranger = client.with_options(api_key="sk-wrong")
    error = raises(openai.AuthenticationError, lambda: stranger.chat.completions.create(model="auto", messages=CHAT))
    assert error.code == "invalid_api_key"
    error = raises(openai.BadRequestError, lambda: client.chat.completions.create(model="auto", messages=[]))
    assert error.param == "messages"
    for fault, kind, code in [
        ("status-500", openai.InternalServerError, "upstream_error"),
        ("html", openai.InternalServerError, "upstream_error"),
        ("status-422", openai.UnprocessableEntityError, None),
        # last: both are left alone for as long as they say
        ("status-429:retry-after=3", openai.RateLimitError, "rate_limit_exceeded"),
    ]:
        faults(SMALL, fault)
        faults(LARGE, fault)
        error = raises(kind, lambda: client.chat.completions.create(model="auto", messages=CHAT))
        assert code is None or error.code == code, (fault, error)
        if fault.startswith("status-429"):
            assert error.response.headers["retry-after"] == "3"
    faults(SMALL)
    faults(LARGE)


def failing_over():
    faults(SMALL, "status-503")
    answer = client.chat.completions.with_raw_response.create(model="auto", messages=CHAT)
    assert answer.headers["x-mixgate-expert"] == "large" and answer.headers["x-mixgate-reason"] == "upstream_failure"
    faults(SMALL)


def a_cut_stream_is_an_error():
    for fault in ("end-without-finish", "end-in-event:3", "reset-in-event:3", "error-event-mid-stream:3"):
        faults(SMALL, fault)
        error = raises(openai.APIError, lambda: list(client.chat.completions.create(model="small", messages=CHAT, stream=True)))
        if not fault.startswith("error"):
            assert error.code == "upstream_incomplete", (fault, error.code)
    faults(SMALL)


def cancelling():
    before = stats(SMALL)["aborted"]
    faults(SMALL, "endless")
    with client.chat.completions.create(model="small", messages=CHAT, stream=True) as chunks:
        next(iter(chunks))
    deadline = time.monotonic() + 5
    while stats(SMALL)["aborted"] == before:
        assert time.monotonic() < deadline, "the upstream never heard that the client left"
        time.sleep(0.01)
    faults(SMALL)


for check in (chat, stream, tools, json_schema, completions_and_embeddings, models, a_cut_stream_is_an_error, cancelling, failing_over, errors):
    check()
    print("ok", check.__name__, flush=True)
