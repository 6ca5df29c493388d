// Asks the browser for a passkey before a form is sent: one is made, or one is shown. The form says which, where the challenge comes
// from, and what to tell its reader.
"use strict";
(() => {
  const octets = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) => {
    const letters = Array.from(new Uint8Array(buffer), (octet) => String.fromCharCode(octet)).join("");
    return btoa(letters).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  };
  const named = (list) => (list || []).map((entry) => ({ ...entry, id: octets(entry.id) }));

  const make = async (options) => {
    const asked = { ...options, challenge: octets(options.challenge), excludeCredentials: named(options.excludeCredentials) };
    asked.user = { ...options.user, id: octets(options.user.id) };
    const made = await navigator.credentials.create({ publicKey: asked });
    const { clientDataJSON, attestationObject } = made.response;
    return {
      id: made.id, rawId: text(made.rawId), type: made.type,
      response: { clientDataJSON: text(clientDataJSON), attestationObject: text(attestationObject) },
    };
  };

  const show = async (options) => {
    const asked = { ...options, challenge: octets(options.challenge), allowCredentials: named(options.allowCredentials) };
    const shown = await navigator.credentials.get({ publicKey: asked });
    const { clientDataJSON, authenticatorData, signature, userHandle } = shown.response;
    return {
      id: shown.id, rawId: text(shown.rawId), type: shown.type,
      response: {
        clientDataJSON: text(clientDataJSON), authenticatorData: text(authenticatorData), signature: text(signature),
        userHandle: userHandle ? text(userHandle) : null,
      },
    };
  };

  const put = (form, name, value) => {
    let field = form.querySelector(`input[type="hidden"][name="${name}"]`);
    if (!field) {
      field = document.createElement("input");
      field.type = "hidden";
      field.name = name;
      form.append(field);
    }
    field.value = value;
  };

  document.querySelectorAll("form[data-passkey]").forEach((form) => {
    const words = form.dataset;
    const status = form.querySelector("[data-status]");
    const say = (sentence) => { status.textContent = sentence; status.focus(); };
    const user = words.user && document.getElementById(words.user);
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      const pressed = event.submitter;
      // Saying no needs nothing.
      if (words.passkey === "approve" && pressed && ["deny", "fraud"].includes(pressed.value)) { return; }
      event.preventDefault();
      if (!window.PublicKeyCredential || !window.isSecureContext) { say(words.unable); return; }
      if (user && !user.value.trim()) { user.focus(); user.reportValidity(); return; }
      const buttons = form.querySelectorAll("button");
      buttons.forEach((button) => { button.disabled = true; });
      say(words.working);
      try {
        if (user) { put(form, "user", user.value); }
        const body = new URLSearchParams(new FormData(form));
        const answer = await fetch(words.begin, { method: "POST", body, headers: { Accept: "application/json" } });
        const said = await answer.json().catch(() => ({}));
        if (!answer.ok) {
          say((said.error === "full" && words.full) || (said.error === "no-passkey" && words.none) || words.failed);
          return;
        }
        const options = said.options.publicKey;
        const signed = words.passkey === "create" ? await make(options) : await show(options);
        put(form, "ceremony", said.ceremony);
        put(form, "credential", JSON.stringify(signed));
        if (pressed && pressed.name) { put(form, pressed.name, pressed.value); }
        form.submit();
      } catch (fault) {
        say(fault.name === "NotAllowedError" || fault.name === "InvalidStateError" ? words.refused : words.failed);
      } finally {
        buttons.forEach((button) => { button.disabled = false; });
      }
    });
  });
})();
