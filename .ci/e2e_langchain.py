"""A tenant's adapter in the hands of the unmodified langchain-openai."""

import asyncio
import math

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

from e2e_common import equal, expect

QUESTION = "What is the capital of France?"


@tool
def weather(city: str, days: int) -> str:
    """The weather of a city in the next days."""
    return f"{city}: rain for {days} days"


def works(url, key, adapter, base):
    """adapter: one that answers otherwise than the base."""
    reach = {"base_url": url + "/v1", "api_key": key, "max_retries": 0, "timeout": 120}
    fixed = {"temperature": 0, "max_tokens": 24, **reach}
    chat = ChatOpenAI(model=adapter, **fixed)
    chats(chat, ChatOpenAI(model=base, **fixed))
    streams(chat)
    calls_tools(chat)
    text = OpenAI(model=adapter, **fixed).invoke("Once upon a time")
    expect(text.strip(), "the completion is empty")
    embeds({model: OpenAIEmbeddings(model=model, check_embedding_ctx_length=False, **reach) for model in (adapter, base)}, adapter, base)


def chats(chat, plain):
    messages = [SystemMessage("Be brief."), HumanMessage(QUESTION)]
    answer = chat.invoke(messages)
    expect(answer.content and answer.content != plain.invoke(messages).content, f"the adapter changed nothing in {answer.content!r}")
    equal(answer.response_metadata["model_name"], chat.model_name, "model")
    expect(answer.response_metadata["finish_reason"] in ("stop", "length"), f"finish_reason of {answer.response_metadata}")
    usage = answer.usage_metadata
    equal(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"], "total_tokens")
    expect(0 < usage["output_tokens"] <= 24, f"usage {usage}")
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{question}")]) | chat | StrOutputParser()
    equal(asyncio.run(chain.abatch([{"question": QUESTION}] * 3)), [answer.content] * 3, "three at once")


def streams(chat):
    whole = chat.invoke(QUESTION)
    chunks = list(chat.stream(QUESTION, stream_usage=True))
    expect(len([chunk for chunk in chunks if chunk.content]) > 2, f"only {len(chunks)} chunks")
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    equal(total.content, whole.content, "text of the stream")
    equal(total.usage_metadata["output_tokens"], whole.usage_metadata["output_tokens"], "output_tokens of the stream")


def calls_tools(chat):
    patient = chat.model_copy(update={"max_tokens": 120})
    bound = patient.bind_tools([weather], tool_choice="weather")
    question = HumanMessage("Will it rain in Paris in the next two days?")
    answer = bound.invoke([question])
    call, = answer.tool_calls
    equal(call["name"], "weather", "the tool that was called")
    equal({name: type(value) for name, value in call["args"].items()}, {"city": str, "days": int}, "types of its arguments")
    streamed = None
    for chunk in bound.stream([question]):
        streamed = chunk if streamed is None else streamed + chunk
    equal([(one["name"], one["args"]) for one in streamed.tool_calls], [(call["name"], call["args"])], "the call in the stream")
    after = chat.bind_tools([weather], tool_choice="none").invoke([question, answer, ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])])
    expect(not after.tool_calls and after.content, f"no text after the tool's answer: {after}")
    shaped = patient.with_structured_output({"title": "city", "type": "object", "properties": {"name": {"type": "string", "maxLength": 20}}, "required": ["name"],
                                             "additionalProperties": False}, method="json_schema").invoke(QUESTION)
    equal(list(shaped), ["name"], "properties of the structured output")


def embeds(models, adapter, base):
    texts = ["a red apple", "une pomme rouge", "the law of gravity"]
    vectors = models[adapter].embed_documents(texts)
    equal([len(vector) for vector in vectors], [len(vectors[0])] * 3, "lengths of the vectors")
    expect(all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-3) for vector in vectors), "the vectors are not of length 1")
    again = models[adapter].embed_query(texts[2])
    expect(max(abs(a - b) for a, b in zip(again, vectors[2])) < 1e-5, "the query has another vector than the document")
    expect(max(abs(a - b) for a, b in zip(models[base].embed_query(texts[2]), again)) > 1e-3, "the adapter changed nothing in the vector")
