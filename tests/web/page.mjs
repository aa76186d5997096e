// Uses the page in Chromium as people do, by a plan, and writes what it saw.
//
// node page.mjs PLAN FOUND; see `tests.web.browser`.

import { copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
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
    if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(url.split("#")[0])) {
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

/** What a page says that `prepare` keeps from something. */
async function failing(browser, prepare, url) {
  const page = await visit(browser, {}, prepare, url);
  const event = await next(page, "opened", "failed");
  if (event.kind === "failed") event.alert = await page.innerText('[role="alert"]');
  await page.context().close();
  return event;
}

/** Whether something becomes so, soon. */
const becomes = (page, so) =>
  page.waitForFunction(so, null, { timeout: 5000 }).then(
    () => true,
    () => false,
  );
const released = () =>
  streams.length > 0 &&
  streams.flatMap((s) => s.getTracks()).every((t) => t.readyState === "ended");

/** The camera, stopped and overtaken while the browser asks, and while it starts. */
async function cameraInTime(browser) {
  const page = await visit(browser, { permissions: ["camera"] }, (page) =>
    page.addInitScript(() => {
      const ask = MediaDevices.prototype.getUserMedia;
      const { play } = HTMLMediaElement.prototype;
      const decode = createImageBitmap;
      const create = Document.prototype.createElement;
      const gate = () => {
        let open;
        const opened = new Promise((resolve) => (open = resolve));
        return { open, opened };
      };
      Object.assign(globalThis, { streams: [], canvases: 0, stopInPlay: false, gate });
      globalThis.prompt = gate();
      globalThis.decoder = gate();
      MediaDevices.prototype.getUserMedia = async function (wanted) {
        await globalThis.prompt.opened;
        const stream = await ask.call(this, wanted);
        streams.push(stream);
        return stream;
      };
      HTMLMediaElement.prototype.play = function () {
        const playing = play.call(this);
        if (stopInPlay) document.getElementById("camera").click();
        return playing;
      };
      globalThis.createImageBitmap = async (...options) => {
        await decoder.opened;
        return decode(...options);
      };
      Document.prototype.createElement = function (tag) {
        canvases += tag === "canvas";
        return create.call(this, tag);
      };
    }),
  );
  const state = () =>
    page.evaluate(() => ({
      button: document.getElementById("camera").textContent,
      visible: ["video", "preview", "hint"].filter((id) => !document.getElementById(id).hidden),
      failed: events.filter(({ kind }) => kind === "failed").map(({ detail }) => detail),
    }));
  const asking = () =>
    page.evaluate(() => {
      globalThis.prompt = gate();
      streams = [];
      events = [];
    });
  const granted = () => page.evaluate(() => globalThis.prompt.open());
  const seen = (found.cameraInTime = {});
  await next(page, "opened");

  await page.click("#camera"); // and again before the browser has asked
  await page.click("#camera");
  await granted();
  seen.twice = { released: await becomes(page, released), ...(await state()) };

  await asking();
  await page.click("#camera");
  await drop(page, plan.pictures[0]);
  await granted();
  await next(page, "shown");
  seen.picture = { released: await becomes(page, released), ...(await state()) };

  await asking();
  await granted();
  await page.evaluate(() => (stopInPlay = true));
  await page.click("#camera");
  seen.play = { released: await becomes(page, released), ...(await state()) };

  await asking();
  await granted();
  await page.evaluate(() => (stopInPlay = false));
  await drop(page, plan.pictures[2]);
  await page.click("#camera");
  await becomes(page, () => document.getElementById("video").videoWidth);
  await page.evaluate(() => decoder.open());
  await next(page, "shown");
  seen.still = await state();
  for (let frames = 0; frames < 3; frames++) await next(page, "shown");
  seen.canvases = await page.evaluate(() => canvases);
  await page.context().close();
}

/** Models that failed, and are opened again by the next picture. */
async function again(browser) {
  const page = await visit(browser, { serviceWorkers: "block" }, (page) =>
    page.addInitScript(() => {
      const { arrayBuffer } = Response.prototype;
      Object.assign(globalThis, { answers: [], workers: 0 });
      globalThis.Worker = class extends Worker {
        constructor(...options) {
          super(...options);
          workers++;
        }
        terminate() {
          workers--;
          super.terminate();
        }
      };
      Response.prototype.arrayBuffer = async function () {
        const buffer = await arrayBuffer.call(this);
        if (this.url.includes(".tflite")) answers.push(new WeakRef(buffer));
        return buffer;
      };
    }),
  );
  const seen = (found.again = {});
  await next(page, "opened");
  seen.live = await page.$$eval('[role="status"]', (all) =>
    all.filter((each) => each.checkVisibility()).map(({ id }) => id),
  );
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("HeapProfiler.collectGarbage");
  seen.bytes = await page.evaluate(() => answers.map((answer) => answer.deref()?.byteLength ?? 0));

  await page.route("**/model/model_int8*", (route) => route.abort());
  await page.selectOption("#files", { label: "int8" });
  seen.unloaded = await next(page, "opened", "failed");
  await page.unroute("**/model/model_int8*");
  seen.loaded = await classified(page, plan.pictures[0]);
  seen.about = await page.innerText("#about");

  await page.evaluate(async () => {
    const { getGlobalLiteRt } = await import("@litertjs/core");
    getGlobalLiteRt().liteRtWasm.HEAPU8.fill(0);
  });
  seen.crashed = await classified(page, plan.pictures[0]);
  seen.afterwards = await classified(page, plan.pictures[0]);

  seen.threads = [await page.evaluate(() => workers)];
  const refused = plan.models.find((path) => path.endsWith("unknown_op.tflite"));
  for (let i = 0; i < 3; i++) {
    await drop(page, refused);
    seen.refused = await next(page, "opened", "failed");
  }
  await page.selectOption("#files", { label: "int8" });
  await next(page, "opened", "failed");
  seen.threads.push(await page.evaluate(() => workers));

  const mine = `${planFile}.tflite`;
  const [good, other] = ["logits", "grey"].map((name) =>
    plan.models.find((path) => path.endsWith(`/${name}.tflite`)),
  );
  copyFileSync(good, mine);
  await page.setInputFiles("#open", mine);
  seen.opened = await next(page, "opened", "failed");
  seen.value = await page.inputValue("#open");
  copyFileSync(other, mine);
  await page.selectOption("#files", { label: "int8" });
  await next(page, "opened", "failed");
  await page.selectOption("#files", { label: basename(mine) });
  seen.changed = await next(page, "failed");
  await page.context().close();
}

/** A large photograph where canvases are limited as on iOS: what is beyond is empty. */
async function photograph(browser) {
  const page = await visit(browser, {}, (page) =>
    page.addInitScript(() => {
      const { getImageData } = CanvasRenderingContext2D.prototype;
      CanvasRenderingContext2D.prototype.getImageData = function (...area) {
        const { width, height } = this.canvas;
        if (width * height > 2 ** 24) return new ImageData(area[2], area[3]);
        return getImageData.apply(this, area);
      };
    }),
  );
  await next(page, "opened");
  found.photograph = await classified(page, plan.photograph);
  await page.context().close();
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

/** A page of static files without a list of models. */
async function withoutList(browser) {
  const list = `${plan.siteFolder}/model/files.json`;
  renameSync(list, `${list}.not`);
  const page = await visit(browser, {}, () => {}, plan.site);
  const [failed, kept] = [await next(page, "failed"), await next(page, "kept").catch(() => null)];
  found.withoutList = { ...failed, kept: Boolean(kept) };
  await page.context().close();
  renameSync(`${list}.not`, list);
}

/** Loads the page, has the server stopped, and loads it again. */
async function offline(browser) {
  const page = await visit(browser);
  await next(page, "kept");
  found.worker = await serviceWorker(page);
  const replaced = `${plan.folders.with}/replaced.tflite`;
  for (const name of ["logits", "grey"]) {
    copyFileSync(
      plan.models.find((path) => path.endsWith(`/${name}.tflite`)),
      replaced,
    );
    await page.reload();
    await next(page, "opened");
    if (name !== "logits") continue; // the second one is listed, and not used
    await page.selectOption("#files", { label: "replaced.tflite" });
    await next(page, "opened");
    await page.selectOption("#files", { label: "dynamic_int8" });
    await next(page, "opened");
  }
  await stopped();
  rmSync(replaced);
  await page.context().setOffline(true); // connections that are open would be answered
  await page.reload();
  const opened = await next(page, "opened", "failed");
  const answer = await classified(page, plan.pictures[0]);
  await page.selectOption("#files", { label: "int8" });
  const other = await next(page, "opened", "failed");
  await page.selectOption("#files", { label: "replaced.tflite" });
  return { opened, answer, other, replaced: await next(page, "opened", "failed") };
}

/** What the service worker keeps and may ask, and the page without its storage. */
async function serviceWorker(page) {
  const [worker] = page.context().serviceWorkers();
  const asked = await page.evaluate(async () => {
    const statuses = [];
    for (const path of ["package.json", "show.js"]) statuses.push((await fetch(path)).status);
    return statuses;
  });
  const kept = await worker.evaluate(async () => {
    const cache = await caches.open("keras-mixer");
    return (await cache.keys()).map(({ url }) => new URL(url).pathname);
  });
  const outside = await worker.evaluate(
    (url) =>
      fetch(url).then(
        () => "answered",
        () => "refused",
      ),
    plan.site,
  );
  await worker.evaluate(() => {
    globalThis.open = CacheStorage.prototype.open;
    CacheStorage.prototype.open = () => Promise.reject(new Error("The storage is broken."));
  });
  const broken = await page.evaluate(() =>
    fetch("show.js").then(
      ({ status }) => status,
      ({ message }) => message,
    ),
  );
  await worker.evaluate(() => (CacheStorage.prototype.open = open));
  return { asked, kept, outside, broken };
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
  found.noWasmFiles = await failing(browser, (page) =>
    page.route("**/litert/core/wasm/**", (route) => route.fulfill({ status: 404 })),
  );
  found.noList = await failing(browser, (page) =>
    page.route("**/files.json", (route) =>
      route.fulfill({ path: `${plan.siteFolder}/index.html` }),
    ),
  );
  found.badHash = await failing(browser, () => {}, `${plan.url}#100%`);
  await cameraInTime(browser);
  await again(browser);
  await photograph(browser);
  await withoutList(browser);
  const without = await launch();
  found.noCamera = await camera(without, true);
  await without.close();
  found.offline = await offline(browser).catch(({ message }) => ({ opened: { kind: message } }));
}
await browser.close();
writeFileSync(foundFile, JSON.stringify(found));
process.exit();
