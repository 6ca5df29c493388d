// Makes the browser that shows this page a device. The button carries what it needs: the secret that works once.
"use strict";
(() => {
  const button = document.getElementById("device-add");
  if (!button) { return; }
  const status = document.getElementById("device-add-status");
  const able = "serviceWorker" in navigator && "PushManager" in window && "indexedDB" in window && window.isSecureContext;
  if (!able) { status.textContent = button.dataset.unable; return; }
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    status.textContent = button.dataset.working;
    const field = document.getElementById("device-name");
    const name = (field && field.value.trim()) || button.dataset.name || "phone";
    const words = { title: button.dataset.pushTitle, body: button.dataset.pushBody };
    try {
      const { device } = await self.radmfaDevice.register(button.dataset.secret, name, words);
      const form = document.getElementById("device-added");
      form.elements.device.value = device;
      form.submit();
    } catch (fault) {
      button.disabled = false;
      status.textContent = fault.message === "not-permitted" ? button.dataset.refused : button.dataset.failed;
    }
    status.focus();
  });
})();
