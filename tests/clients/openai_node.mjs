// The OpenAI SDK for Node against a gateway in front of mock models.
// Environment: GATEWAY (its /v1), KEY, SMALL and LARGE (addresses of the mocks).

import assert from 'node:assert/strict'
import OpenAI from 'openai'

const { GATEWAY, KEY, SMALL, LARGE } = process.env
const client = new OpenAI({ baseURL: GATEWAY, apiKey: KEY, maxRetries: 0 })
const messages = [{ role: 'user', content: 'Write a python function that reverses a list' }]

const faults = (mock, ...names) => fetch(`http://${mock}/mock/faults`, { method: 'PUT', body: names.join('\n') })
const stats = async mock => (await fetch(`http://${mock}/mock/stats`)).json()
const collect = async stream => {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}

const checks = {
  async chat() {
    const { data, response } = await client.chat.completions.create({ model: 'auto', messages }).withResponse()
    assert.equal(response.headers.get('x-mixgate-expert'), 'small')
    assert.ok(Number(response.headers.get('x-mixgate-saved-usd')) > 0)
    assert.ok(data.choices[0].message.content && data.usage.completion_tokens > 0)
  },

  async stream() {
    const chunks = await collect(await client.chat.completions.create({ model: 'auto', messages, stream: true }))
    assert.ok(chunks.map(c => c.choices[0]?.delta?.content ?? '').join(''))
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop')
    const stream_options = { include_usage: true }
    const asked = await collect(await client.chat.completions.create({ model: 'auto', messages, stream: true, stream_options }))
    assert.ok(asked.at(-1).usage.completion_tokens > 0)
  },

  async tools() {
    const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
    const tools = [{ type: 'function', function: { name: 'weather', parameters } }]
    const { data, response } = await client.chat.completions.create({ model: 'auto', messages, tools }).withResponse()
    assert.equal(response.headers.get('x-mixgate-expert'), 'large')
    assert.equal(data.choices[0].message.tool_calls[0].function.name, 'weather')
    const final = await client.chat.completions.stream({ model: 'auto', messages, tools }).finalChatCompletion()
    assert.equal(final.choices[0].message.tool_calls[0].function.name, 'weather')
  },

  async jsonSchema() {
    const schema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'], additionalProperties: false }
    const response_format = { type: 'json_schema', json_schema: { name: 'person', schema, strict: true } }
    const { choices } = await client.chat.completions.create({ model: 'auto', messages, response_format })
    assert.equal(typeof JSON.parse(choices[0].message.content).name, 'string')
  },

  async embeddingsAndModels() {
    const { data } = await client.embeddings.create({ model: 'small', input: ['a', 'b'] })
    assert.equal(data.length, 2)
    const ids = (await collect(await client.models.list())).map(m => m.id)
    assert.ok(ids[0] === 'auto' && ids.includes('small'))
    assert.equal((await client.models.retrieve('large')).id, 'large')
  },

  async cancelling() {
    const before = (await stats(SMALL)).aborted
    await faults(SMALL, 'endless')
    const stream = await client.chat.completions.create({ model: 'small', messages, stream: true })
    for await (const _ of stream) break
    const deadline = Date.now() + 5000
    while ((await stats(SMALL)).aborted === before) {
      assert.ok(Date.now() < deadline, 'the upstream never heard that the client left')
      await new Promise(done => setTimeout(done, 10))
    }
    await faults(SMALL)
  },

  async errors() {
    const create = extra => client.chat.completions.create({ model: 'auto', messages, ...extra })
    await assert.rejects(create({ model: 'smal' }), e => e instanceof OpenAI.NotFoundError && e.code === 'model_not_found')
    const stranger = new OpenAI({ baseURL: GATEWAY, apiKey: 'sk-wrong', maxRetries: 0 })
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError)
    await assert.rejects(create({ messages: [] }), e => e instanceof OpenAI.BadRequestError && e.param === 'messages')
    for (const [fault, kind] of [['status-429', OpenAI.RateLimitError], ['status-503', OpenAI.InternalServerError]]) {
      await Promise.all([faults(SMALL, fault), faults(LARGE, fault)])
      await assert.rejects(create(), kind)
    }
    await Promise.all([faults(SMALL), faults(LARGE)])
  },

  async aCutStreamIsAnError() {
    for (const fault of ['end-without-finish', 'end-in-event:3', 'reset-in-event:3']) {
      await faults(SMALL, fault)
      const stream = await client.chat.completions.create({ model: 'small', messages, stream: true })
      await assert.rejects(collect(stream), e => e instanceof OpenAI.APIError && e.code === 'upstream_incomplete', fault)
    }
    await faults(SMALL)
  },
}

for (const [name, check] of Object.entries(checks)) {
  await check()
  console.log('ok', name)
}
process.exit(0)
