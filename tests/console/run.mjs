// The console in Chromium, against a gateway with mock models: what an operator does there, and that nothing is wrong
// on the way. `--screenshots FOLDER` leaves pictures of every page. CHROMIUM and MIXGATE are the programs to use.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'
import { KEY, World, hashOf } from './world.mjs'

const AXE = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const PAGES = ['now', 'decisions', 'try', 'configuration']
const FOCUSABLE = 'a[href], button:not(:disabled), input, select, textarea, [tabindex="0"]'
const PATIENCE = 30000
const LONGEST = 300000

setTimeout(() => {
  console.error('took too long')
  process.exit(1)
}, LONGEST).unref()

const at = process.argv.indexOf('--screenshots')
const pictures = at < 0 ? null : process.argv[at + 1]
if (pictures) fs.mkdirSync(pictures, { recursive: true })

const world = await World.start()
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium' })
/** What must not happen on any page. */
const faults = []

/** A page of its own browser context; `outage`: whether requests may fail. */
async function page({ outage = false, ...more } = {}) {
  const context = await browser.newContext({ colorScheme: 'light', viewport: { width: 1280, height: 900 }, locale: 'en-GB', ...more })
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE)
  page.on('pageerror', error => faults.push(`thrown: ${error.stack}`))
  page.on('console', message => {
    const expected = outage && /Failed to load resource/.test(message.text())
    if (['error', 'warning'].includes(message.type()) && !expected) faults.push(`console: ${message.text()} (${message.location().url})`)
  })
  page.on('request', request => {
    if (!request.url().startsWith(`${world.admin}/`)) faults.push(`a request to elsewhere: ${request.url()}`)
  })
  return page
}

async function open(page, place) {
  await page.goto(`${world.admin}/ui/#/${place}`)
  await page.locator('main h2, main .tile').first().waitFor()
}

const state = (page, words) => page.locator('.state', { hasText: words }).waitFor()
const tile = (page, name) => page.locator('.tile', { hasText: name })
const region = (page, name) => page.getByRole('region', { name, exact: true })
const filter = (page, name) => page.locator('.filters label', { hasText: new RegExp(`^${name}`) }).locator('select')
const numberIn = text => Number(text.replace(/[^\d.]/g, ''))

/** Waits until something holds. */
async function until(what, holds) {
  const last = Date.now() + PATIENCE
  while (!await holds()) {
    assert(Date.now() < last, `never came: ${what}`)
    await new Promise(later => setTimeout(later, 100))
  }
}

async function steps(name, work) {
  const began = Date.now()
  await work().catch(error => {
    console.error(`failed: ${name}`)
    throw error
  })
  console.log(`ok ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`)
}

async function liveFigures() {
  const now = await page()
  await open(now, 'now')
  await state(now, 'live')
  const soFar = async () => numberIn(await tile(now, 'Requests').locator('.note').innerText())
  const before = await soFar()
  await world.send(60)
  await until('the requests in the tile', async () => await soFar() === before + 60)
  assert.equal(await soFar(), await world.metric('requests_total'))
  const near = async (name, metric) => {
    const [shown, known] = [numberIn(await tile(now, name).locator('.value').innerText()), await world.metric(metric)]
    assert(Math.abs(shown - known) <= known * 0.005, `${name}: ${shown}, but ${metric} is ${known}`)
  }
  await near('Cost so far', 'cost_usd_total')
  await near('Saved', 'saved_usd')
  assert(numberIn(await tile(now, 'Requests').locator('.value').innerText()) > 0)
  assert.match(await tile(now, 'Latency').locator('.value').innerText(), /^[\d.]+ ms$/)
  const rows = region(now, 'Experts').locator('tbody tr')
  const requests = (await rows.locator('td:nth-child(3)').allInnerTexts()).map(numberIn)
  assert.equal(await rows.count(), 3)
  assert(requests.every(count => count > 0), `${requests}`)
  assert(await region(now, 'Domains and experts').locator('tbody tr').count() >= 3)
  const painted = await now.locator('.chart canvas').first().evaluate(canvas =>
    canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(byte => byte > 0))
  assert(painted, 'the chart is empty')
  await now.context().close()
}

