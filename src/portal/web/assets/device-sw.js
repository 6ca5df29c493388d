// The service worker: a push says that something is asked, this asks the server what, and shows it.
"use strict";
importScripts("/assets/device-lib.js");

// A phone that was just woken may have no network for a moment: so many milliseconds before each time that the server is asked.
const PAUSES = [0, 500, 1000, 2000, 4000, 8000];
const TAG = "radmfa-login";

const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

// What is asked of a record's owner; null: nothing; undefined: the server did not say.
const asked = async (record) => {
  try {
    const { status, said } = await self.radmfaDevice.questions(record);
    if (status === 200) { return said.questions[0] || null; }
    return status === 429 || status >= 500 ? undefined : null;
  } catch { return undefined; }
};

const pages = () => self.clients.matchAll({ type: "window", includeUncontrolled: true });

// Shows it, and has pages that are open look at once.
const notify = async (words, body = "", renotify = true) => {
  await self.registration.showNotification(words.title || "radmfa", { body, tag: TAG, renotify, requireInteraction: true });
  (await pages()).forEach((page) => page.postMessage({ shown: body }));
};

const shown = async () => {
  const records = await self.radmfaDevice.all();
  const own = (records[0] && records[0].words) || {};
  // Without a word from the server the notification says less, at once, and more as soon as that is known. A browser insists on something
  // being shown for each push.
  let told = false;
  for (const milliseconds of PAUSES) {
    await pause(milliseconds);
    const found = await Promise.all(records.map(asked));
    const place = found.findIndex(Boolean);
    if (place >= 0) {
      const { user, client, station } = found[place];
      await notify(records[place].words || {}, [user, client, station].filter(Boolean).join(" · "), !told);
      return;
    }
    if (!told) { await notify(own, own.body); }
    told = true;
    if (found.every((question) => question === null)) { return; }
  }
};

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => event.waitUntil(shown()));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil((async () => {
    const open = (await pages()).find((page) => new URL(page.url).pathname === "/device");
    if (open) {
      open.postMessage({ clicked: TAG });
      return open.focus();
    }
    return self.clients.openWindow("/device");
  })());
});
