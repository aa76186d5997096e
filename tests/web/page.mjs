// Uses the page in Chromium as people do, by a plan, and writes what it saw.
//
// node page.mjs PLAN FOUND; see `tests.web.browser`.

import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { basename } from "node:path";

const [, , planFile, foundFile] = process.argv;
const plan = JSON.parse(readFileSync(planFile));
const { chromium } = createRequire(`${plan.tools}/`)("playwright-core");
// The first line is what Chromium needs as root in a container; the others keep it from calling home.
const ARGS = [
  ...["--no-sandbox", "--disable-gpu"],
  ...["--disable-quic", "--no-first-run", "--disable-background-networking"],
  ...["--disable-component-update", "--disable-sync"],
];
const launch = (...args) =>
  chromium.launch({ executablePath: plan.chromium, args: [...ARGS, ...args] });
const found = { outside: [], pageErrors: [] };

/** A new browser's page, whose events are in `window.events`. */
async function visit(browser, options = {}, prepare = () => {}, url = plan.url) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.on("request", (request) => {
    if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(url)) {
      found.outside.push(request.url());
    }
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => found.pageErrors.push(error.message));
  await page.addInitScript(() => {
    globalThis.events = [];
    for (const kind of ["opened", "shown", "failed", "kept"]) {
      document.addEventListener(kind, ({ detail }) => events.push({ kind, detail }));
    }
  });
  await prepare(page, context);
  await page.goto(url);
  return page;
}

/** Waits for an event of one of these kinds, does away with those before it, and returns it. */
async function next(page, ...kinds) {
  const handle = await page.waitForFunction(
    (wanted) => events.findIndex(({ kind }) => wanted.includes(kind)) + 1,
    kinds,
    { timeout: 30_000 },
  );
  const count = await handle.jsonValue();
  return page.evaluate((count) => {
    const event = events.splice(0, count).at(-1);
    const plain = (value) => (ArrayBuffer.isView(value) ? [...value] : value);
    if (event.kind !== "shown") return event;
    const { image, values, outputs, ms } = event.detail;
    return {
      kind: "shown",
      size: [image.height, image.width, image.channels],
      image: plain(image.data),
      values: plain(values),
      outputs: outputs.map(plain),
      ms,
      text: document.querySelector(".answer").innerText,
    };
  }, count);
}

/** Drops a file or a folder, as from another program. */
async function drop(page, path) {
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files: [path], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) {
    await devtools.send("Input.dispatchDragEvent", { type, x: 200, y: 200, data });
  }
  await devtools.detach();
}

async function paste(page, path) {
  const data = readFileSync(path).toString("base64");
  await page.evaluate(
    ([name, data]) => {
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], name));
      dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer }));
    },
    [basename(path), data],
  );
}

async function classified(page, path) {
  await drop(page, path);
  return next(page, "shown", "failed");
}

async function answers(page) {
  found.opened = [await next(page, "opened", "failed")];
  found.isolated = await page.evaluate(() => crossOriginIsolated);
  found.menu = await page.$$eval("#files option", (options) => options.map((o) => o.textContent));
  found.recipes = {};
  for (const recipe of found.menu) {
    await page.selectOption("#files", { label: recipe });
    found.opened.push(await next(page, "opened", "failed"));
    if (found.opened.length > 2) await next(page, "shown"); // the picture of before
    found.recipes[recipe] = {};
    for (const path of plan.pictures) {
      found.recipes[recipe][basename(path)] = await classified(page, path);
    }
  }
}

async function kinds(page) {
  await page.selectOption("#files", { label: "float32" });
  await next(page, "shown");
  found.kinds = {};
  for (const path of plan.kinds) found.kinds[basename(path)] = await classified(page, path);
  await paste(page, plan.pictures[0]);
  found.pasted = await next(page, "shown", "failed");
  await page.setInputFiles("#picture", plan.pictures[0]);
  found.chosen = await next(page, "shown", "failed");
}