async function decisions() {
  const list = await page()
  await open(list, 'decisions')
  const rows = region(list, 'Decisions').locator('tbody tr')
  await rows.first().waitFor()
  const all = await rows.count()
  await filter(list, 'expert').selectOption('coder')
  assert((await rows.locator('td:nth-child(3)').allInnerTexts()).every(name => name === 'coder'))
  assert(await rows.count() < all)
  await filter(list, 'outcome').selectOption('client_error')
  await list.getByText('None fits these filters.').waitFor()
  for (const name of ['expert', 'outcome']) await filter(list, name).selectOption('')

  await list.getByRole('button', { name: 'Pause' }).click()
  const newest = () => rows.first().locator('a').getAttribute('href')
  const before = await newest()
  await world.send(2)
  await list.getByText('paused, 2 more came').waitFor()
  assert.equal(await newest(), before)
  await list.getByRole('button', { name: 'Go on' }).click()
  await until('the decisions after a pause', async () => await newest() !== before)

  await filter(list, 'reason').selectOption('upstream_failure')
  await rows.first().click()
  const attempts = region(list, 'Attempts').locator('tr')
  await attempts.nth(1).waitFor()
  assert.deepEqual(await attempts.locator('td:nth-child(1)').allInnerTexts(), ['coder', 'large'])
  assert.deepEqual(await attempts.locator('.line i').evaluateAll(all => all.map(one => one.getBoundingClientRect().width > 1)), [true, true])
  await list.keyboard.press('Escape')
  await filter(list, 'reason').selectOption('')

  // events tell of some of a flood only: the list is made whole
  await Promise.all(Array.from({ length: 5 }, () => world.send(10)))
  await until('every decision of a flood', async () => numberIn(await list.locator('.beside').innerText()) === await world.metric('requests_total'))

  await list.locator('tbody tr', { hasText: 'clerk' }).first().locator('a').focus()
  const link = await list.evaluate(() => document.activeElement.hash)
  await list.keyboard.press('Enter')
  const dialog = list.getByRole('dialog')
  await dialog.getByRole('heading', { name: '→ clerk' }).waitFor()
  assert.equal(await list.evaluate(() => location.hash), link)
  await dialog.getByRole('heading', { name: 'Words that decided' }).waitFor()
  assert.match(await dialog.innerText(), /clerk[\s\S]*ok 200/)
  await dialog.getByRole('button', { name: 'Good' }).press('Enter')
  await dialog.getByText('Taken').waitFor()
  assert.equal(await world.metric('feedback_score_count'), 1)
  await list.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  assert.equal(await list.evaluate(() => location.hash), '#/decisions')
  assert.equal(await list.evaluate(() => document.activeElement.hash), link)

  await list.goto('about:blank')
  await list.goto(`${world.admin}/ui/${link}`)
  await dialog.getByRole('heading', { name: '→ clerk' }).waitFor()
  await dialog.getByRole('button', { name: 'Close' }).click()
  await dialog.waitFor({ state: 'detached' })
  await list.context().close()

  const old = await page({ outage: true })
  await old.goto(`${world.admin}/ui/#/decisions/long-gone`)
  await old.getByText('no longer remembered').waitFor()
  await old.context().close()
}

