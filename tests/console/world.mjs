// A gateway with three mock models behind it, all on loopback, and requests to it.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'

const BINARY = process.env.MIXGATE ?? 'mixgate'
export const KEY = 'a-key-of-the-console-tests'
const PROMPTS = [
  'Write a Python function that reverses a linked list and returns its new head.',
  'Our supplier missed the delivery date twice. May we end the contract without notice?',
  'hi there, how is your day going?',
  'SELECT the ten customers with the highest revenue, in SQL, from orders and customers.',
  'Integrate x^2 sin(x) from 0 to pi and show each step.',
  'What is the yield to maturity of a bond that costs 95 and pays 4 a year for 5 years?',
  'Write a short friendly letter that thanks a colleague for her help.',
  'A patient of 60 has chest pain and a normal ECG. What should be ruled out first?',
]

const children = new Set()
process.on('exit', () => children.forEach(child => child.kill('SIGKILL')))

/** Starts the binary; resolves when a line that fits has been written. */
async function start(marker, ...args) {
  const child = spawn(BINARY, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  children.add(child)
  let seen = ''
  for await (const line of readline.createInterface({ input: child.stderr })) {
    const found = line.match(marker)
    if (found) {
      child.stderr.resume()
      return { child, found }
    }
    seen += `${line}\n`
  }
  throw new Error(`mixgate ${args.join(' ')} ended before it served:\n${seen}`)
}

async function mock(model, ...more) {
  const { found } = await start(/http:\/\/([^/]+)\//, 'mock', '--listen', '127.0.0.1:0', '--model', model, '--token-interval', '200us', ...more)
  return found[1]
}

const port = () => new Promise(known => {
  const server = net.createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => known(port))
  })
})

export class World {
  static async start() {
    const world = new World()
    world.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mixgate-console-'))
    process.on('exit', () => fs.rmSync(world.folder, { recursive: true, force: true }))
    world.file = path.join(world.folder, 'experts.yaml')
    world.models = await Promise.all([
      mock('coder-1', '--latency', '8ms', '--fault', 'status-503@1'), mock('clerk-1', '--latency', '12ms'), mock('large-1', '--latency', '30ms', '--tokens', '60')])
    world.data = `http://127.0.0.1:${await port()}`
    world.admin = `http://127.0.0.1:${await port()}`
    world.write()
    await world.serve()
    return world
  }

  /** Writes the configuration; `tolerance` of the policy `auto` takes, `keys` of the admin plane. */
  write({ tolerance = 0.2, keys = [] } = {}) {
    const [coder, clerk, large] = this.models.map(address => `base_url: "http://${address}/v1"`)
    fs.writeFileSync(this.file, `server: { listen: "${this.data.slice(7)}", admin_listen: "${this.admin.slice(7)}", admin_keys: ${JSON.stringify(keys)} }
router: { policy: balanced, deadline: 2s }
fallback: large
policies: { balanced: { tolerance: ${tolerance} }, careful: { tolerance: 0.02 } }
log: { decisions: "${path.join(this.folder, 'decisions.jsonl')}", content: full }
experts:
  - { name: coder, model: coder-1, ${coder}, quality: { code: 0.9, sql: 0.9, math: 0.85 }, price: { input_per_1m: 0.2, output_per_1m: 0.2 }, hosting: { usd_per_hour: 0.8 } }
  - { name: clerk, model: clerk-1, ${clerk}, quality: { legal: 0.9, finance: 0.86, writing: 0.9, chat: 0.92, general: 0.9 }, price: { input_per_1m: 0.3, output_per_1m: 0.3 } }
  - { name: large, model: large-1, ${large}, catalogue: gpt-4o-2024-05-13, capabilities: [tools], price: { input_per_1m: 2.5, output_per_1m: 10 } }
`)
  }

  async serve() {
    const { child } = await start(/serving/, 'serve', '--config', this.file)
    this.gateway = child
  }

  async stop() {
    const ended = new Promise(known => this.gateway.once('exit', known))
    this.gateway.kill('SIGTERM')
    await ended
    children.delete(this.gateway)
  }

  /** Sends so many requests, one after the other. */
  async send(count) {
    for (let number = 0; number < count; number += 1) {
      const messages = [{ role: 'user', content: PROMPTS[number % PROMPTS.length] }]
      const body = JSON.stringify({ model: number % 20 === 19 ? 'nobody' : 'auto', stream: number % 2 === 0, messages })
      const answer = await fetch(`${this.data}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
      await answer.text()
    }
  }

  /** The sum of a metric over its labels. */
  async metric(name) {
    const text = await (await fetch(`${this.admin}/metrics`)).text()
    const lines = text.split('\n').filter(line => line.startsWith(`mixgate_${name}{`) || line.startsWith(`mixgate_${name} `))
    assert(lines.length, `no metric ${name}`)
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  }
}

export const hashOf = key => execFileSync(BINARY, ['hash-key'], { input: key, encoding: 'utf8' }).trim()