async function otherFiles(page) {
  found.models = {};
  for (const path of plan.models) {
    await drop(page, path);
    let event = await next(page, "opened", "failed");
    if (event.kind === "opened") event = await classified(page, plan.pictures[0]);
    else event.alert = await page.innerText('[role="alert"]');
    found.models[basename(path)] = event;
  }
}

async function folders(page) {
  await drop(page, plan.folders.without);
  found.emptyFolder = await next(page, "opened", "failed");
  await drop(page, plan.folders.with);
  found.folder = await next(page, "opened", "failed");
}

async function camera(browser, granted) {
  const page = await visit(browser, granted ? { permissions: ["camera"] } : {});
  await next(page, "opened");
  await page.click("#camera");
  const event = await next(page, "shown", "failed");
  if (event.kind === "shown") {
    await next(page, "shown");
    await page.click("#camera");
    await page.waitForFunction(() => !document.getElementById("video").srcObject);
  }
  await page.context().close();
  return event;
}

async function failing(browser, prepare) {
  const page = await visit(browser, {}, prepare);
  const event = await next(page, "opened", "failed");
  await page.context().close();
  return event;
}

async function phone(browser) {
  const page = await visit(browser, { viewport: { width: 390, height: 844 }, colorScheme: "dark" });
  await next(page, "opened");
  await drop(page, plan.pictures[0]);
  await next(page, "shown");
  found.phone = await page.evaluate(() => ({
    width: document.documentElement.scrollWidth,
    small: [...document.querySelectorAll("button, select, .button")]
      .map((element) => element.getBoundingClientRect().height)
      .filter((height) => height < 44).length,
    unnamed: [...document.querySelectorAll("input, select, button")].filter(
      (element) => !element.textContent.trim() && !element.labels?.[0]?.textContent.trim(),
    ).length,
  }));
  await page.context().close();
}

async function staticSite(browser) {
  const page = await visit(browser, {}, () => {}, plan.site);
  const opened = await next(page, "opened", "failed");
  const answer = await classified(page, plan.pictures[0]);
  found.static = { opened, answer, about: await page.innerText("#about") };
  await page.context().close();
}

/** Loads the page, has the server stopped, and loads it again. */
async function offline(browser) {
  const page = await visit(browser);
  await next(page, "kept");
  await stopped();
  await page.context().setOffline(true); // connections that are open would be answered
  await page.reload();
  const opened = await next(page, "opened", "failed");
  const answer = await classified(page, plan.pictures[0]);
  await page.selectOption("#files", { label: "int8" });
  return { opened, answer, other: await next(page, "opened", "failed") };
}

function stopped() {
  console.log("stop");
  return new Promise((resolve) => createInterface({ input: process.stdin }).once("line", resolve));
}

async function screenshot(page, path) {
  await page.screenshot({ path });
}

const browser = await launch("--use-fake-device-for-media-stream");
if (plan.screenshot) {
  const page = await visit(browser, { viewport: { width: 900, height: 600 } });
  await next(page, "opened");
  await classified(page, plan.pictures[0]);
  await next(page, "kept").catch(() => {});
  await screenshot(page, plan.screenshot);
} else if (plan.answers) {
  await answers(await visit(browser));
} else {
  const page = await visit(browser);
  await answers(page);
  await kinds(page);
  await otherFiles(page);
  await folders(page);
  await phone(browser);
  await staticSite(browser);
  found.camera = await camera(browser, true);
  found.denied = await camera(browser, false);
  found.noWebAssembly = await failing(browser, (page) =>
    page.addInitScript(() => delete globalThis.WebAssembly),
  );
  found.noModels = await failing(browser, (page) =>
    page.route("**/files.json", (route) => route.fulfill({ json: [] })),
  );
  found.noRuntime = await failing(browser, (page) =>
    page.route("**/litert/**", (route) => route.fulfill({ status: 404 })),
  );
  const without = await launch();
  found.noCamera = await camera(without, true);
  await without.close();
  found.offline = await offline(browser).catch(({ message }) => ({ opened: { kind: message } }));
}
await browser.close();
writeFileSync(foundFile, JSON.stringify(found));
process.exit();