async function dryRuns() {
  const tried = await page()
  await open(tried, 'try')
  const cards = tried.locator('.two > .card')
  const chosen = card => card.locator('.outcome strong').innerText()
  await cards.nth(2).locator('.outcome').waitFor()
  await cards.nth(0).locator('.outcome').waitFor()
  assert.deepEqual([await chosen(cards.nth(0)), await chosen(cards.nth(1))], ['clerk', 'large'])
  const slider = tried.getByLabel('tolerance')
  await slider.focus()
  await tried.keyboard.press('Home')
  await until('the fallback at tolerance 0', async () => await cards.nth(2).locator('.outcome').count() && await chosen(cards.nth(2)) === 'large')
  for (let step = 0; step < 30; step += 1) await tried.keyboard.press('ArrowRight')
  await until('the expert at tolerance 0.30', async () => await chosen(cards.nth(2)) === 'clerk')
  assert.equal(await cards.nth(2).locator('h2').innerText(), 'Policy balanced, tolerance 0.30')
  await tried.getByLabel('Prompt').fill('Write a Python function that reverses a list.')
  await until('another prompt, another expert', async () => await chosen(cards.nth(0)) === 'coder')
  await tried.context().close()
}

async function reloads() {
  const configured = await page({ outage: true })
  await open(configured, 'configuration')
  const button = configured.getByRole('button', { name: 'Reload' })
  const said = configured.locator('pre')
  await button.press('Enter')
  await configured.getByText('nothing had changed').waitFor()
  world.write({ tolerance: 0.25 })
  await button.press('Enter')
  await configured.getByText('is running').waitFor()
  await region(configured, 'Policies').getByText('tolerance 0.25').waitFor()
  fs.appendFileSync(world.file, 'routr: {}\n')
  await button.press('Enter')
  await until('the fault in the file', async () => /routr/.test(await said.innerText()) && await said.getAttribute('class') === 'bad')
  world.write()
  await button.press('Enter')
  await region(configured, 'Policies').getByText('tolerance 0.2', { exact: true }).waitFor()
  await configured.getByLabel('path contains').fill('tolerance')
  assert.deepEqual(await region(configured, 'Settings').locator('tbody tr td:nth-child(3)').allInnerTexts(), ['line 4', 'line 4'])
  await configured.context().close()
}

/** Goes through a page with the tabulator alone. */
async function keyboard() {
  const keys = await page()
  for (const place of PAGES) {
    await open(keys, place)
    if (place === 'decisions') await filter(keys, 'outcome').selectOption('client_error')
    if (place === 'configuration') await region(keys, 'Settings').waitFor()
    await keys.evaluate(() => { window.reached = new Set(); document.activeElement.blur() })
    for (let press = 0; press < 300; press += 1) {
      await keys.keyboard.press('Tab')
      const seen = await keys.evaluate(() => {
        const here = document.activeElement
        if (here === document.body || reached.has(here)) return 'all'
        reached.add(here)
        const { outlineStyle, outlineWidth } = getComputedStyle(here)
        return outlineStyle === 'none' || parseFloat(outlineWidth) < 1 ? `${here.outerHTML.slice(0, 100)} shows no focus` : ''
      })
      if (seen === 'all') break
      assert.equal(seen, '')
    }
    const missed = await keys.evaluate(all => [...document.querySelectorAll(all)].filter(one => !reached.has(one)).map(one => one.outerHTML.slice(0, 120)), FOCUSABLE)
    assert.deepEqual(missed, [], `${place}: not reached by the keyboard`)
  }
  await keys.context().close()
}

