// The page that asks: what is waiting for this device, and its owner's answer.
"use strict";
(() => {
  const page = document.getElementById("device");
  if (!page) { return; }
  const status = document.getElementById("device-status");
  const list = document.getElementById("device-questions");
  const pattern = document.getElementById("device-question");
  const words = page.dataset;
  const say = (text) => { status.textContent = text; };
  let shownIds = "";

  const word = (code) => ({
    "answer-late": words.late,
    "device-not-active": words.inactive,
    "forbidden": words.unknown,
  })[code] || words.failed;

  // What an approval came to that let nobody in.
  const fate = (reason) => ({ "number-wrong": words.wrong, "device-not-active": words.inactive })[reason] || words.refused;

  const answer = async (record, question, verdict, number, item) => {
    item.querySelectorAll("button, input").forEach((control) => { control.disabled = true; });
    try {
      const { status: code, said } = await self.radmfaDevice.answer(record, question.id, verdict, number);
      item.remove();
      const taken = words[verdict === "approve" ? "sent" : verdict === "deny" ? "denied" : "reported"];
      say(code === 204 ? taken : code === 200 ? fate(said.fate) : word(said.error));
    } catch {
      item.querySelectorAll("button, input").forEach((control) => { control.disabled = false; });
      say(words.failed);
    }
    status.focus();
  };

  const draw = (record, question) => {
    const item = pattern.content.firstElementChild.cloneNode(true);
    const put = (field, text) => {
      const place = item.querySelector(`[data-field="${field}"]`);
      if (!text) { place.closest("[data-row]").remove(); } else { place.textContent = text; }
    };
    put("user", question.user);
    put("client", question.client);
    put("station", question.station);
    put("time", new Date(question.asked * 1000).toLocaleTimeString(document.documentElement.lang));
    const form = item.querySelector("form");
    const typed = item.querySelector('[data-match="type"]');
    const chosen = item.querySelector('[data-match="choose"]');
    const approve = item.querySelector('[data-verdict="approve"]');
    const onward = item.querySelector('[data-match="passkey"]');
    if (question.page) {
      // A passkey is asked for on a page of its own.
      onward.href = question.page;
      [typed, chosen, approve].forEach((control) => control.remove());
    } else { onward.remove(); }
    if (question.match !== "type") { typed.remove(); }
    if (question.match === "choose" && !question.page) {
      approve.remove();
      question.choices.forEach((number) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = String(number);
        button.addEventListener("click", () => answer(record, question, "approve", String(number), item));
        chosen.append(button);
      });
    } else { chosen.remove(); }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (question.match === "choose" || question.page) { return; }
      const number = question.match === "type" ? item.querySelector("input").value.trim() : "";
      answer(record, question, "approve", number, item);
    });
    for (const verdict of ["deny", "fraud"]) {
      item.querySelector(`[data-verdict="${verdict}"]`)
        .addEventListener("click", () => answer(record, question, verdict, "", item));
    }
    return item;
  };

  const look = async () => {
    const records = await self.radmfaDevice.all();
    if (records.length === 0) { say(words.none); return; }
    const found = [];
    let fault = "";
    for (const record of records) {
      try {
        const { status: code, said } = await self.radmfaDevice.questions(record);
        if (code === 200) { said.questions.forEach((question) => found.push([record, question])); }
        else { fault = word(said.error); }
      } catch { fault = words.failed; }
    }
    // What is being typed into is not drawn anew.
    const ids = found.map(([, question]) => question.id).join(" ");
    if (ids !== shownIds) {
      shownIds = ids;
      list.replaceChildren(...found.map(([record, question]) => draw(record, question)));
      if (ids) { say(""); (list.querySelector("input") || list.querySelector("button")).focus(); }
    }
    if (!ids && (fault || !status.textContent || status.textContent === words.looking)) { say(fault || words.nothing); }
  };

  const soon = () => look().catch(() => say(words.failed));
  navigator.serviceWorker?.register("/device/sw.js", { scope: "/device" }).catch(() => undefined);
  navigator.serviceWorker?.addEventListener("message", soon);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { soon(); } });
  setInterval(() => { if (!document.hidden) { soon(); } }, 3000);
  soon();
})();
