// Looks at a status page with a real browser, as its readers do: node page.mjs URL DIRECTORY PID
// Exits with 1 and says what is wrong. Leaves screenshots in DIRECTORY, and ends the bearerd PID to see what the page says then.
import { chromium } from 'playwright-core';
import assert from 'node:assert/strict';

const [url, directory, pid] = process.argv.slice(2);
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const args = ['--no-sandbox', '--disable-gpu', '--no-zygote', '--disable-dev-shm-usage'];
const browser = await chromium.launch({ executablePath, args, timeout: 120_000 });

/** A page whose complaints and requests are kept. */
async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const seen = { errors: [], urls: [] };
  page.on('console', (message) => message.type() === 'error' && seen.errors.push(message.text()));
  page.on('pageerror', (error) => seen.errors.push(String(error)));
  page.on('request', (request) => request.url().startsWith('data:') || seen.urls.push(request.url()));
  await page.goto(url);
  return { context, page, seen };
}

/** The texts whose contrast with what lies behind them is less than 4.5 (WCAG 2.2, 1.4.3). */
function faint() {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const part = (value) => ((value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) return colour;
    }
    return [255, 255, 255, 255];
  };
  const texts = [...document.querySelectorAll('body *')].filter(
    (element) => !['SCRIPT', 'STYLE'].includes(element.tagName) && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()),
  );
  const ratio = (element) => {
    const pair = [light(rgba(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
  };
  const found = texts.map((element) => [element.textContent.trim().slice(0, 30), Math.round(ratio(element) * 100) / 100]);
  return { looked: found.length, faint: found.filter(([, contrast]) => contrast < 4.5) };
}

const origin = new URL(url).origin;

// Both schemes, a desk and a phone: nothing foreign, no complaint, no scrolling sideways, enough contrast.
const papers = new Set();
for (const colorScheme of ['light', 'dark']) {
  for (const [name, width] of [['desk', 1120], ['phone', 320]]) {
    const { context, page, seen } = await open({ colorScheme, viewport: { width, height: 800 } });
    await page.locator('#live', { hasText: 'Live' }).waitFor();
    const scroll = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(scroll <= width, `${name} ${colorScheme}: ${scroll} wide`);
    const contrast = await page.evaluate(faint);
    assert.ok(contrast.looked > 20, 'texts were looked at');
    assert.deepEqual(contrast.faint, [], `${name} ${colorScheme}`);
    papers.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
    await page.screenshot({ path: `${directory}/${name}-${colorScheme}.png`, fullPage: true });
    assert.deepEqual(seen.errors, []);
    assert.ok(seen.urls.every((one) => one.startsWith(`${origin}/`)), seen.urls.join(' '));
    await context.close();
  }
}
assert.equal(papers.size, 2, 'two schemes');

// Without the script it loads itself again.
{
  const { context, page, seen } = await open({ javaScriptEnabled: false });
  assert.match(await page.locator('#credentials').innerText(), /Renewal/);
  await page.waitForEvent('load', { timeout: 20_000 });
  assert.ok(seen.urls.filter((one) => one === url).length >= 2, seen.urls.join(' '));
  await context.close();
}

// With it, what changes is put in place: the same nodes, what is open stays open, focus and scrolling as they were.
{
  const { context, page, seen } = await open({ viewport: { width: 320, height: 400 } });
  await page.evaluate(() => {
    window.kept = document.querySelectorAll('.figures dd')[3];
    window.scrollTo(0, 300);
  });
  const up = () => page.locator('.figures dd').nth(3).innerText();
  const before = await up();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'pause', 'the first stop of the keyboard');
  await page.evaluate(() => window.scrollTo(0, 300));
  await page.waitForFunction((text) => document.querySelectorAll('.figures dd')[3].innerText !== text, before, { timeout: 15_000 });
  assert.equal(await page.evaluate(() => document.activeElement.id), 'pause');
  assert.equal(await page.evaluate(() => window.scrollY), 300);
  assert.ok(await page.evaluate(() => window.kept.isConnected), 'the node is the same, with other text');
  assert.ok(seen.urls.length >= 2 && seen.urls.every((one) => one.startsWith(origin)), seen.urls.join(' '));
  // Pausing holds it.
  await page.keyboard.press('Enter');
  await page.locator('#live', { hasText: 'Paused' }).waitFor();
  await page.keyboard.press('Enter');
  await page.locator('#live', { hasText: 'Live' }).waitFor();
  assert.deepEqual(seen.errors, []);
  // And when nobody answers any more, it says so.
  process.kill(Number(pid), 'SIGTERM');
  await page.locator('#lost', { hasText: 'cannot be reached' }).waitFor({ timeout: 30_000 });
  assert.equal(await page.locator('#lost').getAttribute('role'), 'alert');
  await context.close();
}

await browser.close();
console.log('the status page is well');
