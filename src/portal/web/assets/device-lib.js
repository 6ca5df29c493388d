// What the device's pages and its service worker share: the key of this browser, and what is asked of the server with it.
// The key is made here and cannot be taken out (WebCrypto, not extractable); the server knows its public half.
"use strict";
self.radmfaDevice = (() => {
  const STORE = "device";
  const encoder = new TextEncoder();

  const opened = () => new Promise((resolve, reject) => {
    const request = indexedDB.open("radmfa", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "device" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

  const withStore = async (mode, work) => {
    const database = await opened();
    try {
      return await new Promise((resolve, reject) => {
        const transaction = database.transaction(STORE, mode);
        const request = work(transaction.objectStore(STORE));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onerror = () => reject(transaction.error);
        transaction.onabort = () => reject(transaction.error);
      });
    } finally {
      database.close();
    }
  };

  const all = () => withStore("readonly", (store) => store.getAll());
  const keep = (record) => withStore("readwrite", (store) => store.put(record));
  const forget = (device) => withStore("readwrite", (store) => store.delete(device));

  const base64url = (octets) =>
    btoa(String.fromCharCode(...new Uint8Array(octets))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  const fromBase64url = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (character) => character.charCodeAt(0));

  const makeKey = () => crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);

  const publicOf = async (pair) => base64url(await crypto.subtle.exportKey("raw", pair.publicKey));

  const sign = async (pair, lines) => {
    const algorithm = { name: "ECDSA", hash: "SHA-256" };
    return base64url(await crypto.subtle.sign(algorithm, pair.privateKey, encoder.encode(lines.join("\n"))));
  };

  // A request that nobody answers is given up: so many milliseconds for a look, and for an answer, which may wait for its login's end.
  const LOOK = 10000;
  const ANSWER = 30000;
  const within = (milliseconds) => (AbortSignal.timeout ? AbortSignal.timeout(milliseconds) : undefined);

  const post = async (path, body, patience) => {
    const response = await fetch(path, {
      method: "POST",
      signal: within(patience),
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    });
    const text = await response.text();
    let said = {};
    try { said = text ? JSON.parse(text) : {}; } catch { /* Not ours: the status says enough. */ }
    return { status: response.status, said };
  };

  // Signatures are good for a minute, by the server's clock: the phone's own may be wrong.
  const about = async () => {
    const response = await fetch("/device/api/about", {
      signal: within(LOOK), credentials: "omit", cache: "no-store", redirect: "error",
    });
    if (!response.ok) { throw new Error("status " + response.status); }
    return response.json();
  };

  const questions = async (record) => {
    const time = String((await about()).now);
    const { user, device } = record;
    const signature = await sign(record.pair, ["radmfa questions", user, device, time]);
    return post("/device/api/questions", { user, device, time, signature }, LOOK);
  };

  const answer = async (record, id, verdict, number) => {
    const time = String((await about()).now);
    const { user, device } = record;
    const lines = ["radmfa answer", user, device, id, verdict, number, time];
    const signature = await sign(record.pair, lines);
    return post("/device/api/answer", { user, device, id, verdict, number, time, signature }, ANSWER);
  };

  // `ready` is for pages within the worker's scope, and the page that enrols need not be one.
  const active = (registration) => new Promise((resolve, reject) => {
    const worker = registration.installing || registration.waiting || registration.active;
    const look = () => {
      if (worker.state === "activated") { resolve(); }
      if (worker.state === "redundant") { reject(new Error("no-worker")); }
    };
    worker.addEventListener("statechange", look);
    look();
  });

  const subscribed = async (registration, key) => {
    const wanted = fromBase64url(key);
    const before = await registration.pushManager.getSubscription();
    if (before) {
      const same = before.options.applicationServerKey &&
        base64url(before.options.applicationServerKey) === base64url(wanted);
      if (same) { return before; }
      await before.unsubscribe();
    }
    return registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: wanted });
  };

  // Makes this browser a device of whoever was given `secret`: a key, a subscription, and the server's word on it.
  const register = async (secret, name, words) => {
    const { key } = await about();
    if (!key) { throw new Error("no-channel"); }
    const worker = await navigator.serviceWorker.register("/device/sw.js", { scope: "/device" });
    if (await Notification.requestPermission() !== "granted") { throw new Error("not-permitted"); }
    await active(worker);
    const subscription = (await subscribed(worker, key)).toJSON();
    const pair = await makeKey();
    const own = await publicOf(pair);
    const endpoint = subscription.endpoint;
    const signature = await sign(pair, ["radmfa register", secret, own, endpoint]);
    const { p256dh, auth } = subscription.keys;
    const asked = { secret, name, key: own, endpoint, p256dh, auth, signature };
    const { status, said } = await post("/device/api/register", asked, ANSWER);
    if (status !== 200) { throw new Error(said.error || "status " + status); }
    await keep({ device: said.device, user: said.user, name: said.name, pair, words });
    return said;
  };

  return { all, keep, forget, questions, answer, register, about };
})();
