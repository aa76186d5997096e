// The service worker: whatever the page has loaded is there when the server is not. The server comes
// first, so that a new page or model is seen as soon as it is there.

const KEPT = "keras-mixer";
const FOLDER = new URL("model/", registration.scope).href;
const LIST = `${FOLDER}files.json`;
// Another program may be served at this address later: its files are left alone.
const OURS =
  /^(|index\.html|[\w-]+\.(js|css|svg)|model\/(files\.json|[^/]+\.tflite)|litert\/[\w-]+\/(dist|wasm)\/[\w.-]+)$/i;

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

addEventListener("message", (event) => {
  const [done] = event.ports;
  event.waitUntil(keepAll(event.data).then(() => done.postMessage("kept")));
});

addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && isOurs(request.url)) event.respondWith(answer(event, request));
});

function isOurs(url) {
  const { scope } = registration;
  return url.startsWith(scope) && OURS.test(url.slice(scope.length).split(/[?#]/)[0]);
}

async function keepAll(urls) {
  const cache = await caches.open(KEPT);
  await Promise.all(
    [...new Set(urls.filter(isOurs))].map(async (url) => {
      if (!(await cache.match(url))) await keep(url, await fetch(url));
    }),
  );
}

async function answer(event, request) {
  try {
    const response = await fetch(request);
    const kept = keep(request.url, response.clone());
    event.waitUntil(kept.catch(() => {})); // the disk is full: the page still works online
    return response;
  } catch (error) {
    const kept = await caches.match(request, { cacheName: KEPT, ignoreVary: true });
    if (kept) return kept;
    throw error;
  }
}

/** Keeps an answer. A list of models does away with those that are not in it. */
async function keep(url, response) {
  if (response.status !== 200) return;
  const cache = await caches.open(KEPT);
  if (url === LIST) {
    const listed = (await response.clone().json()).map((address) => new URL(address, LIST).href);
    const kept = (await cache.keys()).filter((each) => each.url.startsWith(FOLDER));
    const old = kept.filter((each) => ![LIST, ...listed].includes(each.url));
    await Promise.all(old.map((each) => cache.delete(each)));
  }
  await cache.put(url, response);
}
