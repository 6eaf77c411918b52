// Screenshots of a status page: node shot.mjs URL DIRECTORY [CHROMIUM]
// Both schemes at the width of a desk, and the width of a phone.
import { chromium } from 'playwright-core';

const [url, directory, executablePath = '/usr/bin/chromium'] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--no-zygote', '--disable-dev-shm-usage'], timeout: 120_000 });
for (const colorScheme of ['light', 'dark']) {
  for (const [name, width] of [['desk', 1120], ['phone', 320]]) {
    const context = await browser.newContext({ colorScheme, viewport: { width, height: 800 } });
    const page = await context.newPage();
    await page.goto(url);
    await page.screenshot({ path: `${directory}/${name}-${colorScheme}.png`, fullPage: true });
    await context.close();
  }
}
await browser.close();
