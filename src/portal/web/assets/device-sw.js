// The service worker: a push says that something is asked, this asks the server what, and shows it.
"use strict";
importScripts("/assets/device-lib.js");

const shown = async () => {
  const records = await self.radmfaDevice.all();
  for (const record of records) {
    const words = record.words || {};
    let body = words.body || "";
    try {
      const { status, said } = await self.radmfaDevice.questions(record);
      const question = status === 200 && said.questions[0];
      if (question) { body = [question.user, question.client, question.station].filter(Boolean).join(" · "); }
      else if (records.length > 1) { continue; }
    } catch { /* Without a word from the server the notification says less; opening it asks again. */ }
    await self.registration.showNotification(words.title || "radmfa", {
      body, tag: "radmfa-login", renotify: true, requireInteraction: true,
    });
    return;
  }
  // A browser insists on something being shown for each push.
  await self.registration.showNotification("radmfa", { tag: "radmfa-login" });
};

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => event.waitUntil(shown()));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil((async () => {
    const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const open = pages.find((page) => new URL(page.url).pathname === "/device");
    if (open) {
      open.postMessage("asked");
      return open.focus();
    }
    return self.clients.openWindow("/device");
  })());
});
