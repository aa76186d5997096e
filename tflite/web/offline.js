// The service worker: whatever the page has loaded is there when the server is not. The server comes
// first, so that a new page or model is seen as soon as it is there.

const KEPT = "keras-mixer";

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

addEventListener("message", (event) => {
  const [done] = event.ports;
  event.waitUntil(keep(event.data).then(() => done.postMessage("kept")));
});

addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && new URL(request.url).origin === location.origin) {
    event.respondWith(answer(event, request));
  }
});

async function keep(urls) {
  const cache = await caches.open(KEPT);
  const ours = new Set(urls.filter((url) => url.startsWith(location.origin)));
  await Promise.all(
    [...ours].map(async (url) => {
      if (!(await cache.match(url))) await cache.add(url);
    }),
  );
}

async function answer(event, request) {
  const cache = await caches.open(KEPT);
  try {
    const response = await fetch(request);
    if (response.status === 200) {
      const kept = cache.put(request, response.clone());
      event.waitUntil(kept.catch(() => {})); // the disk is full: the page still works online
    }
    return response;
  } catch (error) {
    const kept = await cache.match(request, { ignoreVary: true });
    if (kept) return kept;
    throw error;
  }
}