/** Whether axe finds nothing grave. */
async function accessible(page, what, options = {}) {
  await page.evaluate(AXE)
  const { violations, passes } = await page.evaluate(options => axe.run(options), options)
  assert(passes.some(one => one.id === 'color-contrast'))
  const grave = violations.filter(one => ['serious', 'critical'].includes(one.impact))
  assert.deepEqual(grave.map(one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 120)).slice(0, 3).join(' | ')}`), [], what)
}

/** Accessibility and layout of every page in a scheme, and pictures of them. */
async function looks(scheme) {
  const seen = await page({ colorScheme: scheme, reducedMotion: 'reduce' })
  // all that a scheme changes is colours
  const check = place => accessible(seen, `${place}, ${scheme}`, scheme === 'dark' ? { runOnly: ['color-contrast'] } : {})
  const picture = (name, more) => pictures && seen.screenshot({ path: `${pictures}/${name}.png`, animations: 'disabled', ...more })
  for (const place of PAGES) {
    await open(seen, place)
    if (place === 'now' && pictures) await world.send(100)
    if (place === 'decisions') await seen.locator('tbody tr').first().waitFor()
    if (place === 'try') await seen.locator('.outcome').nth(2).waitFor()
    if (place === 'configuration') await region(seen, 'Settings').waitFor()
    await picture(`${place}-${scheme}`, { fullPage: place === 'now' || place === 'try' })
    // a few rows are as good as many
    if (place === 'decisions') await filter(seen, 'outcome').selectOption('client_error')
    await check(place)
  }
  await open(seen, 'decisions')
  await filter(seen, 'reason').selectOption('upstream_failure')
  await seen.locator('tbody tr').first().click()
  await seen.getByRole('dialog').getByRole('heading', { name: 'Words that decided' }).waitFor()
  await check('a decision')
  await picture(`decision-${scheme}`)
  await seen.keyboard.press('Escape')
  const still = await seen.evaluate(() => document.getAnimations().length)
  assert.equal(still, 0, 'something moves although motion is to be reduced')
  await seen.setViewportSize({ width: 400, height: 850 })
  for (const place of scheme === 'light' || pictures ? PAGES : []) {
    await open(seen, place)
    const width = await seen.evaluate(() => document.documentElement.scrollWidth)
    assert(width <= 400, `${place} is ${width} px wide on a screen of 400`)
    if (place === 'now') await picture(`now-400-${scheme}`, { fullPage: true })
  }
  await seen.context().close()
}

/** Where events do not get through, figures are asked for. */
async function polling() {
  const asked = await page({ outage: true })
  await asked.route('**/api/events', route => route.fulfill({ status: 503, json: { error: { message: 'no events here' } } }))
  await open(asked, 'now')
  await state(asked, 'asking every 2 s')
  const soFar = async () => numberIn(await tile(asked, 'Requests').locator('.note').innerText())
  const before = await soFar()
  await world.send(3)
  await until('requests while polling', async () => await soFar() >= before + 3)
  await asked.context().close()
}

/** The gateway goes, comes back, and then wants a key. */
async function restarts() {
  const stays = await page({ outage: true })
  await open(stays, 'now')
  await state(stays, 'live')
  await world.stop()
  await stays.getByText('No connection:').waitFor()
  await stays.locator('.dot.gone').first().waitFor()
  await world.serve()
  await state(stays, 'live')
  assert.equal(await stays.getByText('No connection:').count(), 0)
  await world.send(5)
  await until('requests after the restart', async () => /\b5 so far/.test(await tile(stays, 'Requests').innerText()))

  await world.stop()
  world.write({ keys: [hashOf(KEY)] })
  await world.serve()
  const field = stays.getByLabel('admin key')
  await field.waitFor()
  await field.fill('another-key-that-is-wrong')
  await field.press('Enter')
  await stays.getByText('The key given is none of them.').waitFor()
  await accessible(stays, 'the form for a key')
  await field.fill(KEY)
  await field.press('Enter')
  await state(stays, 'live')
  await stays.getByRole('link', { name: 'Configuration' }).click()
  await region(stays, 'Settings').waitFor()
  await stays.reload()
  await state(stays, 'live')
  await stays.context().close()
}

try {
  await steps('live figures agree with the metrics', liveFigures)
  await Promise.all([
    steps('decisions: filters, pause, dialog, link', decisions), steps('dry runs flip with the tolerance', dryRuns)])
  await steps('reload tells of success and failure', reloads)
  await steps('the keyboard alone reaches everything', keyboard)
  await Promise.all([
    steps('light', () => looks('light')), steps('dark', () => looks('dark')), steps('polling where events do not come', polling)])
  await steps('restart and admin key', restarts)
  assert.deepEqual(faults, [])
} finally {
  await browser.close()
}
process.exit(0)
